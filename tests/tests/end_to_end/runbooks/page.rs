//! A runbook as the test reads it: its commands in blocks of `sh`, and below a block, as `text`, what a good answer looks
//! like. Of that each line must be met by a line of what was said, in their order; `…` stands for anything, and however many
//! spaces for one. A block whose last command may not succeed says `# exit code 1` itself.

use anyhow::{Context as _, Result, bail, ensure};
use pawl_tests::binary;

/// What stands for anything.
const ANYTHING: char = '…';

/// Commands, and what they must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) commands: String,
    pub(super) exit_code: i32,
    pub(super) answer: Vec<String>,
}

/// The blocks of the page of that name.
pub(super) fn read(name: &str) -> Result<Vec<Block>> {
    let file = binary::repository().join("docs/runbooks").join(format!("{name}.md"));
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    blocks(&text).with_context(|| file.display().to_string())
}

fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    for fenced in text.split("```").skip(1).step_by(2) {
        match fenced.split_once('\n').context("a block is closed")? {
            ("sh", commands) => {
                let exit_code = i32::from(commands.contains("# exit code 1"));
                blocks.push(Block { commands: commands.to_owned(), exit_code, answer: Vec::new() });
            }
            ("text", answer) => {
                let block = blocks.last_mut().context("an answer stands below its commands")?;
                ensure!(block.answer.is_empty(), "two answers to the same commands: {answer}");
                block.answer = answer.lines().map(str::to_owned).collect();
            }
            (other, _) => bail!("a block is `sh` or `text`, not `{other}`"),
        }
    }
    let last = blocks.last().context("there are commands")?;
    ensure!(last.commands.contains("pawl doctor --since 10s --wait 5m\n"), "it ends with the checklist");
    Ok(blocks)
}

impl Block {
    /// The first line of the answer that nothing of what was said meets.
    pub(super) fn misses(&self, said: &str) -> Option<&str> {
        let mut said = said.lines().map(squeezed);
        self.answer.iter().map(String::as_str).find(|line| {
            let wanted = squeezed(line);
            !said.any(|line| is_met(&wanted, &line))
        })
    }
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line is what the page shows.
fn is_met(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split(ANYTHING).map(str::trim);
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn a_page_is_read_and_its_answers_are_held_against_what_was_said() -> Result<()> {
    let ending = "```sh\npawl doctor --since 10s --wait 5m\n```\n```text\n… ok\n```\n";
    let page = format!("# One\n\n```sh\npawl ready    # exit code 1\n```\n\nwords\n\n{ending}");
    let [first, last] = &blocks(&page)?[..] else { panic!("two blocks") };
    assert_eq!((first.exit_code, last.exit_code), (1, 0));
    assert_eq!((first.misses("anything"), last.misses("fine\n19   ok\n")), (None, None));
    assert_eq!(last.misses("well\nnot ok, no"), Some("… ok"));
    for (wanted, line, expected) in [
        ("a b", "a b", true),
        ("a b", "a b c", false),
        ("a … c", "a b b c", true),
        ("a … b … c", "a c", false),
        ("… b …", "a b", true),
        ("…", "", true),
    ] {
        assert_eq!(is_met(wanted, line), expected, "{wanted}: {line}");
    }
    let answer = Block { answer: vec!["one".into(), "two".into()], ..first.clone() };
    assert_eq!(answer.misses("two\none\n"), Some("two"), "in their order");
    assert!(blocks("```sh\nls\n```\n").is_err() && blocks(&format!("```toml\n```\n{ending}")).is_err());
    Ok(())
}

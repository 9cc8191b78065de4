//! What a compiler says while it builds for `pawl dev`: it goes where this process' standard error goes, as ever, and is kept for
//! whoever looks at a page and not at the terminal.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};
use std::process::{Command, Output, Stdio};

use pawl_base::terminal::pass_on;

/// What is kept of it: its end.
const KEPT: usize = 64 << 10;

/// What is told of it.
const TOLD: usize = 8 << 10;

/// That something was not built, and what its compiler has said.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct NotMade {
    what: String,
    /// Without colours, bounded; empty if nobody listened.
    pub(crate) messages: String,
}

impl NotMade {
    pub(super) fn new(what: impl Into<String>, said: &str) -> Self {
        Self { what: what.into(), messages: excerpt(said, TOLD) }
    }
}

/// Runs a command to its end. If `is_heard`, what it says on standard error is passed on, and returned, too.
pub(super) fn run(command: &mut Command, is_heard: bool) -> io::Result<(Output, String)> {
    command.stdin(Stdio::null());
    if !is_heard {
        return Ok((command.stderr(Stdio::inherit()).output()?, String::new()));
    }
    if io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let says = child.stderr.take();
    let listener = std::thread::spawn(move || says.map(listen).unwrap_or_default());
    let output = child.wait_with_output()?;
    let said = listener.join().unwrap_or_default();
    Ok((output, said))
}

/// Passes on line by line, and keeps the last of them.
fn listen(says: impl Read) -> String {
    let (mut says, mut line, mut said) = (BufReader::new(says), Vec::new(), String::new());
    while says.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        pass_on(&line);
        said.push_str(&plain(&String::from_utf8_lossy(&line)));
        if said.len() > KEPT {
            let from = said.ceil_char_boundary(said.len() - KEPT / 2);
            said.drain(..from);
        }
        line.clear();
    }
    said
}

/// Without colours: `ESC [ … letter`.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.find(|it: char| it.is_ascii_alphabetic()).map_or("", |end| &part[end + 1..]));
    }
    plain.retain(|character| !character.is_control() || matches!(character, '\n' | '\t'));
    plain
}

/// What somebody needs first: from the first error on; where none is called so, the end, as of a traceback.
fn excerpt(said: &str, most: usize) -> String {
    let mut at = 0;
    let mut lines = said.split_inclusive('\n').map(|line| {
        at += line.len();
        (at - line.len(), line)
    });
    let text = match lines.find(|(_, line)| line.starts_with("error")) {
        Some((from, _)) => &said[from..],
        None => &said[said.ceil_char_boundary(said.len().saturating_sub(most))..],
    };
    let text = text.trim_end();
    if text.len() <= most { text.to_owned() } else { format!("{}\n…", &text[..text.floor_char_boundary(most)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_begins_with_the_error_and_has_a_bound() {
        let said =
            "   Compiling hello v0.1.0\nwarning: unused\nerror[E0425]: cannot find value\n --> src/lib.rs:3:5\n\n";
        assert_eq!(excerpt(said, 1_000), "error[E0425]: cannot find value\n --> src/lib.rs:3:5");
        assert_eq!(excerpt(said, 12), "error[E0425]\n…");
        assert_eq!(excerpt("Traceback\n  a\nNameError: é", 13), "NameError: é");
        assert_eq!(excerpt("", 10), "");
    }

    #[test]
    fn colours_are_left_out_and_nothing_else() {
        assert_eq!(plain("\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: no `é`\r\n\tend\u{7}"), "error: no `é`\n\tend");
        assert_eq!(plain("cut \u{1b}[38;5"), "cut ");
    }

    #[test]
    fn a_command_is_heard_and_what_it_prints_is_its_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo 'error: no' >&2; exit 3"]);
        let (output, said) = run(&mut command, true).unwrap();
        assert_eq!((output.status.code(), &output.stdout[..], said.as_str()), (Some(3), &b"out\n"[..], "error: no\n"));
    }
}

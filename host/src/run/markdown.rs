//! Text of others in a Markdown page: it stays text. What guests write may hold fences, ends of lines and whatever a terminal
//! obeys; none of it may end the place that it stands in. <https://spec.commonmark.org/0.31.2/#fenced-code-blocks>

/// On one line, between as many backticks as it needs.
pub(super) fn code(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    // Blanks keep a backtick at an end apart from the fence; one of each is taken away again.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Lines between fences that are longer than any in them. Each line stays one.
pub(super) fn block(lines: impl IntoIterator<Item = String>) -> String {
    let lines: Vec<String> = lines.into_iter().map(|line| one_line(&line)).collect();
    let fence = "`".repeat(lines.iter().map(|line| longest_run(line)).max().unwrap_or(0).max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", lines.join("\n"))
}

/// A cell of a table: code, in which a bar does not end the cell.
pub(super) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Text in which what controls anything stands as its escape.
fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => shown.push(' '),
            character if is_line_end(character) || character.is_control() => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}

fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_in_its_place() {
        for (text, expected) in [
            ("plain", "`plain`"),
            ("a`b", "``a`b``"),
            ("`", "`` ` ``"),
            (" x ", "`  x  `"),
            ("```\n# head", "```` ```\\n# head ````"),
            ("\u{1b}[2J\r", "`\\u{1b}[2J\\r`"),
            ("", ""),
        ] {
            assert_eq!(code(text), expected, "{text:?}");
        }
        assert_eq!(cell("a|b"), "`a\\|b`");
    }

    #[test]
    fn no_fence_in_a_block_ends_it() {
        let told = block(["one".to_owned(), "````".to_owned(), "two\n`````\n<script>".to_owned()]);
        assert_eq!(told, "``````text\none\n````\ntwo\\n`````\\n<script>\n``````\n");
        assert_eq!(block(["x".to_owned()]), "```text\nx\n```\n");
    }
}

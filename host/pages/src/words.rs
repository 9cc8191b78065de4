//! Texts that come from elsewhere: sentences of the API with commands in backticks, names of any length, ids.

use std::fmt;

use maud::{Markup, html};
use pawl_domain::id::{RunId, WorkerId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A sentence of the API: what stands between backticks is code, and it begins with a capital.
pub(super) fn prose(text: &str) -> Markup {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    within(&format!("{first}{}", letters.as_str()))
}

/// The same within a sentence of ours.
pub(super) fn within(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// The same without the parts that only name a command: where there are buttons, these do it.
pub(super) fn prose_without_commands(text: &str) -> Markup {
    let parts: Vec<&str> = text.split("; ").filter(|part| !part.contains("`pawl ")).collect();
    if parts.is_empty() { prose(text) } else { prose(&parts.join("; ")) }
}

/// A name in a path: what may stand in names stays as it is.
pub(super) fn in_path(text: &str) -> impl fmt::Display + '_ {
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    utf8_percent_encode(text, SET)
}

/// A name that may be long: cut by the stylesheet, whole for whoever points at it.
pub(super) fn name(text: &str) -> Markup {
    html! { span class="name" title=(text) { (text) } }
}

/// The end of a worker's id, which is all chance: the beginning is the time of its start.
pub(super) fn worker_id(worker: WorkerId) -> Markup {
    let text = worker.to_string();
    html! { code class="id" title=(text) { (text.get(28..).unwrap_or(&text)) } }
}

/// The beginning of a run's id: the time of its submission to the ms, by which it is found as by the whole.
pub(super) fn run_id(run: RunId) -> Markup {
    html! { code class="id" title=(run) { (short(run)) } }
}

/// The same as text.
pub(super) fn short(run: RunId) -> String {
    let mut text = run.to_string();
    text.truncate(13);
    text
}

/// `one step`, `3 steps`; `1000` is `1,000`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{} {many}", figure(number)),
    }
}

/// With commas between thousands.
pub(super) fn figure(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap_or("")).collect();
    parts.join(",")
}

/// What does not fit, cut at a character.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_sentences_are_code_and_markup_is_text() {
        let said = prose("try `pawl run retry <b>`, \"then\"").into_string();
        assert_eq!(said, "Try <code>pawl run retry &lt;b&gt;</code>, &quot;then&quot;");
        assert_eq!(prose("").into_string(), "");
        assert_eq!(within("try `this`").into_string(), "try <code>this</code>");
        let short = |text| prose_without_commands(text).into_string();
        assert_eq!(short("it waits; send it with `pawl run signal`"), "It waits");
        assert_eq!(short("`pawl doctor` tells more"), "<code>pawl doctor</code> tells more", "nothing else is said");
    }

    #[test]
    fn a_run_is_named_by_the_digits_that_find_it() {
        let run: RunId = "01890000-0000-7000-8000-000000000000".parse().unwrap();
        let said = run_id(run).into_string();
        assert!(said.ends_with("title=\"01890000-0000-7000-8000-000000000000\">01890000-0000</code>"), "{said}");
    }

    #[test]
    fn figures_are_read_in_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(figure), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(cut("añb", 2), "añ…");
    }
}

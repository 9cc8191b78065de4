//! What people read, on its way to where they read it: standard output and standard error. Names, errors, and all that guests and
//! callers wrote may hold what a terminal obeys; here it becomes text. No other file of the host prints, and a test says so
//! (`tests/tests/house/printing.rs`): whoever has something to say says it with [`tell!`](crate::tell), and an answer is
//! printed.
//!
//! ```text
//!  ESC ] 0 ; evil BEL       \u{1b}]0;evil\u{7}       C0 but for tab and line end, DEL, C1
//!  U+202E                   \u{202e}                 what turns the direction of the text that follows
//! ```

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

/// Says something on standard error, on a line of its own. It is formatted as by `format!`.
///
/// ```
/// pawl_base::tell!("run {} waits", "\u{1b}[2J");
/// ```
#[macro_export]
macro_rules! tell {
    ($($said:tt)*) => { $crate::terminal::tell(format_args!($($said)*)) };
}

/// What [`tell!`](crate::tell) does. Nobody can be told that nothing can be told.
pub fn tell(said: fmt::Arguments<'_>) {
    let _ = to_stderr(&format!("{said}\n"));
}

/// The same without a line end: somebody is to answer on that line.
///
/// # Errors
/// If standard error takes nothing.
pub fn ask(said: fmt::Arguments<'_>) -> io::Result<()> {
    to_stderr(&said.to_string())
}

/// Passes on to standard error what a program has said that this one has started, as it is: it would have said it there itself.
pub fn pass_on(said: &[u8]) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(said).and_then(|()| stderr.flush());
}

/// Prints text for people on standard output, with a line end if it has none. Empty text prints nothing.
///
/// # Errors
/// If standard output takes nothing.
pub fn print(text: &str) -> io::Result<()> {
    to_stdout(&harmless(text))
}

/// Prints text that others will read, byte by byte; a terminal is shown it as people are.
///
/// # Errors
/// If standard output takes nothing.
pub fn print_exactly(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { print(text) } else { to_stdout(text) }
}

/// Prints a JSON document: the same one, without anything that a terminal obeys.
///
/// # Errors
/// If standard output takes nothing.
pub fn print_json(document: &str) -> io::Result<()> {
    to_stdout(&harmless_json(document))
}

/// Text in which no terminal finds anything to obey: what controls one, or turns the direction of the text, stands in it as
/// its escape. Ends of lines stay.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, |shown, character| shown.extend(character.escape_unicode()))
}

/// A JSON document that means the same, in which no terminal finds anything to obey. JSON has such characters only in its
/// strings, and an escape of its own for each.
#[must_use]
pub fn harmless_json(document: &str) -> Cow<'_, str> {
    escaped(document, |shown, character| {
        let mut units = [0; 2];
        shown.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match commands(character) {
            true => escape(&mut shown, character),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm
/// (<https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>), and what `Cc` holds.
fn commands(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns || character.is_control() && !matches!(character, '\n' | '\t')
}

fn to_stderr(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    // In one piece: others write there, too.
    stderr.write_all(harmless(text).as_bytes())?;
    stderr.flush()
}

fn to_stdout(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_terminal_obeys_what_is_shown() {
        let guests = "\u{1b}[2Jgone\r\u{9b}31m\u{202e}txt\nnext\tcell";
        assert_eq!(harmless(guests), "\\u{1b}[2Jgone\\u{d}\\u{9b}31m\\u{202e}txt\nnext\tcell");
        assert!(matches!(harmless("plain é\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn nothing_that_commands_is_left_and_all_else_stays() {
        let all: String = (0..=0x2_ffff).filter_map(char::from_u32).collect();
        let shown = harmless(&all);
        let is_left = |character: char| {
            let code = u32::from(character);
            matches!(code, 0..=8 | 0xb..=0x1f | 0x7f..=0x9f | 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069)
        };
        assert_eq!(shown.chars().find(|character| is_left(*character)), None);
        let kept: String = all.chars().filter(|character| !is_left(*character)).collect();
        assert_eq!(harmless(&kept), kept);
    }

    #[test]
    fn a_document_means_what_it_meant() {
        let shown = harmless_json("{\"a\u{9b}\u{202e}\": \"\u{7f}é\"}\n");
        assert_eq!(shown, "{\"a\\u009b\\u202e\": \"\\u007fé\"}\n");
    }
}

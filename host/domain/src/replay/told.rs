//! A journal's entries as people read them: the call, and what it was answered in short.

use super::call::Call;
use crate::journal::{Entry, HttpAnswer};

/// Bytes of an answer's text that are shown.
const SHOWN_BYTES: usize = 60;

/// An entry in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The call, or what a note is.
    pub call: String,
    /// In short; empty where the call gets no answer.
    pub answer: String,
}

/// Tells an entry; `signal` is what was given to it, if it awaited one.
#[must_use]
pub fn tell(entry: &Entry, signal: Option<&[u8]>) -> Told {
    let call = match entry {
        Entry::Context { .. } => "note: the facts of the attempt".to_owned(),
        Entry::Attempted { request, .. } => format!("note: {} {} has left", request.method, request.url),
        Entry::OnceKept { name, .. } => format!("note: the result of once {name:?}"),
        Entry::Elapsed { .. } => "note: the guest's own clock at the checkpoint".to_owned(),
        Entry::Again { .. } => "note: a person had it done again from its start".to_owned(),
        Entry::Seeded { .. } => "note: what its secure random bytes are made of".to_owned(),
        _ => Call::of(entry).to_string(),
    };
    let answer = match entry {
        Entry::Context { attempt, deadline_ms } => format!("attempt {attempt}, until {deadline_ms} ms"),
        Entry::Now { unix_ns } => format!("{unix_ns} ns"),
        Entry::Fetched { answer, .. } | Entry::Answered { answer, .. } => answered(answer),
        Entry::Intent { key, .. } | Entry::Attempted { key, .. } => format!("key {}", key.short()),
        Entry::OnceFinished { value, .. } | Entry::OnceKept { value, .. } => text(value),
        Entry::Awaited { .. } => signal.map_or_else(|| "the time was over".to_owned(), text),
        Entry::Elapsed { monotonic_ns } => format!("{monotonic_ns} ns"),
        Entry::Again { round } => format!("round {round}"),
        // The seed of a step is for nobody to see.
        Entry::OnceBegun { .. } | Entry::Slept { .. } | Entry::Seeded { .. } => String::new(),
    };
    Told { call, answer }
}

/// Whether an entry, the last one of a step that awaits a signal of this name, is the wait in which the step is: it stands in the
/// journal since the commit that suspended the step, and has no answer yet.
#[must_use]
pub fn is_open_wait(entry: &Entry, awaits: Option<&str>) -> bool {
    matches!(entry, Entry::Awaited { name, .. } if awaits == Some(name))
}

fn answered(answer: &HttpAnswer) -> String {
    match answer {
        HttpAnswer::Response { status, body, .. } if body.is_empty() => status.to_string(),
        HttpAnswer::Response { status, body, .. } => format!("{status}, {} bytes: {}", body.len(), text(body)),
        HttpAnswer::Connect(why) => format!("no connection: {why}"),
        HttpAnswer::Timeout => "no answer in time".to_owned(),
        HttpAnswer::Broken(why) => format!("the connection broke: {why}"),
        HttpAnswer::TooLarge(bytes) => format!("{bytes} bytes, too large"),
        HttpAnswer::Invalid(why) => format!("no valid request: {why}"),
    }
}

/// The beginning of a text on one line; of other bytes, how many.
fn text(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return format!("{} bytes", bytes.len()) };
    let shown = &text[..text.floor_char_boundary(SHOWN_BYTES)];
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", shown.replace(|c: char| c.is_control(), " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_open_as_long_as_the_step_awaits_its_signal() {
        let wait = Entry::Awaited { name: "approved".into(), timeout_ms: Some(1) };
        assert!(is_open_wait(&wait, Some("approved")));
        // A retry that is waited for comes after waits that are over.
        assert!(!is_open_wait(&wait, None) && !is_open_wait(&wait, Some("paid")));
        assert!(!is_open_wait(&Entry::Now { unix_ns: 7 }, Some("approved")));
    }

    use crate::id::Digest;
    use crate::journal::RequestSummary;

    #[test]
    fn calls_are_told_with_their_answers_in_short() {
        let request = RequestSummary { method: "GET".into(), url: "http://a/".into(), body: Digest::of(b"") };
        let response = |body: &[u8]| HttpAnswer::Response { status: 200, headers: vec![], body: body.to_vec() };
        let long = "line\n".repeat(20);
        for (entry, signal, call, answer) in [
            (Entry::Now { unix_ns: 7 }, None, "durable.now()", "7 ns"),
            (
                Entry::Fetched { request: request.clone(), answer: response(long.as_bytes()) },
                None,
                "http.send(GET http://a/)",
                &*format!("200, 100 bytes: {}…", "line ".repeat(12)),
            ),
            (
                Entry::Fetched { request: request.clone(), answer: response(&[0xff, 0]) },
                None,
                "http.send(GET http://a/)",
                "200, 2 bytes: 2 bytes",
            ),
            (
                Entry::Awaited { name: "approved".into(), timeout_ms: None },
                Some(&b"true"[..]),
                r#"durable.await-signal("approved")"#,
                "true",
            ),
            (
                Entry::Awaited { name: "approved".into(), timeout_ms: Some(1) },
                None,
                r#"durable.await-signal("approved")"#,
                "the time was over",
            ),
            (
                Entry::OnceKept { name: "pay".into(), value: b"1".to_vec() },
                None,
                r#"note: the result of once "pay""#,
                "1",
            ),
        ] {
            assert_eq!(tell(&entry, signal), Told { call: call.into(), answer: answer.into() });
        }
    }
}

//! What a step has done to the world outside: requests that have left, with the key under which they leave again, and what it
//! did `once`.

use maud::{Markup, html};
use pawl_domain::id::Digest;
use pawl_domain::journal::Entry;
use pawl_domain::replay::tell;

use crate::rows::columns;
use crate::words::{count, cut};

/// Effects that are shown, the last ones, and letters of what they are.
const SHOWN: usize = 40;
const TEXT: usize = 200;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Effect {
    position: u32,
    what: String,
    /// Of an outgoing request.
    key: Option<Digest>,
    /// None: what became of it is not known.
    answer: Option<String>,
}

/// Those of a journal, in its order.
pub(super) fn of(entries: &[(u32, &Entry)]) -> Vec<Effect> {
    let mut all: Vec<Effect> = Vec::new();
    for (position, entry) in entries {
        let answer = || Some(tell(entry, None).answer);
        match entry {
            Entry::Intent { key, request } | Entry::Attempted { key, request } => {
                let what = format!("{} {}", request.method, request.url);
                all.push(Effect { position: *position, what, key: Some(*key), answer: None });
            }
            Entry::Answered { key, .. } => {
                if let Some(effect) = all.iter_mut().rev().find(|effect| effect.key == Some(*key)) {
                    effect.answer = answer();
                }
            }
            Entry::OnceBegun { name } => all.push(once(*position, name, None)),
            Entry::OnceKept { name, .. } => all.push(once(*position, name, answer())),
            Entry::OnceFinished { name, .. } => {
                let what = once(*position, name, None).what;
                if let Some(effect) = all.iter_mut().rev().find(|effect| effect.key.is_none() && effect.what == what) {
                    effect.answer = answer();
                }
            }
            _ => {}
        }
    }
    all
}

fn once(position: u32, name: &str, answer: Option<String>) -> Effect {
    Effect { position, what: format!("once {name:?}"), key: None, answer }
}

pub(super) fn table(all: &[Effect]) -> Markup {
    let shown = &all[all.len().saturating_sub(SHOWN)..];
    html! {
        @if shown.len() < all.len() {
            p class="muted" { "The last " (SHOWN) " of " (count(all.len() as u64, "effect", "effects")) "." }
        }
        table class="rows log" {
            (columns(&[("At", "num"), ("Effect", ""), ("Answer", ""), ("Key", "wide")]))
            tbody {
                @for effect in shown {
                    tr {
                        td class="num muted" { (effect.position) }
                        td class="line" { (cut(&effect.what, TEXT)) }
                        td {
                            @match &effect.answer {
                                Some(answer) => (cut(answer, TEXT)),
                                None => span class="warn" { "not known: it leaves again under its key" },
                            }
                        }
                        td class="wide" { @if let Some(key) = effect.key { code class="id" title=(key) { (key.short()) } } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pawl_domain::journal::{HttpAnswer, RequestSummary};

    use super::*;

    #[test]
    fn an_effect_has_the_answer_to_its_own_key() {
        let request = |url: &str| RequestSummary { method: "POST".into(), url: url.into(), body: Digest::of(b"") };
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let entries = [
            Entry::Intent { key: a, request: request("http://a/") },
            Entry::Answered { key: a, answer: HttpAnswer::Timeout },
            Entry::Now { unix_ns: 1 },
            Entry::OnceBegun { name: "charge".into() },
            Entry::OnceFinished { name: "charge".into(), value: b"7".to_vec() },
            Entry::Intent { key: b, request: request("http://b/") },
        ];
        let numbered: Vec<(u32, &Entry)> = (3..).zip(&entries).collect();
        let told: Vec<(u32, String, Option<String>)> =
            of(&numbered).into_iter().map(|effect| (effect.position, effect.what, effect.answer)).collect();
        assert_eq!(
            told,
            [
                (3, "POST http://a/".to_owned(), Some("no answer in time".to_owned())),
                (6, "once \"charge\"".to_owned(), Some("7".to_owned())),
                (8, "POST http://b/".to_owned(), None),
            ]
        );
    }
}

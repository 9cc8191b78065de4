//! On which versions of which plugins the letters of a page have died; and of the one that is active now, since when, if that is
//! not long: then it may be what has to be gone back from.

use axum::http::Method;
use maud::{Markup, html};
use pawl_api::types::{Change, ChangeList, DeadLetter, DiedOn};

use crate::look;
use crate::plugins;
use crate::times::at;
use crate::visit::Visit;
use crate::words::{count, name};

/// Where it is asked when a version became active.
const CHANGES: &str = "/v1/audit";

/// What became active so long ago is no news, ms. Lines of that time that are looked at.
const NEWS_MS: i64 = 3_600_000;
const LINES: u32 = 1_000;

/// What makes a version the active one.
const ACTIVATES: [&str; 4] = ["activateVersion", "rollBack", "pushPlugin", "pushVersion"];

/// Versions that are told.
const TOLD: usize = 4;

/// `pricing 1.5.0`, or the component where no version of the plugin is it; it leads to the plugin.
pub(super) fn link(on: &DiedOn) -> Markup {
    html! {
        a href=(plugins::path(&on.plugin)) {
            (name(&on.version.as_ref().map_or_else(|| on.plugin.clone(), |version| format!("{} {version}", on.plugin))))
        }
        @if on.version.is_none() { " " code class="id" { (on.component.short()) } }
    }
}

/// Each version once, the one with the most letters first.
fn counted(letters: &[DeadLetter]) -> Vec<(&DiedOn, u64)> {
    let mut all: Vec<(&DiedOn, u64)> = Vec::new();
    for on in letters.iter().filter_map(|letter| letter.died_on.as_ref()) {
        match all.iter_mut().find(|(known, _)| *known == on) {
            Some((_, many)) => *many += 1,
            None => all.push((on, 1)),
        }
    }
    all.sort_by_key(|(_, many)| std::cmp::Reverse(*many));
    all
}

pub(super) async fn told(visit: &Visit, letters: &[DeadLetter], now: i64) -> Markup {
    let all = counted(letters);
    // Those of the newest letter's: an older one says nothing of what is wrong now.
    let newest = letters.first().and_then(|letter| letter.died_on.as_ref()).filter(|on| on.active);
    let since = match newest {
        Some(on) => active_since(visit, on, now).await,
        None => None,
    };
    html! {
        @if !all.is_empty() {
            p class="muted" {
                "Died on "
                @for (number, (on, many)) in all.iter().take(TOLD).enumerate() {
                    @if number > 0 { ", " }
                    (link(on)) " (" (count(*many, "step", "steps")) @if on.active { ", active" } ")"
                }
                @if all.len() > TOLD { ", and " (all.len() - TOLD) " more" }
            }
        }
        @if let Some((on, change)) = newest.zip(since) {
            p class="note warn" {
                (look::PARKED.icon())
                span {
                    strong { (on.plugin) " " (on.version.as_deref().unwrap_or_default()) } " is active since " (at(change.at_ms))
                    @if let Some(who) = &change.who { ", by " (name(who)) }
                    ": " a href=(plugins::path(&on.plugin)) { "roll back" }
                }
            }
        }
    }
}

/// When, and by whom, it became active, if that was lately and the visitor may know.
async fn active_since(visit: &Visit, on: &DiedOn, now: i64) -> Option<Change> {
    let version = on.version.as_ref().filter(|_| visit.may(&Method::GET, CHANGES))?;
    let subject = format!("{}@{version}", on.plugin);
    let path = format!("{CHANGES}?since_ms={}&limit={LINES}", now - NEWS_MS);
    let list: ChangeList = visit.read(&path).await.ok()?;
    list.changes.into_iter().find(|change| makes_active(change, &subject))
}

/// Whether a change has made that version the active one. One that was pushed has its digest behind it.
fn makes_active(change: &Change, subject: &str) -> bool {
    ACTIVATES.contains(&&*change.what)
        && !change.target.contains("activate=false")
        && change.status.is_some_and(|status| (200..300).contains(&status))
        && change.subject.as_ref().is_some_and(|said| said.split(' ').next() == Some(subject))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_makes_a_version_active_is_told_from_what_does_not() {
        let change = |what: &str, target: &str, subject: &str, status: u16| -> Change {
            let line = json!({"id": 1, "at_ms": 1, "source": "::1", "what": what, "target": target, "subject": subject, "status": status});
            serde_json::from_value(line).unwrap()
        };
        for (what, target, subject, status, is_it) in [
            ("activateVersion", "/v1/plugins/pricing/activate", "pricing@1.5.0", 200, true),
            ("pushPlugin", "/v1/plugins", "pricing@1.5.0 af13", 201, true),
            ("pushPlugin", "/v1/plugins?activate=false", "pricing@1.5.0 af13", 201, false),
            ("activateVersion", "/v1/plugins/pricing/activate", "pricing@1.5.0", 409, false),
            ("activateVersion", "/v1/plugins/pricing/activate", "pricing@1.5.01", 200, false),
            ("pauseQueue", "/v1/queues/gpu/pause", "pricing@1.5.0", 200, false),
        ] {
            assert_eq!(
                makes_active(&change(what, target, subject, status), "pricing@1.5.0"),
                is_it,
                "{what} {subject}"
            );
        }
    }
}

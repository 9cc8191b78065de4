//! On which versions of which plugins the letters of a page have died; and of the one that is active now, since when, if that is
//! not long, nothing failed before, and there is a version to go back to: then it may be what has to be gone back from.

use axum::http::Method;
use maud::{Markup, html};
use pawl_api::types::{Change, ChangeList, DeadLetter, DeadLetterGroupList, DeadLetterList, DiedOn};

use super::ROUTE;
use super::target::Target;
use crate::look;
use crate::plugins;
use crate::times::{ago, iso, rough};
use crate::visit::Visit;
use crate::words::{count, name};

/// Where it is asked when a version became active.
const CHANGES: &str = "/v1/audit";

/// What became active so long ago is no news, ms. Lines of that time that are looked at.
const NEWS_MS: i64 = 3_600_000;
const LINES: u32 = 1_000;

/// What makes a version the active one.
const ACTIVATES: [&str; 4] = ["activateVersion", "rollBack", "pushPlugin", "pushVersion"];

/// Versions that are told, and groups that are looked through for when the first letter of one died.
const TOLD: usize = 4;
const GROUPS: u32 = 1_000;

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

pub(super) async fn told(visit: &Visit, group: &str, list: &DeadLetterList, target: &Target, now: i64) -> Markup {
    let letters = &list.dead_letters;
    let all = counted(letters);
    // Those of the newest letter's: an older one says nothing of what is wrong now.
    let newest = letters.first().and_then(|letter| letter.died_on.as_ref()).filter(|on| on.active);
    let has_before = target.plugin.as_ref().is_some_and(|plugin| plugin.previous_version.is_some());
    let blamed = match newest.filter(|_| has_before) {
        Some(on) => blamed(visit, group, list, on, now).await,
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
        @if let Some((on, (first, change))) = newest.zip(blamed) { (to_blame(on, first, &change, now)) }
    }
}

/// That all of it came after a version became active.
fn to_blame(on: &DiedOn, first_at_ms: i64, change: &Change, now: i64) -> Markup {
    html! {
        p class="note warn" {
            (look::PARKED.icon())
            span {
                "The first failure came "
                time datetime=(iso(first_at_ms)) title=(iso(first_at_ms)) { (rough(first_at_ms - change.at_ms)) }
                " after " strong { (on.plugin) " " (on.version.as_deref().unwrap_or_default()) } " became active, "
                (ago(change.at_ms, now))
                @if let Some(who) = &change.who { ", by " (name(who)) }
                ": " a href=(plugins::path(&on.plugin)) { "roll back" }
            }
        }
    }
}

/// When the first of a group died and what made that version active, if that was lately and nothing of the group died before it.
async fn blamed(visit: &Visit, group: &str, list: &DeadLetterList, on: &DiedOn, now: i64) -> Option<(i64, Change)> {
    let change = active_since(visit, on, now).await?;
    let first = match list.next {
        None => list.dead_letters.iter().map(|letter| letter.died_at_ms).min(),
        Some(_) => first_of(visit, group).await,
    };
    Some((first.filter(|first| *first >= change.at_ms)?, change))
}

/// When the first letter of a group died that has more than a page; unknown where there are more groups than are looked through.
async fn first_of(visit: &Visit, group: &str) -> Option<i64> {
    let list: DeadLetterGroupList = visit.read(&format!("{ROUTE}/groups?limit={GROUPS}")).await.ok()?;
    let found = list.groups.iter().find(|known| known.group == group)?;
    list.next.is_none().then_some(found.oldest_at_ms)
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
    fn what_came_after_an_activation_is_told_with_how_long_after() {
        let change = json!({"id": 1, "at_ms": 1_000, "source": "::1", "what": "pushPlugin", "target": "/", "who": "ci", "status": 201});
        let change: Change = serde_json::from_value(change).unwrap();
        let component = pawl_domain::id::Digest::of(b"1.5.0");
        let on = DiedOn { plugin: "pricing".into(), version: Some("1.5.0".into()), active: true, component };
        let told = to_blame(&on, 7_000, &change, 61_000).into_string();
        assert!(told.contains(">6 s</time> after <strong>pricing 1.5.0</strong> became active, <time"), "{told}");
        assert!(told.contains(">1 min ago</time>, by <span") && told.contains("href=\"/plugins/pricing\""), "{told}");
    }

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

//! Versions of a pipeline, and what changed between two: steps that came and went, and what else is another in each.

use std::collections::BTreeMap;

use futures_util::future::join;
use maud::{Markup, html};
use pawl_api::types::{PipelineDetail, PipelineStep, PipelineVersion};
use serde_json::{Value, json};

use super::path;
use crate::changes::{self, Change};
use crate::look;
use crate::query::Query;
use crate::rows::columns;
use crate::said;
use crate::times::ago;
use crate::visit::Visit;
use crate::words::{count, in_path, name};

/// Versions that are listed, those that one is chosen of, and steps of a change.
const ROWS: usize = 12;
const CHOICES: usize = 50;
const STEPS: usize = 40;

pub(super) fn table(pipeline: &PipelineDetail, versions: &[PipelineVersion], now: i64) -> Markup {
    let at = path(&pipeline.summary.name);
    let rest = versions.len().saturating_sub(ROWS);
    html! {
        table class="rows" {
            (columns(&[("Version", ""), ("Steps", "num"), ("Since", "num"), ("Until", "num wide")]))
            tbody {
                @for (number, version) in versions.iter().enumerate().take(ROWS) {
                    tr {
                        th scope="row" {
                            @match versions.get(number + 1) {
                                Some(before) => a class="row" href={ (at) "?from=" (before.digest.short()) "&to=" (version.digest.short()) "#changes" } {
                                    code { (version.digest.short()) }
                                    span class="unseen" { ": what changed" }
                                },
                                None => code { (version.digest.short()) },
                            }
                            @if version.until_ms.is_none() { " " (look::CURRENT.chip()) }
                        }
                        td class="num" { (version.step_count) }
                        td class="num" { (ago(version.since_ms, now)) }
                        td class="num wide" { @if let Some(until) = version.until_ms { (ago(until, now)) } @else { "–" } }
                    }
                }
            }
        }
        @if rest > 0 { p class="muted" { "… and " (count(rest as u64, "version", "versions")) " before these." } }
        @if versions.len() > 1 { (compare(&at, versions)) }
    }
}

/// Any two of them.
fn compare(at: &str, versions: &[PipelineVersion]) -> Markup {
    let options = |chosen: usize| {
        html! {
            @for (number, version) in versions.iter().enumerate().take(CHOICES) {
                option value=(version.digest.short()) selected[number == chosen] { (version.digest.short()) }
            }
        }
    };
    html! {
        form class="filter more" action={ (at) "#changes" } {
            label { "From " select name="from" { (options(1)) } }
            label { "to " select name="to" { (options(0)) } }
            button class="button" { "What changed" }
        }
    }
}

/// The part that tells it: of the two that are asked for, by digits of their digests, or of the current one and the one before.
pub(super) async fn changed(visit: &Visit, at: &str, all: &[PipelineVersion], query: &Query) -> Option<Markup> {
    let known = |number: usize| all.get(number).map(|version| version.digest.to_string());
    let asked = |name: &str| query.said(name).map(str::to_owned);
    let (from, to) = (asked("from").or_else(|| known(1))?, asked("to").or_else(|| known(0))?);
    let [one, other] = [from, to].map(|digits| format!("{at}/versions/{}", in_path(&digits)));
    let (one, other) = join(visit.read::<PipelineDetail>(&one), visit.read::<PipelineDetail>(&other)).await;
    Some(match (one, other) {
        (Ok(one), Ok(other)) => told(&one, &other),
        (Err(problem), _) | (_, Err(problem)) => said::refused(&problem),
    })
}

/// What differs between two versions.
#[derive(Debug, PartialEq)]
struct Difference {
    /// Of the pipeline itself.
    whole: Vec<Change>,
    added: Vec<String>,
    removed: Vec<String>,
    /// Steps that both have, with what is another.
    changed: Vec<(String, Vec<Change>)>,
}

/// Steps are the same if they have one name. Their order says nothing that `needs` does not.
fn difference(before: &PipelineDetail, after: &PipelineDetail) -> Difference {
    let whole = |it: &PipelineDetail| json!({"versions": it.versions, "retention": it.retention});
    let steps = |it: &PipelineDetail| -> BTreeMap<String, Value> {
        it.steps.iter().map(|step| (step.name.clone(), plain(step))).collect()
    };
    let (one, other) = (steps(before), steps(after));
    let missing = |from: &PipelineDetail, than: &BTreeMap<String, Value>| -> Vec<String> {
        from.steps.iter().map(|step| step.name.clone()).filter(|name| !than.contains_key(name)).collect()
    };
    let changed = after.steps.iter().filter_map(|step| {
        let found = changes::between(one.get(&step.name)?, other.get(&step.name)?);
        (!found.is_empty()).then(|| (step.name.clone(), found))
    });
    Difference {
        whole: changes::between(&whole(before), &whole(after)),
        added: missing(after, &one),
        removed: missing(before, &other),
        changed: changed.collect(),
    }
}

/// A step as a document; its name is known.
fn plain(step: &PipelineStep) -> Value {
    let mut value = serde_json::to_value(step).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("name");
    }
    value
}

fn told(before: &PipelineDetail, after: &PipelineDetail) -> Markup {
    let Difference { whole, added, removed, changed } = difference(before, after);
    let is_none = whole.is_empty() && added.is_empty() && removed.is_empty() && changed.is_empty();
    let (mut left, rest) = (changes::room(), changed.len().saturating_sub(STEPS));
    html! {
        p class="muted" { "From " code { (before.summary.digest.short()) } " to " code { (after.summary.digest.short()) } "." }
        @if is_none { p { "They are the same." } }
        @if !whole.is_empty() { h3 { "The pipeline itself" } (changes::list(&whole, &mut left)) }
        (names("Steps that came", "ins", &added))
        (names("Steps that went", "del", &removed))
        @for (step, found) in changed.iter().take(STEPS) { h3 { (name(step)) } (changes::list(found, &mut left)) }
        @if rest > 0 { p class="muted" { "… and something in " (count(rest as u64, "step", "steps")) " more" } }
    }
}

fn names(what: &str, kind: &str, steps: &[String]) -> Markup {
    let rest = steps.len().saturating_sub(STEPS);
    html! {
        @if !steps.is_empty() {
            h3 { (what) }
            p class="listed" {
                @for step in steps.iter().take(STEPS) {
                    @if kind == "ins" { ins { (name(step)) } } @else { del { (name(step)) } } " "
                }
                @if rest > 0 { span class="muted" { "… and " (rest) " more" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(versions: &str, steps: &Value) -> PipelineDetail {
        let retry = json!({"max_attempts": 3, "backoff": "exponential", "delay_ms": 1000, "max_delay_ms": 60000});
        let whole = |step: &Value| {
            let mut all = json!({"needs": [], "retry": retry, "timeout_ms": 1, "queue": "q", "priority": "normal"});
            all.as_object_mut().unwrap().extend(step.as_object().unwrap().clone());
            all
        };
        let steps: Vec<Value> = steps.as_array().unwrap().iter().map(whole).collect();
        serde_json::from_value(json!({
            "name": "p", "digest": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", "step_count": 1,
            "updated_at_ms": 1, "versions": versions, "steps": steps,
        }))
        .unwrap()
    }

    #[test]
    fn steps_come_go_and_change_and_the_pipeline_does() {
        let before = pipeline(
            "submission",
            &json!([{"name": "a", "plugin": "x"}, {"name": "b", "plugin": "x", "config": {"n": 1}}, {"name": "c", "plugin": "x"}]),
        );
        let after = pipeline(
            "start",
            &json!([{"name": "c", "plugin": "x"}, {"name": "b", "plugin": "x", "config": {"n": 2}, "needs": ["d"]},
                    {"name": "d", "plugin": "y"}]),
        );
        let told = difference(&before, &after);
        assert_eq!((told.added, told.removed), (vec!["d".to_owned()], vec!["a".to_owned()]));
        let paths = |found: &[Change]| found.iter().map(|it| it.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(&told.whole), ["versions"]);
        let [(step, found)] = &told.changed[..] else { panic!("{:?}", told.changed) };
        assert_eq!((&**step, paths(found)), ("b", vec!["config.n".to_owned(), "needs".to_owned()]));
        let same = difference(&before, &before);
        assert_eq!(same, Difference { whole: vec![], added: vec![], removed: vec![], changed: vec![] });
    }

    #[test]
    fn a_difference_of_thousands_of_steps_is_bounded() {
        let steps = |plugin: &str, from: usize| -> Value {
            (from..from + 3_000).map(|number| json!({"name": format!("s{number}"), "plugin": plugin})).collect()
        };
        let shown = told(&pipeline("start", &steps("x", 0)), &pipeline("start", &steps("y", 1_500))).into_string();
        assert!(shown.len() < 20_000, "{} bytes", shown.len());
        assert!(shown.contains("… and 1460 more") && shown.contains("something in 1,460 steps more"), "{shown}");
    }
}

//! What a person can do about all letters of a page: a button for each verb, with the form that is behind it, and what is to be
//! known before one is pressed.

use maud::{Markup, html};
use pawl_api::types::{DeadLetter, DeadLetterState, StepDetail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Which;
use super::target::Target;
use crate::plugins;
use crate::poison;
use crate::visit::Visit;
use crate::words::name;

/// How a divergence's cause begins.
const LEFT: &str = "the replay left the journal";

/// What keeps letters of a page from going on as they are: they would end in the same way again.
#[derive(Default)]
pub(super) struct Traps {
    /// Some have left their journals, and would leave them again on the component that they have.
    pub(super) left: Option<Left>,
    /// Some have ended their workers.
    pub(super) poison: Option<Poison>,
}

/// Steps that have left their journals.
pub(super) struct Left {
    /// The plugin of the first of them, if it could be read.
    pub(super) plugin: Option<String>,
}

/// Steps that have ended their workers.
pub(super) struct Poison {
    /// How many the first of them has ended, if it could be read.
    pub(super) workers: Option<u32>,
}

impl Traps {
    pub(super) async fn of(visit: &Visit, letters: &[DeadLetter]) -> Self {
        let left = match letters.iter().find(|letter| has_left(letter)) {
            Some(letter) => Some(Left { plugin: read(visit, letter).await.map(|detail| detail.step.plugin) }),
            None => None,
        };
        let poison = match letters.iter().find(|letter| is_poison(letter)) {
            Some(letter) => Some(Poison { workers: read(visit, letter).await.map(|detail| detail.step.crashes) }),
            None => None,
        };
        Self { left, poison }
    }
}

async fn read(visit: &Visit, letter: &DeadLetter) -> Option<StepDetail> {
    let step = utf8_percent_encode(&letter.step, NON_ALPHANUMERIC);
    visit.read(&format!("/v1/runs/{}/steps/{step}", letter.run)).await.ok()
}

fn has_left(letter: &DeadLetter) -> bool {
    letter.state == DeadLetterState::Parked && letter.cause.starts_with(LEFT)
}

fn is_poison(letter: &DeadLetter) -> bool {
    letter.state == DeadLetterState::Parked && letter.cause.starts_with(poison::CAUSE)
}

/// What comes of each choice of versions.
fn on_which(left: &Left) -> Markup {
    html! {
        p class="muted" {
            "What has left its journal leaves it again on the version that it has, and is parked again. On the active one it goes on if "
            "that makes the calls that are recorded: "
            @if let Some(plugin) = &left.plugin { "roll " a href=(plugins::path(plugin)) { (name(plugin)) } } @else { "roll its plugin" }
            " back first, if a newer version is active. Or let a step go on by itself, on the version that recorded its journal, from its page."
        }
    }
}

/// A verb, what its button says, and what it does.
pub(super) const VERBS: [(&str, &str, &str); 5] = [
    ("retry", "Retry all", "Opens their runs again: each goes on from its last checkpoint."),
    ("resume", "Resume all", "Lets those that are parked go on."),
    ("skip", "Skip all", "Gives each the output that it has not got; those who need it go on with that."),
    ("fail", "Fail all", "Ends the runs of those that are parked as failed."),
    ("purge", "Mark as handled", "Says that those which have failed are looked after. Their runs stay as they are."),
];

/// The verbs as they are offered: where to go on may end workers, that comes last.
fn offered(is_poison: bool) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut verbs = VERBS.to_vec();
    if is_poison {
        verbs.sort_by_key(|(word, ..)| matches!(*word, "retry" | "resume"));
    }
    verbs
}

pub(super) fn verbs(which: &Which, letters: &[DeadLetter], traps: &Traps, target: &Target) -> Markup {
    let (of, value) = which.said();
    // Of a pipeline there may be other causes among them.
    let is_latest = matches!(which, Which::Group(_)) && (traps.left.is_some() || target.is_better());
    let has = |state: DeadLetterState| letters.iter().any(|letter| letter.state == state);
    let is_for = |word: &str| match word {
        "resume" | "fail" => has(DeadLetterState::Parked),
        "purge" => has(DeadLetterState::Failed),
        _ => true,
    };
    let is_poison = traps.poison.is_some();
    html! {
        @if let Some(Poison { workers }) = traps.poison.as_ref() { (poison::warning("such a step", *workers)) }
        div class="acts" {
            @for (word, label, what) in offered(is_poison).into_iter().filter(|verb| is_for(verb.0)) {
                details class="act" name="act" {
                    summary class={ "button " (if word == "retry" && !is_poison { "primary" } else { "" }) } { (label) "…" }
                    form class="panel" method="post" action="/dead-letters" {
                        p { (what) " It is counted first." }
                        input type="hidden" name=(of) value=(value);
                        input type="hidden" name="verb" value=(word);
                        @if matches!(word, "retry" | "resume") {
                            label class="check" {
                                input type="checkbox" name="latest" value="true" checked[is_latest]; " " (target.choice())
                            }
                            @if let Some(left) = &traps.left { (on_which(left)) }
                        }
                        @if word == "skip" { label { "Output, as JSON" textarea name="output" rows="3" { "null" } } }
                        @if word == "fail" { label { "Reason" input name="message" required maxlength="1000"; } }
                        button class="button primary" { "Count first" }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pawl_domain::attempt::Divergence;
    use pawl_domain::cause::cause_of;
    use pawl_domain::suspicion::Suspicion;
    use serde_json::json;

    use super::*;

    fn letter(state: &str, cause: &str) -> DeadLetter {
        serde_json::from_value(json!({
            "run": "01890000-0000-7000-8000-000000000000", "step": "s", "pipeline": "p", "state": state, "cause": cause,
            "group": "g", "died_at_ms": 1,
        }))
        .unwrap()
    }

    fn shown(which: &Which, letter: DeadLetter, traps: &Traps) -> String {
        verbs(which, &[letter], traps, &Target::default()).into_string()
    }

    #[test]
    fn what_has_left_its_journal_is_known_by_its_cause() {
        let divergence = Divergence {
            position: 4,
            expected: None,
            actual: "durable.now()".into(),
            difference: None,
            component: None,
            recorded_by: None,
            backtrace: None,
            restored: None,
        };
        assert!(has_left(&letter("parked", &divergence.message())));
        assert!(!has_left(&letter("failed", &divergence.message())), "a person has failed it");
        assert!(!has_left(&letter("parked", "its worker process died # times in a row")));
    }

    #[test]
    fn what_has_ended_its_workers_is_known_by_its_cause_and_to_go_on_is_no_advice() {
        let cause = cause_of(Suspicion::default().poison(5).as_bytes());
        assert!(is_poison(&letter("parked", &cause)), "{cause}");
        assert!(!is_poison(&letter("failed", &cause)), "a person has failed it");
        let traps = Traps { left: None, poison: Some(Poison { workers: Some(5) }) };
        let told = shown(&Which::Group("g".into()), letter("parked", &cause), &traps);
        assert!(told.contains("has ended 5 workers") && !told.contains("<summary class=\"button primary\""), "{told}");
        let place = |label: &str| told.find(label).unwrap();
        assert!(place("Skip all") < place("Retry all") && place("Fail all") < place("Resume all"), "{told}");
        let others = shown(&Which::Group("g".into()), letter("failed", "c"), &Traps::default());
        assert!(
            others.contains("<summary class=\"button primary\">Retry all") && !others.contains("has ended"),
            "{others}"
        );
    }

    #[test]
    fn a_group_that_would_only_be_parked_again_is_offered_the_active_version_and_told_why() {
        let left =
            |plugin: Option<&str>| Traps { left: Some(Left { plugin: plugin.map(str::to_owned) }), poison: None };
        let shown = |which: &Which, traps: &Traps| shown(which, letter("parked", LEFT), traps);
        let group = Which::Group("g".into());
        let told = shown(&group, &left(Some("fx")));
        assert_eq!((told.matches(" checked").count(), told.matches("href=\"/plugins/fx\"").count()), (2, 2), "{told}");
        let mixed = shown(&Which::Pipeline("p".into()), &left(Some("fx")));
        assert!(!mixed.contains(" checked") && mixed.contains("is parked again"), "{mixed}");
        assert!(!shown(&group, &Traps::default()).contains("parked again"));
        assert!(shown(&group, &left(None)).contains("roll its plugin back first"));
    }
}

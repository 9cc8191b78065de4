//! Where a replay left its journal: the call that was recorded and the one that was made, side by side.

use maud::{Markup, html};
use pawl_api::types::Step;
use pawl_domain::attempt::Divergence;

use crate::words::{cut, prose};

/// Letters of a call, and of a backtrace.
const CALL: usize = 2_000;
const TRACE: usize = 8_000;

/// That of a step which is parked by one.
pub(crate) fn of_step(step: &Step) -> Option<Divergence> {
    serde_json::from_value(step.error.clone()?).ok()
}

pub(super) fn drawn(divergence: &Divergence) -> Markup {
    let nothing = || html! { p class="muted" { "Nothing: it has ended, or called past what is allowed." } };
    let digests = divergence.recorded_by.zip(divergence.component);
    html! {
        div class="pair" {
            div {
                h3 { "Recorded at entry " (divergence.position) }
                @match &divergence.expected { Some(call) => pre { code { (cut(call, CALL)) } }, None => (nothing()) }
            }
            div { h3 { "Called" } pre { code { (cut(&divergence.actual, CALL)) } } }
        }
        @if let Some(difference) = &divergence.difference { p { "Differs in " code { (cut(difference, CALL)) } } }
        @if let Some(restored) = &divergence.restored { p class="muted" { "It was " (restored.since()) "." } }
        @if let Some(why) = divergence.why() { p { "Most likely: " (prose(why)) } }
        @match digests {
            Some((recorded_by, component)) if recorded_by == component => {
                p class="muted" { "The same component, " code class="id" { (component.short()) } ", made the journal." }
            },
            Some((recorded_by, component)) => {
                p class="muted" {
                    "Component " code class="id" { (recorded_by.short()) } " made the journal, "
                    code class="id" { (component.short()) } " was executed."
                }
            },
            None => {},
        }
        @if let Some(frames) = &divergence.backtrace {
            details { summary class="quiet" { "Called from" } pre { code { (cut(frames, TRACE)) } } }
        }
    }
}

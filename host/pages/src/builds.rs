//! What `pawl dev` builds, at the top of each of its pages: that it does, and what could not be built, with the compiler's text.

use maud::{Markup, html};
use pawl_api::types::{BuildList, FailedBuild};

use super::look::{self, Look};
use super::words::count;

/// How soon an open page tells it.
pub(super) const EVERY_MS: u32 = 2_000;

/// Names that are told, and failures.
const NAMES: usize = 5;
const FAILURES: usize = 5;

/// Always there, so that it may become something.
pub(super) fn note(list: &BuildList) -> Markup {
    html! {
        section id="builds" class="builds" aria-label="Builds" data-live {
            @for failed in list.failed.iter().take(FAILURES) { (failure(failed)) }
            @if list.failed.len() > FAILURES {
                p class="muted" { "… and " (count((list.failed.len() - FAILURES) as u64, "failure", "failures")) " more" }
            }
            @if list.under_way { (under_way(&list.building)) }
        }
    }
}

fn failure(FailedBuild { what, why }: &FailedBuild) -> Markup {
    html! {
        div class="note bad" role="alert" {
            (look::BAD.icon())
            details open {
                summary { strong { (what) } " was not built; what was there before stays active" }
                pre tabindex="0" { code { (why) } }
            }
        }
    }
}

fn under_way(names: &[String]) -> Markup {
    let more = names.len().saturating_sub(NAMES);
    html! {
        p class="note run" role="status" {
            (Look { word: "", class: "run", shape: "s-run" }.icon())
            span {
                @if names.is_empty() { "Something" } @else { (names[..names.len() - more].join(", ")) }
                @if more > 0 { " and " (more) " more" }
                " is being built"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compilers_text_is_text_and_nothing_is_said_where_all_is_built() {
        let told = |list: &BuildList| note(list).into_string();
        let failed = vec![FailedBuild { what: "plugins/<b>".into(), why: "error: </code><script>".into() }];
        let failing = told(&BuildList { failed, ..BuildList::default() });
        assert!(failing.contains("&lt;/code&gt;&lt;script&gt;") && failing.contains("plugins/&lt;b&gt;"), "{failing}");
        let building = (0..7).map(|number| format!("p{number}")).collect();
        let under_way = told(&BuildList { under_way: true, building, ..BuildList::default() });
        assert!(under_way.contains("p0, p1, p2, p3, p4 and 2 more is being built"), "{under_way}");
        assert!(told(&BuildList::default()).ends_with("data-live></section>"));
    }
}

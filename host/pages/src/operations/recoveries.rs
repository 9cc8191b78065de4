//! Recoveries: the takeovers of all runs' steps, newest first, page by page.

use axum::response::Response;
use maud::html;
use pawl_api::types::{Problem, RecoveryList};
use url::form_urlencoded::Serializer;

use super::{row, sheet};
use crate::frame::Sheet;
use crate::look;
use crate::query::Query;
use crate::recovered::{Of, records};
use crate::times::now_ms;
use crate::visit::Visit;

/// Records on a page.
const PAGE: u32 = 30;

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    visit.answer(page(&visit, query.said("before")).await)
}

async fn page(visit: &Visit, before: Option<&str>) -> Result<Sheet, Problem> {
    let before_this = |before: &str| Serializer::new(String::new()).append_pair("before", before).finish();
    let asked = before.map(|before| format!("&{}", before_this(before))).unwrap_or_default();
    let list: RecoveryList = visit.read(&format!("/v1/recoveries?limit={PAGE}{asked}")).await?;
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Recoveries" } }
        (row(visit, "/recoveries"))
        p class="muted" {
            "Steps whose worker was lost, and how each went on. Runs that nobody moves are in the list of "
            a href="/runs?status=stuck" { "stuck runs" } "."
        }
        div id="recoveries" data-live {
            @if list.recoveries.is_empty() {
                div class="empty" { p { (look::GOOD.icon()) " No worker was lost while it had a step in hand." } }
            } @else {
                (records(&list.recoveries, Of::AllRuns, now))
            }
        }
        nav class="pager" aria-label="Pages of the list" {
            @if before.is_some() { a class="button" href="/recoveries" { "← Newest" } }
            @if let Some(next) = &list.next {
                a class="button" rel="next" href={ "/recoveries?" (before_this(next)) } { "Older →" }
            }
        }
    };
    Ok(sheet("Recoveries", main))
}

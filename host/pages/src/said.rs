//! What came of a form, at the top of the page that it stands on: what was done after a redirect, so that a page that is loaded
//! again does nothing again; what was refused at once, in the API's words.

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use pawl_api::types::Problem;

use super::frame::{self, Sheet};
use super::look;
use super::query::Query;
use super::visit::Visit;
use super::words::{prose, within};

/// That something was done: nothing of what else stands in an address.
pub(super) fn done(query: &Query, known: &[(&str, &str)]) -> Markup {
    let did = query.said("did");
    let words = known.iter().find(|(name, _)| did == Some(*name)).map(|(_, words)| *words);
    html! { @if let Some(words) = words { p class="note ok" role="status" { (look::GOOD.icon()) (words) } } }
}

/// Leads to where it is said.
pub(super) fn go(path: &str, did: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, format!("{path}?did={did}"))]).into_response()
}

/// That something was refused.
pub(super) fn refused(problem: &Problem) -> Markup {
    html! { p class="note bad" role="alert" { (look::BAD.icon()) span { (prose(&problem.detail)) } } }
}

/// That a part of a page could not be read, in its place; and what brings it.
pub(super) fn unread(what: &str, problem: &Problem, looks_again: bool) -> Markup {
    html! {
        p class="note warn" {
            (look::PARKED.icon())
            span {
                (what) " could not be read: " (within(problem.detail.trim_end_matches('.')))
                (if looks_again { ". The page looks again." } else { ". Load the page again." })
            }
        }
    }
}

/// The page with that said on it; or only that, if the page can't be made.
pub(super) fn answer(visit: &Visit, problem: Problem, sheet: Result<Sheet, Problem>) -> Response {
    match sheet {
        Ok(sheet) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, frame::page(visit, &sheet)).into_response()
        }
        Err(_) => visit.answer(Err(problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_named_with_why_and_with_what_brings_it() {
        let problem = Problem::bad_request("the store is <away>; see `pawl doctor`.");
        let said = |looks_again| unread("Queues", &problem, looks_again).into_string();
        let why = "<span>Queues could not be read: the store is &lt;away&gt;; see <code>pawl doctor</code>. ";
        assert!(said(true).contains(&format!("{why}The page looks again.</span>")), "{}", said(true));
        assert!(said(false).contains(&format!("{why}Load the page again.</span>")), "{}", said(false));
    }
}

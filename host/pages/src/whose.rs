//! Which namespace the pages are about: the token's; of one that counts everywhere, the one that somebody has chosen in the head,
//! which the browser keeps beside the session, and `default` until then. It goes with each question to the API, which says
//! whether there is such a one.

use axum::extract::RawForm;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use pawl_api::types::Problem;
use pawl_api::{Behalf, session};
use pawl_domain::namespace::Namespace;

use super::forms::Fields;
use super::visit::Visit;

/// Who asks, for the namespace that they have chosen.
pub(super) fn meant(who: Behalf, headers: &HeaderMap) -> Behalf {
    if who.namespace().is_some() {
        return who;
    }
    let chosen = session::choice_in(headers).and_then(|name| name.parse().ok());
    who.about(chosen)
}

/// In the head: where one is, and where else one may go; nothing where there is only one place.
pub(super) fn switch(visit: &Visit, next: &str) -> Markup {
    let default = Namespace::default();
    let now = visit.who.meant().unwrap_or(&default);
    let all = &visit.around.namespaces;
    html! {
        @if let Some(own) = visit.who.namespace() {
            span class="whose" title={ "This token counts in the namespace “" (own) "”" } { (own) }
        } @else if all.len() > 1 || *now != default {
            details class="act whose" {
                summary class="quiet" aria-label={ "Namespace: " (now) } title=(now) { span { (now) } " ▾" }
                form class="panel" method="post" action="/namespace" {
                    p { "These pages are about one namespace." }
                    input type="hidden" name="next" value=(next);
                    @for name in all {
                        button class="button" name="namespace" value=(name) aria-current=[(name == now).then_some("true")] {
                            span class="name" { (name) }
                        }
                    }
                }
            }
        }
    }
}

/// Takes the choice. `default` is what it is without one.
pub(super) async fn choose(visit: Visit, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let fields = Fields::of(&form);
    let named = fields.said("namespace").unwrap_or_default();
    let Some(known) = visit.around.namespaces.iter().find(|known| known.as_str() == named) else {
        return visit.answer(Err(Problem::not_found(format!("there is no namespace {named:?}"))));
    };
    let choice = Some(known.as_str()).filter(|name| *name != Namespace::DEFAULT);
    let to = super::enter::ours(fields.said("next"));
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, to.to_owned())]).into_response();
    if let Some(cookie) = session::chosen(&headers, choice) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

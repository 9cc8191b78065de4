//! The way in and out. A token is typed once and becomes the browser's session; whoever has none is told where to get
//! one. `pawl dev` prints an address that opens without any.

use std::time::Instant;

use axum::extract::{RawForm, Request, State};
use axum::http::header::{AUTHORIZATION, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{RequestExt as _, body::Body};
use maud::{Markup, html};
use pawl_api::session;
use pawl_api::types::Problem;

use super::Pages;
use super::forms::Fields;
use super::frame;
use super::query::Query;
use super::visit::refuse_forms_of_others;

/// Where somebody wanted to go: a path of ours, and no other site's.
pub(super) fn ours(to: Option<&str>) -> &str {
    let is_ours =
        |to: &&str| to.starts_with('/') && !to.starts_with("//") && !to.contains(|c: char| c == '\\' || c.is_control());
    to.filter(is_ours).unwrap_or("/")
}

/// Asks for a token; lets in whoever needs none, or has the key that `pawl dev` has printed.
pub(super) async fn show(State(pages): State<Pages>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let query = Query::of(parts.uri.query().unwrap_or_default());
    let to = ours(query.said("next"));
    if let Some(key) = query.raw("key") {
        return match pages.entry.as_ref().and_then(|entry| entry.exchange(key, Instant::now())) {
            // The next request is this page's own: whoever has come from elsewhere would come without the cookie.
            Some(token) => with_cookie(frame::step_over("/"), session::kept(&parts.headers, &token, false)),
            None => form(&pages, to, Some("That address was used before, or is too old. "), StatusCode::FORBIDDEN),
        };
    }
    session::let_count(&parts.method.clone(), &mut parts.headers);
    if pages.inside.who(&parts).await.is_ok() {
        return see(to);
    }
    let said = query.raw("over").map(|_| "Your session is over: its token has expired, or was revoked. ");
    form(&pages, to, said, StatusCode::OK)
}

/// Takes a token.
pub(super) async fn enter(State(pages): State<Pages>, request: Request) -> Response {
    let (parts, fields) = match taken(request).await {
        Ok(taken) => taken,
        Err(refused) => return refused,
    };
    let to = ours(fields.said("next"));
    let token = fields.said("token").unwrap_or_default();
    let Some(asking) = with_token(&parts, token) else {
        return form(&pages, to, Some("That is no token. "), StatusCode::UNAUTHORIZED);
    };
    match pages.inside.who(&asking).await {
        Ok(_) => {
            // The page that has sent it came over TLS, whoever speaks it: this process, or a proxy.
            let over_tls = parts.headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
            match session::kept(&parts.headers, token, over_tls) {
                Some(cookie) => with_cookie(see(to), Some(cookie)),
                None => form(&pages, to, Some("No browser keeps a token of that length. "), StatusCode::BAD_REQUEST),
            }
        }
        Err(Problem { status, detail, .. }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED);
            form(&pages, to, Some(&format!("{detail}. ")), status)
        }
    }
}

/// Ends the session.
pub(super) async fn leave(request: Request) -> Response {
    match refuse_forms_of_others(request.method(), request.headers()) {
        Some(refused) => refused,
        None => with_cookie(see("/enter"), session::forgotten(request.headers())),
    }
}

/// The head of a form of ours, and what it holds.
async fn taken(request: Request) -> Result<(Parts, Fields), Response> {
    if let Some(refused) = refuse_forms_of_others(request.method(), request.headers()) {
        return Err(refused);
    }
    let (parts, body) = request.into_parts();
    let read = Request::from_parts(parts.clone(), body).extract::<RawForm, _>().await;
    read.map(|RawForm(form)| (parts, Fields::of(&form))).map_err(|refused| refused.into_response())
}

/// The same request by the bearer of that token; `None`: no header could have it.
fn with_token(parts: &Parts, token: &str) -> Option<Parts> {
    let shown = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| !token.is_empty())?;
    let mut asking = parts.clone();
    asking.headers = HeaderMap::from_iter([(AUTHORIZATION, shown)]);
    Some(asking)
}

fn see(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to)], Body::empty()).into_response()
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn form(pages: &Pages, to: &str, said: Option<&str>, status: StatusCode) -> Response {
    let main = html! {
        div class="enter" {
            h1 { "Sign in" }
            @if let Some(said) = said { p class="note bad" role="alert" { (said) } }
            form method="post" action="/enter" {
                input type="hidden" name="next" value=(to);
                // By which whoever keeps passwords knows what it is of.
                input name="user" value="pawl" autocomplete="username" hidden;
                label for="token" { "Token" }
                input id="token" name="token" type="password" required autofocus
                    autocomplete="current-password" spellcheck="false";
                button class="button primary" { "Sign in" }
            }
            (whence(pages.entry.is_some()))
        }
    };
    frame::bare("Sign in", &main, status)
}

/// Where a token comes from.
fn whence(is_dev: bool) -> Markup {
    html! {
        @if is_dev {
            p {
                "This is a " code { "pawl dev" } ": when it starts, it prints an address that opens these pages. Its token stands in "
                code { ".pawl/token" } ", in its folder."
            }
        } @else {
            p { "Whoever looks after this installation makes one:" }
            pre { code { "pawl token create NAME --role operate" } }
            p { "A token with the role " code { "read" } " sees everything and changes nothing." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        for (query, to) in [
            ("next=%2Fruns%3Fstatus%3Dfailed", "/runs?status=failed"),
            ("next=https%3A%2F%2Fevil.example", "/"),
            ("next=%2F%2Fevil.example", "/"),
            ("next=%2F%5Cevil.example", "/"),
            ("next=%2Fa%0D%0Ab", "/"),
            ("", "/"),
        ] {
            assert_eq!(ours(Query::of(query).said("next")), to, "{query}");
        }
    }
}

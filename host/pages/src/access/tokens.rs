//! Tokens: who may come in, as what, where, and until when; made here, with their text told once, and revoked.

use axum::extract::RawForm;
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{CreateToken, CreatedToken, Problem, RevokedToken, Role, Token, TokenList, TokenState};
use pawl_domain::name::Name;
use pawl_domain::namespace::Namespace;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{row, sheet};
use crate::forms::Fields;
use crate::frame::{Sheet, part};
use crate::look::{self, Look};
use crate::panel::{Panel, hidden};
use crate::query::Query;
use crate::rows::columns;
use crate::said;
use crate::times::{ago, now_ms, rough};
use crate::visit::Visit;
use crate::words::name;

const PATH: &str = "/access/tokens";
const CREATE: &str = "/v1/tokens";
const REVOKE: &str = "/v1/tokens/{token}";
const DONE: [(&str, &str); 1] = [("revoke", "The token is revoked: within a second it lets nobody in any more.")];

const DAY_MS: u64 = 86_400_000;

/// For how long a token may be good, as it is offered.
const TERMS: [(&str, Option<u64>); 5] = [
    ("30 days", Some(30 * DAY_MS)),
    ("90 days", Some(90 * DAY_MS)),
    ("a year", Some(365 * DAY_MS)),
    ("a day", Some(DAY_MS)),
    ("until it is revoked", None),
];

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    visit.answer(page(&visit, &said::done(&query, &DONE)).await)
}

pub(crate) async fn act(visit: Visit, RawForm(form): RawForm) -> Response {
    let fields = Fields::of(&form);
    let came = match fields.said("act") {
        Some("revoke") => revoke(&visit, &fields).await.map(|_| None),
        _ => create(&visit, &fields).await.map(Some),
    };
    match came {
        // Its text is told in this answer alone, whatever else can be told: after the first one nobody is let in without one.
        Ok(Some(made)) => {
            let note = told(&made);
            let whole = page(&visit, &note).await;
            visit.answer(whole.or_else(|_| Ok(sheet("Tokens", html! { div class="head" { h1 { "Tokens" } } (note) }))))
        }
        Ok(None) => said::go(PATH, "revoke"),
        Err(problem) => {
            let sheet = page(&visit, &said::refused(&problem)).await;
            said::answer(&visit, problem, sheet)
        }
    }
}

async fn create(visit: &Visit, fields: &Fields) -> Result<CreatedToken, Problem> {
    visit.change(Method::POST, CREATE, Some(json!(asked(fields)?))).await
}

/// What a form wants.
fn asked(fields: &Fields) -> Result<CreateToken, Problem> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| Problem::bad_request(format!("{what}: {error}"));
    let text = |field: &str| fields.said(field).unwrap_or_default();
    Ok(CreateToken {
        name: text("name").parse::<Name>().map_err(|error| wrong("the name", &error))?,
        role: serde_json::from_value::<Role>(json!(text("role"))).map_err(|error| wrong("the role", &error))?,
        namespace: fields
            .said("namespace")
            .map(str::parse::<Namespace>)
            .transpose()
            .map_err(|error| wrong("the namespace", &error))?,
        expires_in_ms: fields
            .said("term")
            .map(str::parse::<u64>)
            .transpose()
            .map_err(|error| wrong("the time", &error))?,
    })
}

/// Names of tokens are each namespace's own.
async fn revoke(visit: &Visit, fields: &Fields) -> Result<RevokedToken, Problem> {
    let token = utf8_percent_encode(fields.said("name").unwrap_or_default(), NON_ALPHANUMERIC).to_string();
    let namespace = fields.said("namespace").and_then(|name| name.parse().ok());
    let who = visit.who.clone().about(namespace);
    visit.pages.inside.change(&who, Method::DELETE, &REVOKE.replace("{token}", &token), None).await
}

fn told(made: &CreatedToken) -> Markup {
    html! {
        div class="state ok" role="status" {
            p class="lead" { (look::GOOD.icon()) "The token “" (made.about.name) "” is made. Its text, which nobody can be told again:" }
            p { code id="made" data-copy { (made.token) } }
        }
    }
}

async fn page(visit: &Visit, note: &Markup) -> Result<Sheet, Problem> {
    let list: TokenList = visit.read(CREATE).await?;
    let now = now_ms();
    let (good, over): (Vec<&Token>, Vec<&Token>) =
        list.tokens.iter().partition(|token| token.state == TokenState::Good);
    let main = html! {
        div class="head" { h1 { "Tokens" } }
        (row(visit, PATH))
        (note)
        div class="acts" { (make().with(visit, &fields(visit))) }
        (part("good", "That let somebody in", &html! {
            @if good.is_empty() { p class="muted" { "None of the store’s: whoever is let in has another one, or needs none." } }
            @else { (table(visit, &good, now)) }
        }))
        @if !over.is_empty() { (part("over", "Expired or revoked", &table(visit, &over, now))) }
    };
    Ok(sheet("Tokens", main))
}

fn make() -> Panel<'static> {
    Panel {
        route: (Method::POST, CREATE),
        action: PATH,
        label: "Make a token",
        weight: "primary",
        what: "Its text is told once, on the next page.",
    }
}

fn fields(visit: &Visit) -> Markup {
    html! {
        label { "Name" input name="name" required maxlength="64" autocomplete="off" spellcheck="false"; }
        label { "Role"
            select name="role" { @for role in Role::ALL { option value=(role.as_str()) { (role) ": " (role.what()) } } }
        }
        @if visit.who.namespace().is_none() {
            label { "Where it counts"
                select name="namespace" {
                    option value="" { "everywhere" }
                    @for name in &visit.around.namespaces { option value=(name) { "in " (name) " alone" } }
                }
            }
        }
        label { "Good for"
            select name="term" { @for (words, term) in TERMS { option value=(term.map(|ms| ms.to_string()).unwrap_or_default()) { (words) } } }
        }
    }
}

fn table(visit: &Visit, tokens: &[&Token], now: i64) -> Markup {
    html! {
        table class="rows" {
            (columns(&[("State", ""), ("Name", ""), ("Role", ""), ("Counts", "wide"), ("Made", "num wide"), ("Ends", "num")]))
            tbody { @for token in tokens { (token_row(visit, token, now)) } }
        }
    }
}

fn token_row(visit: &Visit, token: &Token, now: i64) -> Markup {
    let look = match token.state {
        TokenState::Good => look::GOOD,
        TokenState::Expired => Look { word: "expired", class: "idle", shape: "s-bar" },
        TokenState::Revoked => Look { word: "revoked", class: "idle", shape: "s-bar" },
    };
    html! {
        tr {
            td { (look.chip()) }
            th scope="row" {
                (name(&token.name))
                @if token.state == TokenState::Good { div class="acts" { (revoking().with(visit, &whose(token))) } }
            }
            td { (token.role) }
            td class="wide" { @match &token.namespace { Some(one) => { "in " (name(one.as_str())) }, None => "everywhere" } }
            td class="num wide" {
                (ago(token.created_at_ms, now)) @if let Some(by) = &token.created_by { " by " (name(by)) }
            }
            td class="num" { (ends(token, now)) }
        }
    }
}

fn revoking() -> Panel<'static> {
    Panel {
        route: (Method::DELETE, REVOKE),
        action: PATH,
        label: "Revoke",
        weight: "danger",
        what: "Lets nobody in by it any more, for good.",
    }
}

fn whose(token: &Token) -> Markup {
    html! {
        (hidden("act", "revoke"))
        (hidden("name", &token.name))
        (hidden("namespace", token.namespace.as_ref().map(Namespace::as_str).unwrap_or_default()))
    }
}

fn ends(token: &Token, now: i64) -> Markup {
    html! {
        @match (token.revoked_at_ms, token.expires_at_ms) {
            (Some(at), _) => (ago(at, now)),
            (None, Some(at)) if at <= now => (ago(at, now)),
            (None, Some(at)) => { "in " (rough(at - now)) },
            (None, None) => "–",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_who_may_do_what_where_and_for_how_long() {
        let asked =
            |form: &str| asked(&Fields::of(form.as_bytes())).map(|wanted| serde_json::to_string(&wanted).unwrap());
        assert_eq!(
            asked("name=ci&role=deploy&namespace=team-a&term=86400000").unwrap(),
            r#"{"name":"ci","role":"deploy","namespace":"team-a","expires_in_ms":86400000}"#
        );
        assert_eq!(asked("name=ci&role=read&namespace=&term=").unwrap(), r#"{"name":"ci","role":"read"}"#);
        for wrong in
            ["name=&role=read", "name=ci&role=king", "name=ci&role=read&term=soon", "name=ci&role=read&namespace=%2F"]
        {
            assert_eq!(asked(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}

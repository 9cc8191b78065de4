//! Secrets that the store keeps: their names and grants. Their values nobody is told.

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Problem, SecretGrant, SecretList, StoredSecret};
use url::form_urlencoded::Serializer;

use super::{row, sheet};
use crate::frame::Sheet;
use crate::query::Query;
use crate::rows::columns;
use crate::times::{ago, now_ms};
use crate::visit::Visit;
use crate::words::name;

const PATH: &str = "/access/secrets";

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    visit.answer(page(&visit, query.said("after")).await)
}

async fn page(visit: &Visit, after: Option<&str>) -> Result<Sheet, Problem> {
    let after_this = |after: &str| Serializer::new(String::new()).append_pair("after", after).finish();
    let asked = after.map(|after| format!("?{}", after_this(after))).unwrap_or_default();
    let list: SecretList = visit.read(&format!("/v1/secrets{asked}")).await?;
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Secrets" } }
        (row(visit, PATH))
        p class="muted" {
            "Kept sealed, and given to those that they are granted to. " code { "pawl secret set NAME" } " and " code { "pawl secret grant" }
            " change them; no page is told a value."
        }
        @if list.secrets.is_empty() { div class="empty" { p { "The store keeps none." } } } @else {
            table class="rows" {
                (columns(&[("Name", ""), ("Granted to", ""), ("Version", "num wide"), ("Set", "num")]))
                tbody { @for secret in &list.secrets { (secret_row(secret, now)) } }
            }
        }
        @if let Some(next) = &list.next {
            nav class="pager" aria-label="Pages of the list" {
                a class="button" rel="next" href={ (PATH) "?" (after_this(next)) } { "More →" }
            }
        }
    };
    Ok(sheet("Secrets", main))
}

fn secret_row(secret: &StoredSecret, now: i64) -> Markup {
    html! {
        tr {
            th scope="row" { (name(&secret.name)) }
            td {
                @if secret.grants.is_empty() { span class="muted" { "nobody" } }
                @for grant in &secret.grants { p class="says" { (granted(grant)) } }
            }
            td class="num wide" { (secret.version) }
            td class="num" { (ago(secret.set_at_ms, now)) @if let Some(by) = &secret.set_by { " by " (name(by)) } }
        }
    }
}

fn granted(grant: &SecretGrant) -> Markup {
    html! {
        strong { (grant.pipeline) }
        @if let Some(step) = &grant.step { " / " (step) }
        span class="muted" {
            @if let Some(plugin) = &grant.plugin { ", executing " (plugin) }
            @if grant.hosts.is_empty() { ", the value itself" } @else { ", in requests to " (grant.hosts.join(", ")) }
        }
    }
}

//! What a person can do with a plugin: make another version the active one, and go back. Either waits until each worker has said
//! whether it can load it; what is refused is said in the API's words.

use axum::extract::{Path, RawForm};
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{ActivatedPlugin, PluginDetail, Problem};
use serde_json::json;

use super::{one, path};
use crate::forms::{Fields, JSON};
use crate::panel::Panel;
use crate::query::Query;
use crate::said;
use crate::visit::Visit;

const ACTIVATE: &str = "/v1/plugins/{plugin}/activate";
const ROLLBACK: &str = "/v1/plugins/{plugin}/rollback";

/// What to say after it was done.
pub(super) const DONE: [(&str, &str); 2] = [
    ("activate", "The version is active: steps get it that have none yet."),
    ("rollback", "The version is active again that was so before."),
];

/// The forms, for whoever may.
pub(super) fn forms(visit: &Visit, plugin: &PluginDetail) -> Markup {
    let at = path(&plugin.name);
    let others = plugin.versions.iter().filter(|version| Some(&version.version) != plugin.active_version.as_ref());
    let others: Vec<&str> = others.take(one::CHOICES).map(|version| &*version.version).collect();
    html! {
        div class="acts" {
            @if !others.is_empty() {
                (activate(&format!("{at}/activate")).with(visit, &html! {
                    label { "Version" select name="version" required { @for version in &others { option value=(version) { (version) } } } }
                }))
            }
            @if let Some(previous) = plugin.previous_version.as_deref().filter(|_| visit.may(&Method::POST, ROLLBACK)) {
                details class="act" name="act" {
                    summary class="button" { "Roll back…" }
                    form class="panel" method="post" action={ (at) "/rollback" } {
                        p { "Goes back in history, to " code { (previous) } ". What it goes back from is no part of the history any more." }
                        button class="button primary" { "Roll back" }
                    }
                }
            }
        }
    }
}

fn activate(action: &str) -> Panel<'_> {
    Panel {
        route: (Method::POST, ACTIVATE),
        action,
        label: "Activate",
        weight: "primary",
        what: "Makes a version the active one, when each live worker has loaded it. Steps that have a version keep it.",
    }
}

pub(crate) async fn act(visit: Visit, Path((name, act)): Path<(String, String)>, RawForm(form): RawForm) -> Response {
    match asked(&visit, &name, &act, &Fields::of(&form)).await {
        Ok(_) => said::go(&path(&name), &act),
        Err(problem) => {
            let sheet = one::sheet(&visit, &name, &Query::default(), &said::refused(&problem)).await;
            said::answer(&visit, problem, sheet)
        }
    }
}

async fn asked(visit: &Visit, name: &str, act: &str, fields: &Fields) -> Result<ActivatedPlugin, Problem> {
    let body = match act {
        "activate" => Some(json!({ "version": fields.said("version").unwrap_or_default() }).to_string().into_bytes()),
        "rollback" => None,
        _ => return Err(Problem::not_found(format!("there is nothing to do that is called {act:?}"))),
    };
    let at = format!("/v1{}/{act}", path(name));
    visit.pages.inside.change(&visit.who, Method::POST, &at, body.map(|body| (JSON, body))).await
}

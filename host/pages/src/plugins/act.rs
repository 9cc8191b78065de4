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
use crate::look;
use crate::panel::Panel;
use crate::query::Query;
use crate::said;
use crate::visit::Visit;

const ACTIVATE: &str = "/v1/plugins/{plugin}/activate";
const ROLLBACK: &str = "/v1/plugins/{plugin}/rollback";

/// That it was done, by the name of the version; and what it has not done, which is what somebody wants who has gone back.
pub(super) fn done(query: &Query, plugin: &PluginDetail) -> Markup {
    let words = match query.said("did") {
        Some("activate") => " is active: steps get it that have none yet.",
        Some("rollback") => " is active again.",
        _ => return html! {},
    };
    let Some(active) = &plugin.active_version else { return html! {} };
    html! {
        p class="note ok" role="status" {
            (look::GOOD.icon())
            span {
                strong { (active) } (words)
                " Failed and parked steps stay as they are: " a href="/dead-letters" { "dead letters" }
            }
        }
    }
}

/// The forms, for whoever may.
pub(super) fn forms(visit: &Visit, plugin: &PluginDetail) -> Markup {
    let at = path(&plugin.name);
    let others = plugin.versions.iter().filter(|version| Some(&version.version) != plugin.active_version.as_ref());
    let others: Vec<&str> = others.take(one::CHOICES).map(|version| &*version.version).collect();
    html! {
        div class="acts" {
            @if !others.is_empty() {
                (activate(&format!("{at}/activate"), plugin.previous_version.is_some()).with(visit, &html! {
                    label { "Version" select name="version" required { @for version in &others { option value=(version) { (version) } } } }
                }))
            }
            @if let Some(previous) = plugin.previous_version.as_deref().filter(|_| visit.may(&Method::POST, ROLLBACK)) {
                details class="act" name="act" {
                    summary class="button" { "Roll back…" }
                    form class="panel" method="post" action={ (at) "/rollback" } {
                        p {
                            "Goes back in history, to " code { (previous) } "."
                            @if let Some(active) = &plugin.active_version { " " code { (active) } " stays here and can be activated again." }
                        }
                        button class="button primary" { "Roll back" }
                    }
                }
            }
        }
    }
}

/// Where there is a version to go back to, that is as likely what somebody has come for: neither stands out.
fn activate(action: &str, has_previous: bool) -> Panel<'_> {
    Panel {
        route: (Method::POST, ACTIVATE),
        action,
        label: "Activate",
        weight: if has_previous { "" } else { "primary" },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_by_the_name_of_the_version_with_what_stays_to_be_done() {
        let plugin: PluginDetail = serde_json::from_value(json!({
            "name": "fx", "active_version": "2.3.0", "previous_version": null, "versions": [], "used_by": [],
            "more_pipelines": false, "looked_runs": 0, "more_runs": false,
        }))
        .unwrap();
        let said = |query: &str| done(&Query::of(query), &plugin).into_string();
        let back = said("did=rollback");
        assert!(back.contains("<strong>2.3.0</strong> is active again."), "{back}");
        assert!(back.contains("stay as they are: <a href=\"/dead-letters\">dead letters</a>"), "{back}");
        assert!(said("did=activate").contains("<strong>2.3.0</strong> is active: steps get it"));
        assert_eq!((said("did=%3Cb%3E").as_str(), said("").as_str()), ("", ""));
    }
}

//! Who uses a plugin: pipelines with steps of it, and secrets that these steps may be given.

use axum::http::Method;
use maud::{Markup, html};
use pawl_api::types::{PluginDetail, PluginUser, SecretGrant, SecretList};

use super::one::ROWS;
use crate::pipelines;
use crate::rows::columns;
use crate::said;
use crate::visit::Visit;
use crate::words::{count, figure, name};

const SECRETS: &str = "/v1/secrets";

/// Its pipelines.
pub(super) fn pipelines_of(plugin: &PluginDetail) -> Markup {
    let rest = plugin.used_by.len().saturating_sub(ROWS);
    html! {
        @if plugin.used_by.is_empty() { p class="muted" { "No pipeline has a step of it." } } @else {
            table class="rows" {
                (columns(&[("Pipeline", ""), ("Version", ""), ("Steps", "num")]))
                tbody { @for user in plugin.used_by.iter().take(ROWS) { (user_row(user)) } }
            }
            @if rest > 0 { p class="muted" { "… and " (count(rest as u64, "pipeline", "pipelines")) " more." } }
        }
        @if plugin.more_pipelines { p class="muted" { "There are more pipelines than were looked at." } }
    }
}

fn user_row(user: &PluginUser) -> Markup {
    html! {
        tr {
            th scope="row" { a class="row" href=(pipelines::path(&user.pipeline)) { (name(&user.pipeline)) } }
            td { @if let Some(version) = &user.version { (name(version)) } @else { span class="muted" { "the active one" } } }
            td class="num" { (figure(user.steps.into())) }
        }
    }
}

/// Which secrets its steps may be given, for whoever sees that; the first page of them.
pub(super) async fn grants(visit: &Visit, plugin: &PluginDetail) -> Option<Markup> {
    if !visit.may(&Method::GET, SECRETS) {
        return None;
    }
    let SecretList { secrets, next } = match visit.read(SECRETS).await {
        Ok(list) => list,
        Err(problem) => return Some(said::unread("Secrets", &problem, false)),
    };
    let of_it = |grant: &&SecretGrant| is_for(grant, plugin);
    let granted: Vec<(&str, &SecretGrant)> = secrets
        .iter()
        .flat_map(|secret| secret.grants.iter().filter(of_it).map(|grant| (&*secret.name, grant)))
        .collect();
    Some(html! {
        @if granted.is_empty() { p class="muted" { "None is granted to steps of it." } } @else {
            table class="rows" {
                (columns(&[("Secret", ""), ("Pipeline", ""), ("Step", "wide"), ("Given", "wide")]))
                tbody {
                    @for (secret, grant) in granted.iter().take(ROWS) {
                        tr {
                            th scope="row" { (name(secret)) }
                            td { a href=(pipelines::path(grant.pipeline.as_str())) { (name(grant.pipeline.as_str())) } }
                            td class="wide" {
                                @if let Some(step) = &grant.step { (name(step.as_str())) } @else { span class="muted" { "each" } }
                            }
                            td class="wide" {
                                @if grant.hosts.is_empty() { "the value" }
                                @else { "only in requests to " (name(&grant.hosts.join(", "))) }
                            }
                        }
                    }
                }
            }
        }
        @if next.is_some() { p class="muted" { "Looked at are the first " (secrets.len()) " secrets." } }
    })
}

/// A grant that names another plugin is not for it; nor is one to a pipeline that does not use it.
fn is_for(grant: &SecretGrant, plugin: &PluginDetail) -> bool {
    match &grant.plugin {
        Some(named) => named.as_str() == plugin.name,
        None => plugin.used_by.iter().any(|user| user.pipeline == grant.pipeline.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plugin() -> PluginDetail {
        serde_json::from_value(json!({
            "name": "load", "active_version": null, "previous_version": null, "versions": [],
            "used_by": [{"pipeline": "orders", "steps": 1}], "more_pipelines": false, "looked_runs": 0, "more_runs": false,
        }))
        .unwrap()
    }

    #[test]
    fn a_grant_is_for_the_plugin_that_it_names_or_for_all_of_its_pipeline() {
        let is = |grant| is_for(&serde_json::from_value(grant).unwrap(), &plugin());
        assert!(is(json!({"pipeline": "orders"})) && is(json!({"pipeline": "other", "plugin": "load"})));
        assert!(!is(json!({"pipeline": "other"})) && !is(json!({"pipeline": "orders", "plugin": "join"})));
    }
}

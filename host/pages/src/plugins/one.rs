//! A plugin: its versions with what keeps each, what one of them asks for, what changed between two, and who uses it.

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{PluginDetail, Problem, VersionUse};

use super::{act, path, size, users, version};
use crate::frame::{Live, Sheet, Tab, part};
use crate::look;
use crate::query::Query;
use crate::rows::columns;
use crate::times::{ago, now_ms};
use crate::visit::Visit;
use crate::words::{count, figure, in_path, name};

/// Versions and pipelines that are listed, and versions that one is chosen of.
pub(super) const ROWS: usize = 40;
pub(super) const CHOICES: usize = 100;

pub(crate) async fn show(visit: Visit, Path(plugin): Path<String>, query: Query) -> Response {
    visit.answer(sheet(&visit, &plugin, &query, &html! {}).await)
}

pub(super) async fn sheet(visit: &Visit, plugin: &str, query: &Query, note: &Markup) -> Result<Sheet, Problem> {
    let plugin: PluginDetail = visit.read(&format!("/v1{}", path(plugin))).await?;
    let (told, with) = shown(&plugin, query);
    let asks = match &told {
        Some(told) => version::told(visit, &plugin.name, told).await,
        None => html! { p class="muted" { "There is no version any more." } },
    };
    let changed = match told.as_ref().zip(with.as_ref()) {
        Some((told, with)) => Some(version::changed(visit, &plugin.name, with, told).await),
        None => None,
    };
    let grants = users::grants(visit, &plugin).await;
    let now = now_ms();
    let main = html! {
        (head(&plugin, now))
        (act::done(query, &plugin))
        (note)
        (act::forms(visit, &plugin))
        (part("versions", "Versions", &versions(&plugin, told.as_deref(), now)))
        (part("asks", &told.map_or_else(|| "Version".to_owned(), |told| format!("Version {told}")), &asks))
        @if let Some(changed) = changed { (part("changes", "What changed", &changed)) }
        (part("users", "Used by", &users::pipelines_of(&plugin)))
        @if let Some(grants) = grants { (part("grants", "Secrets", &grants)) }
    };
    Ok(Sheet { title: format!("{} · plugin", plugin.name), tab: Tab::Plugins, live: Live::No, main })
}

/// The version that is told about: the active one, or the newest, if none was named. And the one that it is compared with: the
/// one before it, as they were pushed, if none was named.
fn shown(plugin: &PluginDetail, query: &Query) -> (Option<String>, Option<String>) {
    let newest = || plugin.versions.first().map(|version| version.version.clone());
    let asked = |name: &str| query.said(name).map(str::to_owned);
    let told = asked("version").or_else(|| plugin.active_version.clone()).or_else(newest);
    let before = || {
        let place = plugin.versions.iter().position(|version| Some(&version.version) == told.as_ref())?;
        plugin.versions.get(place + 1).map(|version| version.version.clone())
    };
    let with = asked("with").or_else(before);
    (told, with)
}

fn head(plugin: &PluginDetail, now: i64) -> Markup {
    let active = plugin.versions.iter().find(|version| Some(&version.version) == plugin.active_version.as_ref());
    html! {
        p class="crumbs" { a href="/plugins" { "Plugins" } }
        div class="head" id="head" data-live {
            h1 { (plugin.name) }
            dl class="facts" {
                div { dt { "Active" } dd { (plugin.active_version.as_deref().unwrap_or("none")) } }
                @if let Some(active) = active {
                    div { dt { "Component" } dd { code class="id" { (active.digest.short()) } } }
                    div { dt { "Size" } dd { (size(active.size_bytes)) } }
                    div { dt { "Pushed" } dd { (ago(active.created_at_ms, now)) } }
                }
                div { dt { "Versions" } dd { (figure(plugin.versions.len() as u64)) } }
            }
        }
    }
}

const COLUMNS: [(&str, &str); 6] = [
    ("Version", ""),
    ("Kept as", ""),
    ("Component", "wide"),
    ("Size", "num wide"),
    ("Open runs", "num"),
    ("Pushed", "num"),
];

fn versions(plugin: &PluginDetail, told: Option<&str>, now: i64) -> Markup {
    let rest = plugin.versions.len().saturating_sub(ROWS);
    let more = if plugin.more_runs { "the newest " } else { "" };
    html! {
        table class="rows" {
            (columns(&COLUMNS))
            tbody { @for version in plugin.versions.iter().take(ROWS) { (row(plugin, version, told, now)) } }
        }
        @if rest > 0 { p class="muted" { "… and " (count(rest as u64, "version", "versions")) " that were pushed before." } }
        p class="muted more" {
            "Pinned steps are counted in " (more) (count(plugin.looked_runs.into(), "open run", "open runs")) ". "
            "What is unused goes by itself, with its component, when retention has deleted the last run that was on it."
        }
        @if plugin.versions.len() > 1 { (compare(plugin, told)) }
    }
}

fn row(plugin: &PluginDetail, version: &VersionUse, told: Option<&str>, now: i64) -> Markup {
    let more = if plugin.more_runs { "+" } else { "" };
    html! {
        tr {
            th scope="row" {
                a class="row" href={ (path(&plugin.name)) "?version=" (in_path(&version.version)) "#asks" }
                    aria-current=[(told == Some(&*version.version)).then_some("true")] { (name(&version.version)) }
            }
            td { (look::of_standing(version.standing).chip()) }
            td class="wide" { code class="id" { (version.digest.short()) } }
            td class="num wide" { (size(version.size_bytes)) }
            td class="num" { @if version.open_runs > 0 { (figure(version.open_runs.into())) (more) } @else { "–" } }
            td class="num" { (ago(version.created_at_ms, now)) }
        }
    }
}

/// Any two of them.
fn compare(plugin: &PluginDetail, told: Option<&str>) -> Markup {
    let all = || plugin.versions.iter().take(CHOICES).map(|version| &*version.version);
    let before = all().skip_while(|version| Some(*version) != told).nth(1);
    let options = |chosen: Option<&str>| {
        html! { @for version in all() { option value=(version) selected[Some(version) == chosen] { (version) } } }
    };
    html! {
        form class="filter more" action={ (path(&plugin.name)) "#changes" } {
            label { "From " select name="with" { (options(before)) } }
            label { "to " select name="version" { (options(told)) } }
            button class="button" { "What changed" }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plugin() -> PluginDetail {
        let digest = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        let version = |name: &str| json!({"version": name, "digest": digest, "size_bytes": 1, "created_at_ms": 1, "standing": "unused", "open_runs": 0});
        let versions = ["3", "2", "1"].map(version);
        serde_json::from_value(json!({
            "name": "load", "active_version": "2", "previous_version": null, "versions": versions,
            "used_by": [{"pipeline": "orders", "steps": 1}], "more_pipelines": false, "looked_runs": 0, "more_runs": false,
        }))
        .unwrap()
    }

    #[test]
    fn the_active_version_is_told_about_and_compared_with_the_one_before_it() {
        let shown = |query: &str| shown(&plugin(), &Query::of(query));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(shown(""), (some("2"), some("1")));
        assert_eq!(shown("version=1"), (some("1"), None));
        assert_eq!(shown("version=3&with=1"), (some("3"), some("1")));
        assert_eq!(shown("version=9&with="), (some("9"), None), "the API says that there is none");
    }
}

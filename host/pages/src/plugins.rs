//! Plugins: all of them, each with the version that is active. What keeps its versions, and what one asks for: below.

use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Plugin, PluginList, Problem};

use super::frame::{Live, Sheet, Tab};
use super::rows::columns;
use super::times::{ago, now_ms};
use super::visit::Visit;
use super::words::{figure, in_path, name};

mod act;
mod one;
mod users;
mod version;

pub(super) use act::act;
pub(super) use one::show;

/// How the first one comes.
const FIRST: &str = "pawl plugin new hello\npawl plugin build hello -o hello.wasm\npawl plugin push hello.wasm";

/// Where a plugin's page is.
pub(super) fn path(plugin: &str) -> String {
    format!("/plugins/{}", in_path(plugin))
}

/// `48 KiB`.
fn size(bytes: u64) -> String {
    match bytes {
        ..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}

pub(super) async fn list(visit: Visit) -> Response {
    visit.answer(sheet(&visit).await)
}

async fn sheet(visit: &Visit) -> Result<Sheet, Problem> {
    let list: PluginList = visit.read("/v1/plugins").await?;
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Plugins" } }
        div id="plugins" data-live {
            @if list.plugins.is_empty() {
                div class="empty" { p { "There are no plugins yet. This makes one, builds it and stores it:" } pre { code { (FIRST) } } }
            } @else {
                table class="rows" {
                    (columns(&[("Plugin", ""), ("Active", ""), ("Size", "num wide"), ("Versions", "num"), ("Newest", "num")]))
                    tbody { @for plugin in &list.plugins { (row(plugin, now)) } }
                }
                p class="muted more" { "A version comes with " code { "pawl plugin push FILE.wasm" } "." }
            }
        }
    };
    Ok(Sheet { title: "Plugins".to_owned(), tab: Tab::Plugins, live: Live::Every(10_000), main })
}

fn row(plugin: &Plugin, now: i64) -> Markup {
    let active = plugin.versions.iter().find(|version| Some(&version.version) == plugin.active_version.as_ref());
    html! {
        tr {
            th scope="row" { a class="row" href=(path(&plugin.name)) { (name(&plugin.name)) } }
            td { @if let Some(version) = &plugin.active_version { (name(version)) } @else { span class="muted" { "none" } } }
            td class="num wide" { @if let Some(active) = active { (size(active.size_bytes)) } @else { "–" } }
            td class="num" { (figure(plugin.versions.len() as u64)) }
            td class="num" { @if let Some(newest) = plugin.versions.first() { (ago(newest.created_at_ms, now)) } @else { "–" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_unit() {
        let told: Vec<String> = [0, 1_023, 1_024, 1_025, 1_048_575, 1_048_576, 1_625_292, 67_108_864].map(size).into();
        assert_eq!(told, ["0 bytes", "1023 bytes", "1 KiB", "2 KiB", "1024 KiB", "1.0 MiB", "1.5 MiB", "64.0 MiB"]);
    }
}

//! A version of a plugin: what its component says of itself and asks for, and what of that is another than in a second one.

use futures_util::future::join;
use maud::{Markup, html};
use pawl_api::types::{PluginVersionDetail, Problem};
use serde_json::{Value, json};

use super::{path, size};
use crate::changes;
use crate::json;
use crate::said;
use crate::visit::Visit;
use crate::words::{cut, in_path, prose};

/// Letters of a description, and of a name of something that it needs.
const DESCRIPTION: usize = 600;
const NEED: usize = 120;

/// Interfaces and hosts that are listed.
const LISTED: usize = 40;

async fn read(visit: &Visit, plugin: &str, version: &str) -> Result<PluginVersionDetail, Problem> {
    visit.read(&format!("/v1{}/versions/{}", path(plugin), in_path(version))).await
}

pub(super) async fn told(visit: &Visit, plugin: &str, version: &str) -> Markup {
    match read(visit, plugin, version).await {
        Ok(detail) => asks(&detail),
        Err(problem) => said::refused(&problem),
    }
}

pub(super) async fn changed(visit: &Visit, plugin: &str, before: &str, after: &str) -> Markup {
    match join(read(visit, plugin, before), read(visit, plugin, after)).await {
        (Ok(before), Ok(after)) => difference(&before, &after),
        (Err(problem), _) | (_, Err(problem)) => said::refused(&problem),
    }
}

fn asks(detail: &PluginVersionDetail) -> Markup {
    let manifest = &detail.version.manifest;
    let text = |name: &str| manifest.get(name).and_then(Value::as_str).unwrap_or_default();
    let (own, others): (Vec<_>, Vec<_>) = detail.imports.iter().partition(|name| name.starts_with("pawl:"));
    html! {
        @if !text("description").is_empty() { p { (prose(&cut(text("description"), DESCRIPTION))) } }
        dl class="facts" {
            div { dt { "Digest" } dd { code class="id" data-copy { (detail.version.digest) } } }
            div { dt { "Size" } dd { (size(detail.version.size_bytes)) } }
        }
        h3 { "Reaches" }
        @match manifest.get("needs").and_then(Value::as_array).filter(|needs| !needs.is_empty()) {
            Some(needs) => (named(needs.iter().filter_map(Value::as_str))),
            None => p class="muted" { "No host: it asks for none." },
        }
        h3 { "Imports of Pawl" }
        (named(own.into_iter().map(String::as_str)))
        h3 { "Imports of WASI" }
        (named(others.into_iter().map(String::as_str)))
        (schema("What it takes", manifest.get("input_schema")))
        (schema("What it gives", manifest.get("output_schema")))
    }
}

fn named<'a>(names: impl Iterator<Item = &'a str>) -> Markup {
    let all: Vec<&str> = names.collect();
    let rest = all.len().saturating_sub(LISTED);
    html! {
        @if all.is_empty() { p class="muted" { "None." } } @else {
            p class="listed" {
                @for name in all.iter().take(LISTED) { code { (cut(name, NEED)) } " " }
                @if rest > 0 { span class="muted" { "… and " (rest) " more" } }
            }
        }
    }
}

fn schema(name: &str, schema: Option<&Value>) -> Markup {
    html! {
        @if let Some(schema) = schema {
            details class="more" {
                summary { (name) ", as JSON Schema" }
                @match json::folded(schema.to_string().as_bytes()) {
                    Some(folded) => (folded),
                    None => p class="muted" { "It is too large to be shown." },
                }
            }
        }
    }
}

/// What is compared of a version. Its own name says nothing.
fn compared(detail: &PluginVersionDetail) -> Value {
    let mut manifest = detail.version.manifest.clone();
    if let Some(members) = manifest.as_object_mut() {
        members.remove("version");
    }
    json!({"imports": detail.imports, "manifest": manifest, "size_bytes": detail.version.size_bytes})
}

fn difference(before: &PluginVersionDetail, after: &PluginVersionDetail) -> Markup {
    let found = changes::between(&compared(before), &compared(after));
    let mut left = changes::room();
    html! {
        p class="muted" { "From " code { (cut(&before.version.version, NEED)) } " to " code { (cut(&after.version.version, NEED)) } "." }
        @if before.version.digest == after.version.digest { p { "They are the same component." } }
        @else if found.is_empty() { p { "They say the same of themselves, import the same, and are as large as each other." } }
        @else { (changes::list(&found, &mut left)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str, manifest: &Value, imports: &[&str]) -> PluginVersionDetail {
        let digest = pawl_domain::id::Digest::of(name.as_bytes());
        serde_json::from_value(json!({"name": "p", "version": name, "digest": digest, "size_bytes": 100 + name.len(),
            "created_at_ms": 1, "manifest": manifest, "imports": imports}))
        .unwrap()
    }

    #[test]
    fn what_a_version_asks_for_that_the_other_did_not_is_told() {
        let schema = |count: &str| json!({"type": "object", "properties": {"count": {"type": count}}});
        let before = version(
            "1",
            &json!({"name": "p", "version": "1", "needs": [], "input_schema": schema("integer")}),
            &["pawl:step/context@0.1.0"],
        );
        let after = version(
            "2",
            &json!({"name": "p", "version": "2", "needs": ["https://a.example"], "input_schema": schema("string")}),
            &["pawl:step/context@0.1.0", "pawl:step/http@0.1.0"],
        );
        let shown = difference(&before, &after).into_string();
        for part in [
            "<code>imports</code> <ins><span class=\"unseen\">now </span>pawl:step/http@0.1.0</ins>",
            "<code>manifest.needs</code> <ins><span class=\"unseen\">now </span>https://a.example</ins>",
            "<code>manifest.input_schema.properties.count.type</code> <del>",
        ] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(!shown.contains("manifest.version") && !shown.contains("size_bytes"), "{shown}");
        assert!(difference(&before, &before).into_string().contains("the same component"));
    }

    #[test]
    fn what_a_component_says_is_text_and_bounded() {
        let hostile = "</code><script>alert(1)</script>";
        let manifest = json!({"description": hostile.repeat(1_000), "needs": vec![hostile.repeat(100); 500], "input_schema": {hostile: hostile}});
        let shown = asks(&version(hostile, &manifest, &[hostile])).into_string();
        assert!(!shown.contains("<script"), "{shown}");
        assert!(shown.len() < 30_000, "{} bytes", shown.len());
    }
}

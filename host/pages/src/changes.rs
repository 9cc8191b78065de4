//! What differs between two documents, told by path: `config.items: 30 → 40`. Lists of texts are told by what came and what
//! went, other lists as a whole. Pure.

use maud::{Markup, html};
use serde_json::Value;

use super::words::{count, cut};

/// Levels of objects that are looked into, and differences that are told.
const DEEP: usize = 12;
const TOLD: usize = 60;

/// Letters of a value, and of a path.
const VALUE: usize = 160;
const PATH: usize = 120;

/// A difference: without `before` something came, without `after` it went.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// All of them, in the order of paths.
pub(super) fn between(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    look(Some(before), Some(after), "", 0, &mut found);
    found
}

fn look(before: Option<&Value>, after: Option<&Value>, path: &str, depth: usize, found: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(one)), Some(Value::Object(other))) if depth < DEEP => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                look(one.get(name), other.get(name), &path, depth + 1, found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) if are_texts(one) && are_texts(other) => {
            let change = |before, after| Change { path: path.to_owned(), before, after };
            let known = found.len();
            found.extend(one.iter().filter(|it| !other.contains(it)).map(|it| change(Some(it.clone()), None)));
            found.extend(other.iter().filter(|it| !one.contains(it)).map(|it| change(None, Some(it.clone()))));
            // The same in another order, or another number of times.
            if found.len() == known {
                found.push(change(before.cloned(), after.cloned()));
            }
        }
        _ => found.push(Change { path: path.to_owned(), before: before.cloned(), after: after.cloned() }),
    }
}

fn are_texts(items: &[Value]) -> bool {
    items.len() <= 1_000 && items.iter().all(Value::is_string)
}

/// As a list; `left` is how many may still be told on the page.
pub(super) fn list(changes: &[Change], left: &mut usize) -> Markup {
    let shown = changes.len().min(*left);
    *left -= shown;
    html! {
        ul class="changes" {
            @for change in &changes[..shown] {
                li {
                    code { (cut(&change.path, PATH)) } " "
                    @if let Some(before) = &change.before { del { span class="unseen" { "was " } (text(before)) } }
                    @if change.before.is_some() && change.after.is_some() { span aria-hidden="true" { " → " } }
                    @if let Some(after) = &change.after { ins { span class="unseen" { "now " } (text(after)) } }
                }
            }
            @if shown < changes.len() {
                li class="muted" { "… and " (count((changes.len() - shown) as u64, "difference", "differences")) " more" }
            }
        }
    }
}

/// How many differences a page tells.
pub(super) fn room() -> usize {
    TOLD
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text, VALUE),
        other => cut(&other.to_string(), VALUE),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: &Value, after: &Value) -> Vec<String> {
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
        between(before, after)
            .iter()
            .map(|it| format!("{} {} {}", it.path, text(&it.before), text(&it.after)))
            .collect()
    }

    #[test]
    fn what_came_went_or_is_another_is_told_by_its_path() {
        let before = json!({"queue": "a", "config": {"items": 30, "keep": 1}, "allow": ["x", "y"], "gone": null});
        let after = json!({"queue": "b", "config": {"items": 40, "keep": 1}, "allow": ["y", "z"], "new": [1]});
        let all =
            ["allow \"x\" -", "allow - \"z\"", "config.items 30 40", "gone null -", "new - [1]", "queue \"a\" \"b\""];
        assert_eq!(told(&before, &after), all);
        assert!(told(&before, &before).is_empty());
        assert_eq!(told(&json!({"a": ["x", "y"]}), &json!({"a": ["y", "x"]})), ["a [\"x\",\"y\"] [\"y\",\"x\"]"]);
        assert_eq!(told(&json!({"a": [1]}), &json!({"a": [2]})), ["a [1] [2]"]);
        assert_eq!(told(&json!({"a": {"b": 1}}), &json!({"a": 1})), ["a {\"b\":1} 1"]);
    }

    #[test]
    fn what_is_deep_wide_or_markup_is_bounded_text() {
        let deep = |end: i32| (0..100).fold(json!(end), |inner, _| json!({ "a": inner }));
        assert_eq!(between(&deep(1), &deep(2)).len(), 1);
        let wide: Value = (0..5_000).map(|number| (format!("<b>{number}"), json!("<script>".repeat(500)))).collect();
        let (changes, mut left) = (between(&json!({}), &wide), room());
        let shown = list(&changes, &mut left).into_string();
        assert!(shown.len() < 60_000 && !shown.contains("<b>") && !shown.contains("<script>"), "{}", shown.len());
        assert!(shown.contains("4940 differences more") || shown.contains("4,940 differences more"), "{left}");
        assert_eq!(left, 0);
        assert!(list(&changes[..1], &mut left).into_string().contains("1 difference more"));
    }
}

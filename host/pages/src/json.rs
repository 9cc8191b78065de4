//! JSON of any size, foldable without a script: what is deep is folded, what is long is cut, and the whole is a link
//! away.

use maud::{Markup, html};
use serde_json::Value;

use super::words::cut;

/// Values that are shown, and characters of a text.
const SHOWN: usize = 200;
const TEXT: usize = 300;

/// Members of one object or list.
const MEMBERS: usize = 30;

/// Bytes that are read at all: what is larger is only linked to.
const READ: usize = 256 << 10;

/// A document; `None`: it is too large to be shown.
pub(super) fn folded(bytes: &[u8]) -> Option<Markup> {
    if bytes.len() > READ {
        return None;
    }
    let value = serde_json::from_slice(bytes).ok()?;
    let mut left = SHOWN;
    Some(html! { div class="json" { (tree(&value, 0, &mut left)) } })
}

fn tree(value: &Value, depth: usize, left: &mut usize) -> Markup {
    *left = left.saturating_sub(1);
    match value {
        Value::Object(members) if !members.is_empty() => {
            let members: Vec<(Option<&str>, &Value)> =
                members.iter().map(|(name, value)| (Some(&**name), value)).collect();
            group("{", "}", &members, depth, left)
        }
        Value::Array(items) if !items.is_empty() => {
            let items: Vec<(Option<&str>, &Value)> = items.iter().map(|value| (None, value)).collect();
            group("[", "]", &items, depth, left)
        }
        Value::Object(_) => html! { "{}" },
        Value::Array(_) => html! { "[]" },
        Value::String(text) => html! { span class="text" { "\"" (cut(text, TEXT)) "\"" } },
        other => html! { span class="number" { (other) } },
    }
}

fn group(opens: &str, closes: &str, members: &[(Option<&str>, &Value)], depth: usize, left: &mut usize) -> Markup {
    let shown = members.len().min(MEMBERS).min(*left);
    html! {
        details open[depth < 2 && members.len() <= MEMBERS] {
            summary { (opens) span class="count" { (members.len()) } (closes) }
            ul {
                @for (name, value) in &members[..shown] {
                    li {
                        @if let Some(name) = name { span class="key" { (cut(name, TEXT)) } ": " }
                        (tree(value, depth + 1, left))
                    }
                }
                @if shown < members.len() { li class="muted" { "… " (members.len() - shown) " more" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_bounded_and_what_is_markup_is_text() {
        let hostile = folded(br#"{"<script>": "</details><b>", "n": 12345678901234567890}"#).unwrap().into_string();
        assert!(
            !hostile.contains("<script>") && !hostile.contains("<b>") && hostile.contains("&lt;/details&gt;"),
            "{hostile}"
        );
        assert!(hostile.contains("12345678901234567890"), "{hostile}");
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(folded(deep.as_bytes()).is_some());
        let wide = serde_json::to_vec(&vec![vec![vec!["x".repeat(1_000); 40]; 40]; 40]).unwrap();
        assert!(folded(&wide).is_none(), "it is a link away");
        let many = serde_json::to_vec(&vec![vec![1; 100]; 100]).unwrap();
        assert!(folded(&many).unwrap().into_string().len() < 20_000);
    }
}

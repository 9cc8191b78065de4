//! Namespaces: what each may take of what all share, what it holds, and whether its payloads are sealed.

use axum::extract::RawForm;
use axum::http::Method;
use axum::response::Response;
use futures_util::future::join_all;
use maud::{Markup, html};
use pawl_api::types::{NamespaceKeys, NamespaceList, NamespaceQuota, NamespaceSummary, Problem, SealingState};
use pawl_base::size;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::{row, sheet};
use crate::forms::Fields;
use crate::frame::Sheet;
use crate::panel::{Panel, hidden};
use crate::query::Query;
use crate::rows::columns;
use crate::said;
use crate::times::{ago, now_ms};
use crate::visit::Visit;
use crate::words::{figure, name};

const PATH: &str = "/access/namespaces";
const CREATE: &str = "/v1/namespaces/{namespace}";
const QUOTA: &str = "/v1/namespaces/{namespace}/quota";
const KEYS: &str = "/v1/namespaces/{namespace}/keys";
const DONE: [(&str, &str); 2] = [("create", "The namespace is there."), ("quota", "The quota is set.")];

/// Namespaces whose sealing is asked for: each is a question of its own.
const ASKED: usize = 50;

/// What a quota bounds, and what that is called.
const BOUNDS: [(&str, &str); 4] = [
    ("runs", "Runs that have not ended"),
    ("submissions", "Submissions in a second"),
    ("components", "Components"),
    ("stored_bytes", "Bytes stored"),
];

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    visit.answer(page(&visit, &said::done(&query, &DONE)).await)
}

pub(crate) async fn act(visit: Visit, RawForm(form): RawForm) -> Response {
    let fields = Fields::of(&form);
    let namespace = utf8_percent_encode(fields.said("namespace").unwrap_or_default(), NON_ALPHANUMERIC).to_string();
    let (did, route, body) = match fields.said("act") {
        Some("quota") => ("quota", QUOTA, quota(&fields).map(Some)),
        _ => ("create", CREATE, Ok(None)),
    };
    let asked = async { visit.change::<Value>(Method::PUT, &route.replace("{namespace}", &namespace), body?).await };
    match asked.await {
        Ok(_) => {
            visit.pages.places.forget();
            said::go(PATH, did)
        }
        Err(problem) => {
            let sheet = page(&visit, &said::refused(&problem)).await;
            said::answer(&visit, problem, sheet)
        }
    }
}

/// What is left out is not bounded.
fn quota(fields: &Fields) -> Result<Value, Problem> {
    let mut quota = Map::new();
    for (bound, what) in BOUNDS {
        if let Some(said) = fields.said(bound) {
            let most: u64 =
                said.parse().map_err(|_| Problem::bad_request(format!("{what}: `{said}` is no whole number")))?;
            quota.insert(bound.to_owned(), json!(most));
        }
    }
    Ok(Value::Object(quota))
}

async fn page(visit: &Visit, note: &Markup) -> Result<Sheet, Problem> {
    let list: NamespaceList = visit.read("/v1/namespaces").await?;
    let sealing = sealing(visit, &list.namespaces).await;
    let unread = sealing.iter().find_map(|one| one.as_ref().err());
    let sealing = |number: usize| sealing.get(number).and_then(|one| one.as_ref().ok()).copied();
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Namespaces" } }
        (row(visit, PATH))
        (note)
        @if let Some(problem) = unread { (said::unread("Whether payloads are sealed", problem, true)) }
        div class="acts" { (make().with(visit, &html! {
            label { "Name" input name="namespace" required maxlength="64" autocomplete="off" spellcheck="false"; }
        })) }
        table class="rows" {
            (columns(&[("Name", ""), ("Runs", "num"), ("Submissions", "num wide"), ("Components", "num wide"), ("Holds", "num"), ("Payloads", "wide")]))
            tbody { @for (number, one) in list.namespaces.iter().enumerate() { (namespace_row(visit, one, sealing(number), now)) } }
        }
        p class="muted" { "What is bounded is told as what may be there at the most; a dash is no bound." }
    };
    Ok(sheet("Namespaces", main))
}

fn make() -> Panel<'static> {
    Panel {
        route: (Method::PUT, CREATE),
        action: PATH,
        label: "Make a namespace",
        weight: "primary",
        what: "A place of its own for pipelines, plugins, secrets, tokens and runs. It is neither renamed nor deleted.",
    }
}

/// Of each whether its payloads are sealed, for those who may know.
async fn sealing(visit: &Visit, all: &[NamespaceSummary]) -> Vec<Result<SealingState, Problem>> {
    if !visit.may(&Method::GET, KEYS) {
        return Vec::new();
    }
    let asked = all.iter().take(ASKED).map(|one| async move {
        let path = KEYS.replace("{namespace}", one.name.as_str());
        visit.read::<NamespaceKeys>(&path).await.map(|keys| keys.sealing)
    });
    join_all(asked).await
}

fn namespace_row(visit: &Visit, one: &NamespaceSummary, sealing: Option<SealingState>, now: i64) -> Markup {
    let NamespaceQuota { runs, submissions, components, stored_bytes } = one.quota;
    let most = |bound: Option<u32>| bound.map_or_else(|| "–".to_owned(), |most| figure(most.into()));
    let by_quota = Panel {
        route: (Method::PUT, QUOTA),
        action: PATH,
        label: "Quota",
        weight: "",
        what: "What it may take of what all share. What is left out is not bounded.",
    };
    html! {
        tr {
            th scope="row" {
                (name(one.name.as_str()))
                @if let Some(at) = one.created_at_ms {
                    " " span class="muted" { "made " (ago(at, now)) @if let Some(by) = &one.created_by { " by " (by) } }
                }
                div class="acts" { (by_quota.with(visit, &bounds(one))) }
            }
            td class="num" { (most(runs)) }
            td class="num wide" { (most(submissions)) @if submissions.is_some() { "/s" } }
            td class="num wide" { (most(components)) }
            td class="num" { (held(one.stored_bytes, stored_bytes)) }
            td class="wide" { (sealed(sealing)) }
        }
    }
}

fn bounds(one: &NamespaceSummary) -> Markup {
    let NamespaceQuota { runs, submissions, components, stored_bytes } = one.quota;
    let counts = [runs, submissions, components].map(|bound| bound.map(u64::from));
    let now = [counts[0], counts[1], counts[2], stored_bytes];
    html! {
        (hidden("act", "quota"))
        (hidden("namespace", one.name.as_str()))
        @for ((bound, what), most) in BOUNDS.into_iter().zip(now) {
            label { (what) input name=(bound) value=[most] inputmode="numeric" pattern="[0-9]+" maxlength="16" autocomplete="off"; }
        }
    }
}

fn held(bytes: Option<u64>, most: Option<u64>) -> String {
    match (bytes, most) {
        (None, None) => "–".to_owned(),
        (Some(bytes), None) => size(bytes),
        (bytes, Some(most)) => format!("{} of {}", bytes.map_or_else(|| "?".to_owned(), size), size(most)),
    }
}

fn sealed(state: Option<SealingState>) -> &'static str {
    match state {
        Some(SealingState::On) => "sealed",
        Some(SealingState::Off) => "in the clear",
        Some(SealingState::Erased) => "erased: it takes none",
        None => "–",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_has_what_was_filled_in_and_nothing_that_is_no_number() {
        let asked = |form: &str| quota(&Fields::of(form.as_bytes())).map(|quota| quota.to_string());
        assert_eq!(asked("runs=10&submissions=+&stored_bytes=1024").unwrap(), r#"{"runs":10,"stored_bytes":1024}"#);
        assert_eq!(asked("runs=ten").unwrap_err().status, 400);
        assert_eq!(held(Some(2048), Some(1 << 20)), "2 KiB of 1.0 MiB");
    }
}

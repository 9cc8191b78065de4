//! Circuits: outside hosts that are down, and secrets that workers lack: why, when they are probed, how many steps wait, and a
//! person's word that one is back.

use axum::extract::RawForm;
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Circuit, CircuitList, CircuitState, Problem};
use serde_json::{Value, json};

use super::{row, sheet};
use crate::forms::Fields;
use crate::frame::{Sheet, part};
use crate::look::{self, Look};
use crate::panel::{Panel, hidden};
use crate::query::Query;
use crate::rows::columns;
use crate::said;
use crate::times::{ago, now_ms, rough};
use crate::visit::Visit;
use crate::words::{cut, figure, name};

/// How the origin of a secret begins.
const SECRET: &str = "secret:";

const CLOSE: &str = "/v1/circuits/close";
const DONE: [(&str, &str); 1] = [("close", "The circuit is closed: what waits for it goes on in a moment.")];

/// Letters of a reason.
const REASON: usize = 200;

/// The secret whose lack a circuit is about; none if it is about a host.
pub(crate) fn secret_of(origin: &str) -> Option<&str> {
    origin.strip_prefix(SECRET)
}

pub(crate) async fn show(visit: Visit, query: Query) -> Response {
    visit.answer(page(&visit, &said::done(&query, &DONE)).await)
}

pub(crate) async fn act(visit: Visit, RawForm(form): RawForm) -> Response {
    let origin = Fields::of(&form).said("origin").unwrap_or_default().to_owned();
    match visit.change::<Value>(Method::POST, CLOSE, Some(json!({ "origin": origin }))).await {
        Ok(_) => said::go("/circuits", "close"),
        Err(problem) => {
            let sheet = page(&visit, &said::refused(&problem)).await;
            said::answer(&visit, problem, sheet)
        }
    }
}

async fn page(visit: &Visit, note: &Markup) -> Result<Sheet, Problem> {
    let list: CircuitList = visit.read("/v1/circuits").await?;
    let now = now_ms();
    let main = html! {
        div class="head" { h1 { "Circuits" } }
        (row(visit, "/circuits"))
        (note)
        (part("circuits", "What is down", &html! {
            @if list.circuits.is_empty() {
                div class="empty" { p { (look::GOOD.icon()) " No outside host is down." } }
            } @else {
                table class="rows" {
                    (columns(&[("State", ""), ("Host", ""), ("Since", "num"), ("Waiting", "num"), ("Probed", "num wide")]))
                    tbody { @for circuit in &list.circuits { (circuit_row(visit, circuit, now)) } }
                }
            }
        }))
        p class="muted" {
            "While a circuit is open, attempts that would call its host wait: no attempt is used up. All of it goes on when a probe is answered."
        }
    };
    Ok(sheet("Circuits", main))
}

fn circuit_row(visit: &Visit, circuit: &Circuit, now: i64) -> Markup {
    let look = match circuit.state {
        CircuitState::Open => Look { word: "down", ..look::BAD },
        CircuitState::HalfOpen => Look { word: "probed", ..look::PAUSED },
    };
    let close = Panel {
        route: (Method::POST, CLOSE),
        action: "/circuits",
        label: "Close",
        weight: "",
        what: "Lets steps call it again at once. The circuit opens again if calls fail.",
    };
    html! {
        tr {
            td { (look.chip()) }
            th scope="row" {
                (name(&circuit.origin))
                p class="says muted" title=(circuit.reason) { (cut(&circuit.reason, REASON)) }
                div class="acts" { (close.with(visit, &hidden("origin", &circuit.origin))) }
            }
            td class="num" { (ago(circuit.since_ms, now)) }
            td class="num" { (figure(circuit.deferred.into())) }
            td class="num wide" { (probed(circuit, now)) }
        }
    }
}

/// When somebody calls it next.
fn probed(circuit: &Circuit, now: i64) -> String {
    match circuit.retry_at_ms - now {
        _ if circuit.state == CircuitState::HalfOpen => "now".to_owned(),
        ..1_000 => "by the next call".to_owned(),
        ms => format!("in {}", rough(ms)),
    }
}

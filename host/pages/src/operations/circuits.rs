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

const CLOSE: &str = "/v1/circuits/close";
const DONE: [(&str, &str); 1] = [("close", "The circuit is closed: what waits for it goes on in a moment.")];

/// Letters of a reason.
const REASON: usize = 200;

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
            "While a circuit is open, attempts that would call its host wait: no attempt is used up. A call probes the host from time to "
            "time, by itself, and all of it goes on when one is answered."
        }
    };
    Ok(sheet("Circuits", main))
}

fn circuit_row(visit: &Visit, circuit: &Circuit, now: i64) -> Markup {
    let look = match circuit.state {
        CircuitState::Open => Look { word: "down", ..look::BAD },
        CircuitState::HalfOpen => Look { word: "probed", ..look::PAUSED },
    };
    let what = close_if(circuit, now);
    let close = Panel { route: (Method::POST, CLOSE), action: "/circuits", label: "Close", weight: "", what: &what };
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

/// When it is for a person to close it: as a rule a probe does.
fn close_if(circuit: &Circuit, now: i64) -> String {
    let next = probed(circuit, now);
    match circuit.origin.contains("://") {
        true => format!(
            "Close it if you know that the host answers again: steps call it at once, and the circuit opens again if calls \
             fail. Else it is probed by itself, {next}."
        ),
        false => format!(
            "Close it if you know that a worker has what is lacking: steps go on at once, and wait again if none has. Else \
             it is tried by itself, {next}."
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_when_to_close_a_circuit_and_when_it_is_probed_by_itself() {
        let circuit = |origin: &str, state| Circuit {
            origin: origin.to_owned(),
            state,
            reason: String::new(),
            failures: 5,
            since_ms: 0,
            opened_by: None,
            retry_at_ms: 30_000,
            probed_by: None,
            deferred: 1,
        };
        let said = |origin, state| close_if(&circuit(origin, state), 10_000);
        let host = said("http://pay:80", CircuitState::Open);
        assert!(host.contains("that the host answers again") && host.ends_with("probed by itself, in 20 s."), "{host}");
        assert!(said("http://pay:80", CircuitState::HalfOpen).ends_with("probed by itself, now."));
        assert!(said("secret:BANK", CircuitState::Open).contains("has what is lacking"));
    }
}

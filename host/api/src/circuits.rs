//! Circuits over HTTP: which outside hosts are down, and a person's word that one is back.

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use pawl_domain::decision::circuit::ORIGIN_LENGTH;
use pawl_domain::pipeline_file::closest;
use pawl_store::circuits::CircuitRow;

use super::problem::Result;
use super::request::read_json;
use super::types::{Circuit, CircuitClosed, CircuitList, CircuitState, CloseCircuit, Problem};
use super::whose::Scoped;

/// A request to close one.
const REQUEST_BYTES: usize = 64 << 10;

pub(super) async fn list(Scoped(state): Scoped) -> Result<Json<CircuitList>> {
    let circuits = state.store.circuits(&state.namespace).await?;
    Ok(Json(CircuitList { circuits: circuits.into_iter().map(Circuit::from).collect() }))
}

pub(super) async fn close(Scoped(state): Scoped, headers: HeaderMap, body: Body) -> Result<Json<CircuitClosed>> {
    let CloseCircuit { origin } = read_json(body, &headers, "a request to close a circuit", REQUEST_BYTES).await?;
    if origin.trim().is_empty() || origin.chars().count() > ORIGIN_LENGTH || origin.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "`origin` is a host's scheme, name and port, or secret:NAME, on one line of at most {ORIGIN_LENGTH} characters"
        )));
    }
    // What waits for it goes on by the sweeps of the workers, within a second or two.
    if state.store.close_circuit(&state.namespace, &origin).await? {
        return Ok(Json(CircuitClosed { origin, changed: true }));
    }
    let open = state.store.circuits(&state.namespace).await?;
    let meant = closest(&origin, open.iter().map(|circuit| circuit.origin.as_str()));
    let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
    Err(Problem::not_found(format!(
        "no circuit of {origin:?} is open{meant}: `pawl circuits` lists those that are, each by scheme, name and port"
    )))
}

impl From<CircuitRow> for Circuit {
    fn from(row: CircuitRow) -> Self {
        Self {
            origin: row.origin,
            state: if row.probed_by.is_some() { CircuitState::HalfOpen } else { CircuitState::Open },
            reason: row.reason,
            failures: row.failures,
            since_ms: row.opened_at_ms,
            opened_by: row.opened_by,
            retry_at_ms: row.retry_at_ms,
            probed_by: row.probed_by,
            deferred: row.deferred,
        }
    }
}

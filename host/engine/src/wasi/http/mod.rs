//! `wasi:http`: outgoing requests, each of which is one call of `pawl:step/http`.
//!
//! ```text
//!  outgoing-request ──handle──▶ future ─┐                        the answer is in the future before the guest
//!        │                              ├─ both there: send ──▶  can look at it
//!        └─body──▶ outgoing-body ─finish┘
//! ```
//!
//! The guest may hand the request over before it has written the body, as `fetch` of JavaScript does; it
//! leaves when both are there. What this interface can't say, a header says: an `idempotency-key` of the
//! guest's names the effect, and the key that leaves is derived from it.
//!
//! This is not `wasmtime-wasi-http`: what that one sends could not be journaled.

mod body;
mod exchange;
mod fields;
mod request;
mod response;

use wasmtime::bail;
use wasmtime::component::{HasSelf, Linker};

use crate::guest::Guest;

pub(super) use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types;

/// Generated from the WIT.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "src/wasi/http/http.wit",
        world: "imports",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::sync::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:http/types.fields": super::fields::Fields,
            "wasi:http/types.outgoing-request": super::request::OutgoingRequest,
            "wasi:http/types.request-options": super::request::Options,
            "wasi:http/types.outgoing-body": super::body::OutgoingBody,
            "wasi:http/types.future-incoming-response": super::response::Future,
            "wasi:http/types.incoming-response": super::response::IncomingResponse,
            "wasi:http/types.incoming-body": super::response::IncomingBody,
            "wasi:http/types.future-trailers": super::response::Trailers,
        },
    });
}

/// Functions for answering requests, which nobody sends to a step. A language's runtime imports them all the
/// same, as it imports all that its library knows.
const ANSWERING: [&str; 12] = [
    "[method]incoming-request.method",
    "[method]incoming-request.path-with-query",
    "[method]incoming-request.scheme",
    "[method]incoming-request.authority",
    "[method]incoming-request.headers",
    "[method]incoming-request.consume",
    "[static]response-outparam.set",
    "[constructor]outgoing-response",
    "[method]outgoing-response.status-code",
    "[method]outgoing-response.set-status-code",
    "[method]outgoing-response.headers",
    "[method]outgoing-response.body",
];

/// Adds `wasi:http/types`.
///
/// # Errors
/// Never, for a linker that has nothing of it.
pub(super) fn add_types_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    let mut interface = linker.instance("wasi:http/types@0.2.12")?;
    for name in ANSWERING {
        interface.func_new(name, move |_, _, _, _| bail!("a step answers no requests: it can't use `{name}`"))?;
    }
    Ok(())
}

/// What waits for the answer to a request that never leaves.
#[cfg(test)]
pub(super) fn unanswered(guest: &mut Guest) -> wasmtime::component::Resource<wasmtime_wasi::p2::DynPollable> {
    let future = guest.push(response::Future(exchange::Shared::default())).expect("there is room");
    types::HostFutureIncomingResponse::subscribe(guest, future).expect("there is room")
}

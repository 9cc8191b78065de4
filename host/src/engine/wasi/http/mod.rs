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

pub(super) mod exchange;
pub(super) mod fields;
pub(super) mod request;
pub(super) mod response;

//! What goes over the wire: the requests and responses of the HTTP API, as the server writes and the CLI
//! reads them. `docs/http.md` shows them to people.
//!
//! Fields are only ever added. A server refuses unknown fields in requests; a client ignores unknown
//! fields in responses. Times are in ms since 1970. Payloads are JSON, passed on byte by byte.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod builds;
mod circuits;
mod dead_letters;
mod doctor;
mod explanations;
mod inbox;
mod incidents;
mod journal;
mod logs;
mod namespaces;
mod operations;
mod pauses;
mod pipelines;
mod plugins;
mod recoveries;
mod replays;
mod report;
mod retention;
mod runs;
mod sealing;
mod secrets;
mod times;
mod tokens;
mod waits;
mod whole;

pub use builds::*;
pub use circuits::*;
pub use dead_letters::*;
pub use doctor::*;
pub use explanations::*;
pub use inbox::*;
pub use incidents::*;
pub use journal::*;
pub use logs::*;
pub use namespaces::*;
pub use operations::*;
pub use pauses::*;
pub use pipelines::*;
pub use plugins::*;
pub use recoveries::*;
pub use replays::*;
pub use report::*;
pub use retention::*;
pub use runs::*;
pub use sealing::*;
pub use secrets::*;
pub use times::*;
pub use tokens::*;
pub use waits::*;

pub use pawl_domain::event::EventKind;
pub use pawl_domain::incident::Kind as IncidentKind;
pub use pawl_domain::log::Level as LogLevel;
pub use pawl_domain::pipeline_file::Problem as FileProblem;
pub use pawl_domain::status::{RunStatus, StepStatus, UnknownStatus};

/// The header of a submission whose value makes it safe to send twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Characters of such a key.
pub(crate) const KEY_LENGTH: usize = 200;

/// Whether it can be a key: in a header, spaces around it are lost.
///
/// # Errors
/// What a key is.
pub fn check_idempotency_key(key: &str) -> Result<(), String> {
    let is_printable = key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if (1..=KEY_LENGTH).contains(&key.len()) && is_printable && key.trim() == key {
        return Ok(());
    }
    Err(format!(
        "an idempotency key has 1 to {KEY_LENGTH} printable ASCII characters; it neither begins nor ends with a space"
    ))
}

/// The media type of errors, RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error, RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A URI reference that names the kind of problem; a client may branch on it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The same as in the head of the answer.
    pub status: u16,
    /// What happened and what to do about it.
    pub detail: String,
    /// Everything that is wrong with a pipeline file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FileProblem>,
}

//! What goes over the wire: the requests and responses of the HTTP API, as the server writes and the CLI
//! reads them. `docs/http.md` shows them to people.
//!
//! Fields are only ever added. A server refuses unknown fields in requests; a client ignores unknown
//! fields in responses. Times are in ms since 1970. Payloads are JSON, passed on byte by byte.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod dead_letters;
mod inbox;
mod journal;
mod logs;
mod operations;
mod pipelines;
mod plugins;
mod recoveries;
mod report;
mod retention;
mod runs;

pub use dead_letters::*;
pub use inbox::*;
pub use journal::*;
pub use logs::*;
pub use operations::*;
pub use pipelines::*;
pub use plugins::*;
pub use recoveries::*;
pub use report::*;
pub use retention::*;
pub use runs::*;

pub use pawl_domain::event::EventKind;
pub use pawl_domain::log::Level as LogLevel;
pub use pawl_domain::pipeline_file::Problem as FileProblem;
pub use pawl_domain::status::{RunStatus, StepStatus, UnknownStatus};

/// The header of a submission whose value makes it safe to send twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

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

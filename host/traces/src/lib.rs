//! Spans of a process, for a collector of OpenTelemetry: what every layer above may tell, and how it gets there (OTLP over
//! HTTP). Off unless somebody names a collector: then [`tracer()`] is `None`, and nobody makes a span.
//!
//! ```text
//!  a layer ──tell()──▶ a bounded buffer ──▶ sending: what links an attempt to others ──▶ OTLP ──▶ collector
//!                        │ full: counted,    is asked of the store, for many at once
//!                        └ and dropped
//! ```
//!
//! A span is told when it is over, so that nothing is open while a step sleeps, and what a killed process had begun is gone
//! with it. To tell one never blocks and never fails. A collector that is away, or slow, costs spans and nothing else.

mod attempt;
mod config;
pub mod otlp;
mod sending;
mod span;
mod tracer;

pub use attempt::{Asked, Attempt, Origin, Origins};
pub use config::{Config, Misread};
pub use sending::Sending;
pub use span::{Kind, Link, Span, Value};
pub use tracer::{Tracer, start, tracer};

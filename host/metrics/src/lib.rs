//! Figures of a process, for Prometheus: what every layer above may count, and how it is told at `/metrics`.
//!
//! ```text
//!  definitions ── one line a figure ──┬──▶ [`Figures`]: handles, held by whoever counts
//!                                     ├──▶ HELP, TYPE, labels, buckets
//!                                     └──▶ docs/metrics.md, and the check of dashboards and rules
//!  a layer ──one(), took(), set()──▶ atomics ──scrape──▶ [`exposition`]
//! ```
//!
//! They are the process's own: both roles of `pawl dev` share them, and so do the incarnations of a worker. What a killed
//! process has counted is gone with it, as ever with Prometheus.
//!
//! To count is an atomic addition, without a lock or a look-up. Labels are bounded: a pipeline's name is one
//! ([`OfPipeline`]: the first hundred, then `other`), a run's id never. Nothing here asks anybody: what only the store or
//! the queue knows is set by whoever answers a scrape.

mod definition;
mod figure;
mod figures;
#[cfg(test)]
mod page;
mod pipeline;

use std::sync::LazyLock;

use prometheus::TextEncoder;

pub use definition::{Definition, Kind, Role};
pub use figure::{Count, Counts, Level, Levels, Spread, Spreads, is_on, switch};
pub use figures::{DEFINITIONS, Figures};
pub use pipeline::{AttemptEnd, OfPipeline};

/// The media type of [`exposition`].
pub const MEDIA_TYPE: &str = prometheus::TEXT_FORMAT;

static FIGURES: LazyLock<Figures> = LazyLock::new(Figures::default);

/// The figures of this process.
#[must_use]
pub fn figures() -> &'static Figures {
    &FIGURES
}

/// What the process tells in a role, as Prometheus reads it (text format 0.0.4). Figures of other roles stay out: they
/// would be zeros that look like something.
#[must_use]
pub fn exposition(role: Role) -> String {
    let mut families = figures().registry.gather();
    families.retain(|family| DEFINITIONS.iter().any(|it| it.name == family.name() && it.roles.contains(&role)));
    // The one error is a family without figures, which a registry never gathers.
    TextEncoder::new().encode_to_string(&families).unwrap_or_default()
}

//! What a figure is called, and what is known of it before anything is counted.

use prometheus::{HistogramOpts, Opts};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `pawl api`.
    Api,
    /// `pawl worker`.
    Worker,
    /// `pawl dev`: both in one process.
    Dev,
}

impl Role {
    /// The command that plays it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Dev => "dev",
        }
    }
}

/// How a figure moves; Prometheus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many were below each of some bounds, how many there were, and their sum.
    Histogram,
}

impl Kind {
    /// As `# TYPE` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One figure. Its name says the unit.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// By Prometheus' conventions: `pawl_`, what it is, the unit, `_total` if it is a counter.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it means, in one sentence: `# HELP`, and its row in `docs/metrics.md`.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram.
    pub buckets: &'static [f64],
    /// Who tells it.
    pub roles: &'static [Role],
}

impl Definition {
    /// Begins one.
    pub(crate) const fn named(name: &'static str, roles: &'static [Role]) -> Self {
        Self { name, kind: Kind::Counter, help: "", labels: &[], buckets: &[], roles }
    }

    pub(crate) const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    pub(crate) const fn within(self, buckets: &'static [f64]) -> Self {
        Self { buckets, ..self }
    }

    pub(crate) const fn told_as(self, kind: Kind, help: &'static str) -> Self {
        Self { kind, help, ..self }
    }

    /// What the help says, without the space that a comment begins with.
    pub(crate) fn sentence(&self) -> &'static str {
        self.help.trim_start()
    }

    pub(crate) fn opts(&self) -> Opts {
        Opts::new(self.name, self.sentence())
    }

    pub(crate) fn histogram_opts(&self) -> HistogramOpts {
        HistogramOpts::from(self.opts()).buckets(self.buckets.to_vec())
    }
}

//! What people see of a step while it runs. Not journaled: a replay is silent.

use std::fmt::Display;
use std::panic::Location;

use crate::host;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every move, for whoever looks for a fault.
    Trace,
    /// For the author, while a step is made.
    Debug,
    /// For whoever watches the run.
    Info,
    /// Something is odd and the step goes on.
    Warn,
    /// Something is wrong, and the result may suffer.
    Error,
}

/// Named values of a log line, for example `&[("rows", &rows), ("city", &city)]`.
pub type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

/// A line of a step's log, as a test sees it.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// The text, without the fields.
    pub message: String,
    /// Its named values as text, in the order in which they were given.
    pub fields: Vec<(String, String)>,
}

pub(crate) fn log(level: Level, message: &str, fields: Fields<'_>) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    host::log(level.into(), message, &fields);
}

impl From<Level> for host::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<host::Level> for Level {
    fn from(level: host::Level) -> Self {
        match level {
            host::Level::Trace => Self::Trace,
            host::Level::Debug => Self::Debug,
            host::Level::Info => Self::Info,
            host::Level::Warn => Self::Warn,
            host::Level::Error => Self::Error,
        }
    }
}

/// A panic becomes a line of the step's log before it becomes a trap: the trap alone would not say why. One that comes up in
/// a library is told with the place of the step, too.
pub(crate) fn log_panics(step: &'static Location<'static>) {
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without a message");
        match panic.location() {
            Some(at) => log(Level::Error, message, &[("panic.at", at), ("panic.step", step)]),
            None => log(Level::Error, message, &[]),
        }
    }));
}

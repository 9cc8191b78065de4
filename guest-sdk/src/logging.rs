//! What people see of a step while it runs. Not journaled: a replay is silent.

use std::fmt::Display;

use crate::host;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every move.
    Trace,
    /// For the author.
    Debug,
    /// For whoever watches the run.
    Info,
    /// Something is odd and the step goes on.
    Warn,
    /// Something is wrong.
    Error,
}

/// Named values of a log line, for example `&[("rows", &rows), ("city", &city)]`.
pub type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

pub(crate) fn log(level: Level, message: &str, fields: Fields<'_>) {
    let level = match level {
        Level::Trace => host::Level::Trace,
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    host::log(level, message, &fields);
}

/// A panic becomes a line of the step's log before it becomes a trap: the trap alone would not say why.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without a message");
        match panic.location() {
            Some(at) => log(Level::Error, message, &[("panic.at", at)]),
            None => log(Level::Error, message, &[]),
        }
    }));
}

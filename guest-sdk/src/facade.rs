//! The facades `log` and `tracing`: what libraries and authors say through them goes to the step's log, with
//! its fields. Each is a feature of this crate, and installed only when it is on.

/// Makes the step's log the one that the facades write to. Called before a step runs.
pub(crate) fn install() {}

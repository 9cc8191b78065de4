//! The facades `log` and `tracing`: what libraries and authors say through them goes to the step's log, with
//! its fields. Each is a feature of this crate, and installed only when it is on.
//!
//! The test kit installs them as a component does, and tells whether a step runs: so it and this module name each other.

#[cfg(feature = "log")]
mod log;
#[cfg(feature = "tracing")]
mod tracing;

/// Makes the step's log the one that the facades write to, before a step runs. A program that has installed
/// another one, a test for example, keeps it.
pub(crate) fn install() {
    #[cfg(feature = "log")]
    log::install();
    #[cfg(feature = "tracing")]
    tracing::install();
}

/// Whether there is a host to write to: in a native build only while a step runs.
#[cfg(any(feature = "log", feature = "tracing"))]
fn is_heard() -> bool {
    #[cfg(target_arch = "wasm32")]
    return true;
    #[cfg(not(target_arch = "wasm32"))]
    crate::testing::calls::is_there()
}

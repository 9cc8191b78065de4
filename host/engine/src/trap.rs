//! What can be told of a guest that trapped, and of a host that panicked below it. Whoever calls into a component asks here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::WasmBacktrace;

use super::wasi;

/// Runs something; a panic becomes its message.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panic_message(&*panic))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

/// What ended a guest, in one line and without its backtrace.
pub(super) fn trap_reason(error: &wasmtime::Error) -> String {
    wasi::exited(error).unwrap_or_else(|| error.root_cause().to_string())
}

/// Where in the guest it ended, innermost frame first.
pub(super) fn backtrace(error: &wasmtime::Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    (!backtrace.frames().is_empty()).then(|| backtrace.to_string())
}

//! What can be told of a guest that trapped, and of a host that panicked below it. Whoever calls into a component asks here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::{FrameInfo, WasmBacktrace};

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

/// A function of which only the number is known.
const NAMELESS: &str = "function";

/// Where in the guest it ended, innermost function first, as its author wrote it. What the language itself does about a
/// panic stands before the place where that came up, and is left out.
pub(super) fn backtrace(error: &wasmtime::Error) -> Option<Vec<String>> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    let named = |frame: &FrameInfo| match frame.func_name() {
        Some(name) => readable(name),
        None => format!("{NAMELESS} {} of a module without names", frame.func_index()),
    };
    let frames: Vec<String> = backtrace.frames().iter().map(named).collect();
    let own = frames.iter().position(|frame| !is_of_the_language(frame)).unwrap_or(0);
    (!frames.is_empty()).then(|| frames[own..].to_vec())
}

/// A function's name without what a compiler made of it; other languages' stay as they are.
fn readable(name: &str) -> String {
    rustc_demangle::try_demangle(name).map_or_else(|_| name.to_owned(), |name| format!("{name:#}"))
}

fn is_of_the_language(name: &str) -> bool {
    let name = name.trim_start_matches('<');
    // A module without names is what a component's parts are joined by.
    [NAMELESS, "core::", "std::", "alloc::", "__rust", "rust_", "abort"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_their_author_wrote_them() {
        assert_eq!(readable("_ZN5hello5weigh17h0123456789abcdefE"), "hello::weigh");
        assert_eq!(readable("PyEval_EvalFrame"), "PyEval_EvalFrame");
    }

    #[test]
    fn what_the_language_does_about_a_panic_is_told_from_the_step() {
        for name in [
            "core::panicking::panic_fmt",
            "std::panicking::panic_handler",
            "<core::option::Option<T>>::unwrap",
            "__rustc::rust_panic",
        ] {
            assert!(is_of_the_language(name), "{name}");
        }
        assert!(!is_of_the_language("hello::weigh") && !is_of_the_language("<hello::Sum as core::ops::Add>::add"));
    }
}

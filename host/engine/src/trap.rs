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

/// What a panic has said of itself; the trap that follows would not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Panicked {
    /// File, line and column.
    pub(super) place: String,
    /// Where the step's function stands, if its SDK says so.
    pub(super) step: Option<String>,
    pub(super) message: String,
}

/// What Rust's library can't do in a step, by how it begins to say so, and what a step does in its place.
const MISSING: [(&str, &str); 3] = [
    ("time not implemented on this platform", "a step asks for the time with `ctx.now()`"),
    ("failed to spawn thread", "a step has one thread: do it in this one, or in several steps of a pipeline"),
    ("can't sleep", "a step waits with `ctx.sleep(duration)`"),
];

impl Panicked {
    /// In one line. Where it came up in Rust's own library, its author looks for what has called that.
    pub(super) fn told(&self, backtrace: Option<&[String]>) -> String {
        let Self { place, message, .. } = self;
        let missing = MISSING.iter().find(|(says, _)| message.starts_with(says));
        let hint = missing.map(|(_, instead)| format!(": {instead}")).unwrap_or_default();
        let own = if is_in_the_library(place) { self.own(backtrace) } else { None };
        match own {
            Some(own) => format!("the step panicked in {own}: {message}{hint} (at {})", without_compiler(place)),
            None => format!("the step panicked in {place}: {message}{hint}"),
        }
    }

    /// The author's part in it: the innermost of the step's own functions, unless the optimiser has put all of them into the
    /// export, and where the step stands.
    fn own(&self, backtrace: Option<&[String]>) -> Option<String> {
        // The export has no path.
        let is_own = |frame: &&String| frame.contains("::") && !is_of_the_language(frame) && !is_of_the_sdk(frame);
        let function = backtrace.and_then(|frames| frames.iter().find(is_own));
        match (function, &self.step) {
            (Some(function), Some(step)) => Some(format!("`{function}`, of the step at {step}")),
            (Some(function), None) => Some(format!("`{function}`")),
            (None, Some(step)) => Some(format!("the function at {step}")),
            (None, None) => None,
        }
    }
}

/// A place in Rust's own library without the name of the compiler that made it: `/rustc/HASH/library/…`.
fn without_compiler(place: &str) -> &str {
    place.find("library/").map_or(place, |begin| &place[begin..])
}

/// Whether a place in a source is one of Rust's own library, wherever that was compiled.
fn is_in_the_library(place: &str) -> bool {
    ["std", "core", "alloc"].iter().any(|part| place.contains(&format!("library/{part}/")))
}

/// Or made by it: the export around the step's function.
fn is_of_the_sdk(name: &str) -> bool {
    name.trim_start_matches('<').starts_with("pawl_sdk::") || name.contains(" as pawl_sdk::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_the_library_names_the_step_s_own_function_and_what_to_use_instead() {
        let frames: Vec<String> =
            ["std::sys::time::Instant::now", "pawl_sdk::entry::input", "hello::measure", "hello::greet"]
                .map(str::to_owned)
                .into();
        let told = |place: &str, message: &str, frames: Option<&[String]>| {
            Panicked { place: place.into(), step: Some("src/lib.rs:20:4".into()), message: message.into() }.told(frames)
        };
        let (place, time) =
            ("/rustc/5980/library/std/src/sys/time/unsupported.rs:13:9", "time not implemented on this platform");
        assert_eq!(
            told(place, time, Some(&frames)),
            format!(
                "the step panicked in `hello::measure`, of the step at src/lib.rs:20:4: {time}: \
                 a step asks for the time with `ctx.now()` (at library/std/src/sys/time/unsupported.rs:13:9)"
            )
        );
        let glue = ["<hello::_::__PawlStep as pawl_sdk::raw::Guest>::run", "run"].map(str::to_owned);
        let inlined = told(place, time, Some(&glue));
        assert!(
            inlined.starts_with(&format!("the step panicked in the function at src/lib.rs:20:4: {time}")),
            "{inlined}"
        );
        let own = told("src/lib.rs:4:5", "no", Some(&frames));
        assert_eq!(own, "the step panicked in src/lib.rs:4:5: no");
    }

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

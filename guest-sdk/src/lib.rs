//! Write a Pawl step in Rust: one function under one attribute.
//!
//! ```no_run
//! use pawl_sdk::{Context, Failure, step};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Input {
//!     items: Vec<String>,
//! }
//!
//! #[derive(Serialize)]
//! struct Output {
//!     count: usize,
//! }
//!
//! /// Counts the items.
//! #[step]
//! fn count(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
//!     ctx.info("counting", &[("items", &input.items.len())]);
//!     Ok(Output { count: input.items.len() })
//! }
//! ```
//!
//! Build the crate (`crate-type = ["cdylib"]`) with `pawl plugin build`.
//!
//! A step may be stopped at any instruction and go on elsewhere. Three rules make that safe:
//!
//! * What the outside world says comes through [`Context`]: time, random numbers, HTTP. Pawl records the
//!   answers and a resumed step sees the same ones, so it takes the same way.
//! * [`Context::checkpoint`] saves where a long step is; [`Context::restore`] gets it back. A resumed step
//!   starts there, and nothing before it is done again.
//! * An effect outside carries an idempotency key by itself when it is a request of [`Context::http`]. Other
//!   effects go into [`Context::once`].
//!
//! The host is called only by what the step itself calls: nothing here reads the context, the clock or the
//! generator behind the author's back, since each answer costs a journal entry.
//!
//! The crate compiles on any target, so that the pure parts of a step can be unit-tested with `cargo test`.
//! Calls to the host panic there, with a message that says so.

mod context;
mod document;
mod each;
mod entry;
mod facade;
mod failure;
mod host;
pub mod http;
mod logging;
mod or_fail;
mod schema;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

/// The bindings of `wit/step.wit` themselves, for a step that does without the rest of this crate: implement
/// `raw::Guest` and name it to `raw::export_step!`.
///
/// Generated into a file and not by a macro: a step's author then compiles no WIT parser, and the test
/// `bindings` holds the file against the WIT.
#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::unwrap_used)]
pub mod raw;

pub use context::Context;
pub use each::Each;
pub use failure::Failure;
pub use logging::{Fields, Level};
pub use or_fail::OrFail;
/// Makes a function the step of this component.
///
/// The function takes `&mut Context` and an input that serde can read, and returns `Result` of an output
/// that serde can write and of an error that converts into [`Failure`]. A crate has one step.
///
/// The component is known by the crate's name and version and the function's doc comment, unless the
/// attribute says otherwise:
///
/// ```no_run
/// # use pawl_sdk::{Context, Failure, step};
/// #[step(name = "charge-card", version = "2.1.0", needs = ["http"])]
/// fn charge(_: &mut Context, amount: u64) -> Result<u64, Failure> {
///     Ok(amount)
/// }
/// ```
pub use pawl_sdk_macros::step;
pub use schemars::{self, JsonSchema};

/// What the attribute's expansion names; not for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::entry::{context, input, manifest, output};
    pub use crate::raw::{Failure, Manifest};
    pub use crate::schema::{Anything, Described, Returned, Type, Undescribed, of_input, of_output};
}

//! Write a Pawl step in Rust: one function under one attribute.
//!
//! ```no_run
//! use pawl_sdk::{Context, Failure, step};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Input {
//!     orders: Vec<String>,
//! }
//!
//! #[derive(Serialize)]
//! struct Output {
//!     sent: usize,
//! }
//!
//! /// Sends each order to the shop, once.
//! #[step(needs = ["http"])]
//! fn send_orders(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
//!     let mut orders = ctx.each(&input.orders, 0);
//!     while let Some((order, sent)) = orders.next(ctx)? {
//!         ctx.http().post("https://shop.example/orders").json(order).effect(order).send()?.ok()?;
//!         *sent += 1;
//!     }
//!     Ok(Output { sent: orders.into_state() })
//! }
//! ```
//!
//! Build the crate (`crate-type = ["cdylib"]`) with `pawl plugin build`, try the component with `pawl plugin
//! test`, and the function itself with [`testing`], with a crash at each of its host calls.
//!
//! # What a step can rely on
//!
//! A step may be stopped at any instruction, its worker may die, and it goes on elsewhere. Its code begins anew
//! then, and Pawl answers what it asked before from a journal, until the code has come to where it was. So a
//! step must ask the same questions in the same order whenever it runs. Four rules make that easy:
//!
//! * What the outside world says comes through [`Context`]: time, random numbers, HTTP, signals. A component has
//!   no other clock and no other source of chance.
//! * What the step decides by comes from its input, its saved state and those answers. (The order of a
//!   `HashMap` is fixed by nothing: use a `BTreeMap` where the order of questions hangs on it.)
//! * A long step saves where it is, so that little is done again: [`Context::each`] for a loop,
//!   [`Context::checkpoint`] and [`Context::restore`] for any other form.
//! * What changes something outside carries an idempotency key by itself when it is a request of
//!   [`Context::http`]. Other effects go into [`Context::once`].
//!
//! The host is called only by what the step itself calls: nothing here reads the context, the clock or the
//! generator behind the author's back, since each answer costs a journal entry.
//!
//! # The parts
//!
//! | to | there is |
//! |---|---|
//! | say what the component is | [`step`](macro@step) |
//! | know run, attempt, deadline, config, secrets | [`Context::attempt`], [`Context::config`], [`Context::secret`] ... |
//! | read the clock, draw lots | [`Context::now`], [`Context::random_u64`], [`Context::random_bytes`] |
//! | save progress | [`Context::each`], [`Context::checkpoint`], [`Context::restore`] |
//! | change something outside, once | [`Context::http`], [`Context::once`], [`Context::idempotency_key`] |
//! | wait without holding anything | [`Context::sleep`], [`Context::await_signal`] |
//! | fail, and say whether another attempt may help | [`Failure`], [`OrFail`] |
//! | tell people what happens | [`Context::info`] and its siblings, [`Context::progress`] |
//! | test all of that without a server | [`testing`] |
//!
//! # Failures
//!
//! `?` makes a [`Failure`] of any error, a retry or a fatal one by the error's type; [`OrFail`] chooses at the
//! place:
//!
//! ```
//! use std::time::Duration;
//! use pawl_sdk::{Context, Failure, OrFail};
//!
//! fn price(ctx: &mut Context, item: String) -> Result<u64, Failure> {
//!     let answer = ctx.http().get(format!("https://shop.example/{item}")).send()?.ok().context("asking for the price")?;
//!     answer.text()?.trim().parse::<u64>().context("the shop is being updated").retry_after(Duration::from_secs(60))
//! }
//! ```
//!
//! # Schemas
//!
//! Types that derive [`JsonSchema`] are described in the component's manifest, so that the host can refuse what
//! does not fit before a step runs, with the path in the document. Types that don't are not. Name the config's
//! type in the attribute. `#[schemars(crate = ...)]` can go if the crate depends on `schemars` itself.
//!
//! ```no_run
//! use pawl_sdk::{Context, Failure, JsonSchema, step};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[schemars(crate = "pawl_sdk::schemars")]
//! struct Limits {
//!     most: u32,
//! }
//!
//! #[step(config = Limits)]
//! fn clamp(ctx: &mut Context, amount: u32) -> Result<u32, Failure> {
//!     let Limits { most } = ctx.config()?;
//!     Ok(amount.min(most))
//! }
//! ```
//!
//! # Features
//!
//! `log` and `tracing`, both off by default: what is said through the facade of that name, by the step or by a
//! library, goes to the step's log with its fields, those of open spans included.
//!
//! # Where it compiles
//!
//! For `wasm32-unknown-unknown` and `wasm32-wasip2`, and for any other target so that steps can be tested there.
//! In a native build a call to the host is answered by [`testing::Host`], and panics where none runs the step.

mod context;
mod document;
mod each;
mod entry;
mod facade;
mod failure;
#[cfg(doctest)]
mod guide;
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
/// The function stays what it is, for the rest of the crate and for [`testing`] to call.
///
/// The component is known by the crate's name and version and the function's doc comment, unless the
/// attribute says otherwise:
///
/// ```no_run
/// # use pawl_sdk::{Context, Failure, step};
/// #[step(name = "charge-card", version = "2.1.0", description = "Takes money", needs = ["http"])]
/// fn charge(_: &mut Context, amount: u64) -> Result<u64, Failure> {
///     Ok(amount)
/// }
/// ```
///
/// | member | says |
/// |---|---|
/// | `name`, `version` | in place of the crate's |
/// | `description` | in place of the doc comment's first paragraph |
/// | `needs` | what the step needs from the host, for example `http` |
/// | `config` | the type that [`Context::config`] is asked for, to be described by its [`JsonSchema`] |
pub use pawl_sdk_macros::step;
/// JSON Schemas, for types to derive [`JsonSchema`].
pub use schemars;
/// A type that can be described by a JSON Schema: derive it.
pub use schemars::JsonSchema;
/// A JSON value as it is written: what a request says, in a step and in its tests.
pub use serde_json::json;

/// What the attribute's expansion names; not for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::entry::{context, input, manifest, output};
    pub use crate::raw::{Failure, Manifest};
    pub use crate::schema::{Anything, Described, Returned, Type, Undescribed, described, of_input, of_output};
}

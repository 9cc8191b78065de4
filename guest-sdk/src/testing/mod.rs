//! The test kit: runs a step as the native function that it is, on a host in memory. No component, no server.
//!
//! ```
//! use pawl_sdk::testing::{Answer, Host, json};
//! use pawl_sdk::{Context, Failure};
//!
//! // #[step]
//! fn order(ctx: &mut Context, item: String) -> Result<u64, Failure> {
//!     let price: u64 = ctx.http().get(format!("https://shop.example/{item}")).send()?.ok()?.json()?;
//!     ctx.http().post("https://bank.example/charges").json(&price).effect("charge").send()?.ok()?;
//!     Ok(price)
//! }
//!
//! let host = Host::new()
//!     .answer("GET", "https://shop.example/*", Answer::json(120))
//!     .answer("POST", "https://bank.example/charges", Answer::status(201));
//!
//! let run = host.run(order, "lamp");
//! assert_eq!(*run.output(), 120);
//! let charge = run.effects().next().unwrap();
//! assert_eq!((charge.json(), charge.key.as_deref()), (json!(120), Some("effect \"charge\"")));
//!
//! // The same with a crash at each of its host calls.
//! assert_eq!(host.crash_everywhere(order, "lamp").requests().len(), 2);
//! ```
//!
//! The host keeps a journal and replays it by the rules of the real one. A step that sleeps, waits for a
//! signal or fails and is retried does begin again, and a replay that asks other questions than before fails
//! the test with the journal's position, what was expected and what was called.
//!
//! Time is the test's: it moves when the step waits, and with [`Host::tick`] when it is read. A sleep of a
//! year takes no longer than one of a second.
//!
//! Not like the real host: limits of size and time are not enforced, headers of the connection are not
//! checked, redirects are not followed, and keys are words in place of digests. A step made on
//! [`raw`](crate::raw) can't run here.

mod answer;
mod attempt;
pub(crate) mod calls;
mod crash;
mod host;
mod journal;
mod life;
mod loss;
mod replay;
mod run;
#[cfg(test)]
mod tests;
mod world;

pub use answer::{Answer, Request};
pub use host::Host;
pub use loss::Loss;
pub use run::Run;
pub use serde_json::json;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::logging::Line;

/// Holds a step that needs nothing of a host against itself with a crash at each of its host calls:
/// [`Host::crash_everywhere`] on a host of which nothing has been said.
///
/// # Panics
/// As that does.
#[track_caller]
pub fn crash_everywhere<I, O, E>(step: impl Fn(&mut crate::Context, I) -> Result<O, E>, input: impl Serialize) -> Run<O>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Into<crate::Failure>,
{
    Host::new().crash_everywhere(step, input)
}

//! The engine with real components: what guests may do, what they may not, and what is left of them after
//! a crash at any host call.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test says what it expects by failing")]

mod http;
mod lack;
mod limits;
mod load;
mod resume;
mod setup;
mod target;
mod waits;
mod wasi;

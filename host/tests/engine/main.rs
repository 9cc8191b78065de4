//! The engine with real components: what guests may do, what they may not, and what is left of them after
//! a crash at any host call.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test says what it expects by failing")]

mod circuits;
mod http;
mod installation;
mod lack;
mod limits;
mod load;
mod reach;
mod resume;
mod secrets;
mod setup;
mod target;
mod tls;
mod waits;
mod wasi;

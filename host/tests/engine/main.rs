//! The engine with real components: what guests may do, what they may not, and what is left of them after
//! a crash at any host call.

mod http;
mod limits;
mod load;
mod memory;
mod resume;
mod setup;
mod target;

//! The conformance suites of the two ports: what every store and every queue must do, run on both of each. The
//! state machines are left to `tests/protocol.rs`, which drives random histories into both stores.

mod event_kinds;
mod queues;
mod stores;

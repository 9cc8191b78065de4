//! The conformance suites of the two ports: what every store and every queue must do, run on both of each. The
//! state machines are left to `host/tests/protocol/`, which drives random histories into both stores.

mod away;
mod dead_letters;
mod event_kinds;
mod logs;
mod operators;
mod queues;
mod recoveries;
mod retention;
mod schema;
mod seen;
mod stores;

//! The conformance suites of the two ports: what every store and every queue must do, run on both of each. The
//! state machines are left to `host/tests/protocol/`, which drives random histories into both stores.

mod away;
mod circuits;
mod dead_letters;
mod event_kinds;
mod incidents;
mod leases;
mod logs;
mod namespaces;
mod operators;
mod pauses;
mod plugins;
mod queues;
mod recoveries;
mod restore;
mod retention;
mod runs;
mod schema;
mod sealing;
mod secrets;
mod seen;
mod stores;
mod tokens;
mod traces;
mod waits;

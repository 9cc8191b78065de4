//! Pawl, a durable step executor: pipelines of WebAssembly components that finish each step once, even
//! when machines die.
//!
//! The main flow, and who owns each stage:
//!
//! ```text
//! 1 submit     api/        one transaction: run, steps, events; answer after commit
//! 2 schedule   domain/     what is ready next: a pure function of pipeline and step states
//! 3 deliver    queue/      Redis Streams, one per queue and priority, consumer group `workers`
//! 4 claim      store/      ready → running, fence + 1, with the input, many at once
//! 5 execute    engine/     wasmtime: InstancePre, limits, deadline, the host interface
//! 6 journal    engine/ → store/   answers and checkpoints, fenced, through the group writer
//! 7 complete   store/      outcome, successors, run counters, events in one commit
//! 8 ack        queue/      XACK and XDEL, pipelined, only after 7
//! 9 events     api/        server-sent events, resumable by event number
//! ```
//!
//! Layers, imports only downward: `cli` → `api`, `worker`, `scheduler` → `engine`, `queue`, `store` →
//! `domain`. `domain` has no I/O. Only `store` knows SQL, only `queue` Redis, only `engine` wasmtime, only
//! `api` HTTP.

pub mod api;
pub mod cli;
pub mod domain;
pub mod engine;
pub mod fault;
pub mod parts;
pub mod queue;
pub mod scheduler;
pub mod store;
pub mod worker;

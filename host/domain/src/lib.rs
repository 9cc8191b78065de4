//! Words, rules and decisions, without I/O: everything here can be tested with values alone.

pub mod attempt;
pub mod cause;
pub mod decision;
pub mod event;
pub mod id;
pub mod journal;
pub mod json;
pub mod limits;
pub mod log;
pub mod name;
pub mod namespace;
pub mod pipeline;
pub mod pipeline_file;
pub mod ready;
pub mod recovery;
pub mod replay;
pub mod retention;
pub mod retry;
pub mod schema;
pub mod secret;
pub mod status;
pub mod succession;
pub mod suspicion;
pub mod transition;
pub mod wait;

//! A worker process: claims steps, executes them on guest threads, writes what they did, and holds the
//! lease under which it may. Its main flow is `flow`: start there. Modules name those below them only:
//!
//! ```text
//!  run            one incarnation after the other
//!  incarnation    what one consists of                drain        … and how it ends
//!
//!  writer         the group commit                    reconcile    do we and the database agree?
//!  heartbeat      renews the lease                    watch        who else has died?
//!  scheduler      what others have left undone
//!  compile_ahead  what will be asked for              retain       what has ended long ago
//!  logs           what steps say, to the store
//!
//!  flow           receive, claim, execute, settle, acknowledge
//!
//!  answer         what the answer to a batch means    settle       what the end of an attempt means
//!  ahead          … without waiting for claims and commits
//!                                                    tally        what commits are counted as
//!
//!  desk           the steps and messages at hand      guests       where steps are executed
//!  loaded         components, pipelines, histories
//!  session        a step in execution: where its guest and the writer meet
//!
//!  outbox         what waits for the writer           acknowledge  what follows a commit in the queue
//!  trust          may we still act?                   clock        the time that all workers share
//!  vitals         does the process make progress?     config       how all this is set up
//!  circuits       which outside hosts are down
//!  version        a pipeline version, as it is kept   logbook      lines that wait for the store
//! ```
//!
//! `answer` and `settle` decide, and do nothing; those above act.

mod acknowledge;
mod ahead;
mod answer;
mod circuits;
mod clock;
mod compile_ahead;
mod config;
mod desk;
mod drain;
mod flow;
mod gate;
mod guests;
mod heartbeat;
mod incarnation;
mod ingredients;
mod loaded;
mod logbook;
mod logs;
mod mirror;
mod outbox;
mod past;
mod reading;
mod reconcile;
mod retain;
mod run;
pub mod scheduler;
mod secrets;
mod session;
mod settle;
mod standing;
mod tally;
mod tell;
mod trim;
mod trust;
mod unnamed;
mod version;
mod vitals;
mod watch;
mod writer;

pub use config::{Config, session_timeout};
pub use run::{Error, run};
pub use standing::Standing;

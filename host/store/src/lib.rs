//! The truth: what is not in the store has not happened. A port with two implementations, which pass one
//! conformance suite: [`Postgres`] for production, [`Sqlite`] for `pawl dev`.
//!
//! The port's traits stand in files by noun, beside the rows that they give; `write` and `submit` hold what
//! passes through a [`Link`]. Only this module knows SQL.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub mod audit;
pub mod backup;
mod carried;
pub mod circuits;
pub mod components;
pub mod control;
pub mod dead_letters;
pub mod doctor;
mod error;
pub mod events;
pub mod history;
pub mod inbox;
pub mod incidents;
pub mod leases;
pub mod live;
pub mod logs;
pub mod namespaces;
pub mod pauses;
pub mod pipelines;
pub mod plugins;
mod postgres;
pub mod readiness;
pub mod recoveries;
pub mod retention;
pub mod runs;
pub mod seal;
pub mod sealing;
pub mod secrets;
mod sqlite;
pub mod stored;
pub mod submit;
pub mod tokens;
pub mod traces;
pub mod waits;
pub mod workers;
pub mod write;

pub use error::{Error, Result};
pub use postgres::Postgres;
pub use sqlite::Sqlite;

use events::RunMark;
use leases::{Heartbeat, Renewal, Watch};
use pawl_domain::id::{Digest, RunId, WorkerId};
use pawl_domain::ready::Ready;
use submit::{NewRun, Submission};
use write::{Batch, Written};

/// The whole port.
pub trait Store:
    Schema
    + audit::Audits
    + circuits::Circuits
    + components::Components
    + control::Control
    + dead_letters::DeadLetters
    + doctor::Inspections
    + doctor::Invariants
    + events::Events
    + history::Histories
    + inbox::Inboxes
    + incidents::Incidents
    + leases::Sweeps
    + live::Live
    + logs::Logs
    + namespaces::Namespaces
    + pauses::Pauses
    + pipelines::Pipelines
    + plugins::Plugins
    + readiness::Readiness
    + recoveries::Recoveries
    + retention::Retentions
    + runs::Runs
    + sealing::Seals
    + secrets::Secrets
    + stored::Stored
    + tokens::Tokens
    + traces::Traces
    + waits::Waits
    + workers::Workers
    + Send
    + Sync
{
}

/// A store that many share.
pub type SharedStore = Arc<dyn Store>;

/// The store itself.
#[async_trait]
pub trait Schema {
    /// For people: what it is.
    fn name(&self) -> &'static str;

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// [`Error`] if the store can't be reached or holds migrations that this build doesn't know.
    async fn migrate(&self) -> Result<()>;

    /// Checks that the schema is the one of this build.
    ///
    /// # Errors
    /// [`Error::Schema`] if it is older or newer, [`Error::ForeignSchema`] if it is another one.
    async fn check_schema(&self) -> Result<()>;

    /// Whether it would take a write now.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Unavailable`].
    async fn check_writes(&self) -> Result<()>;

    /// Whether connections are what the store needs. Asked once, at the start.
    ///
    /// # Errors
    /// [`Error::Config`] if not, with what to use; [`Error::Unavailable`].
    async fn check_connections(&self) -> Result<()>;

    /// A way in for a loop that writes all the time and must wait for nobody else's reads.
    fn link(&self) -> Box<dyn Link>;

    /// The same for a loop of a worker: while one of a worker's links is connected, the worker is there, see
    /// [`Link::watch`].
    fn link_of(&self, worker: WorkerId) -> Box<dyn Link>;
}

/// The way in of one loop, one call at a time. Each call is one round trip and one commit. A call that was
/// given up, or failed, leaves the link as good as new; what it sent may have been committed.
#[async_trait]
pub trait Link: Send {
    /// Connects, unless it is connected. Others do so themselves; this tells whether a later silence is the store's, or
    /// what was sent takes too long.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn connect(&mut self) -> Result<()>;

    /// Sends a batch for `worker`, and waits for its commit. A batch may be sent again after a lost answer: the
    /// answer is then what the first one would have been.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Silent`]: it may have been committed; send it again. [`Error::Slow`],
    /// [`Error::Held`]: it was not; send less. [`Error::Refused`]: it was not, because of the content of a member.
    async fn write(&mut self, worker: WorkerId, batch: &Batch) -> Result<Written>;

    /// Submits `runs` in one commit. The answers are in their order; the steps are to be delivered.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may have been committed; send it again with the same ids.
    async fn submit(&mut self, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>)>;

    /// Where these runs stand, those that there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn run_marks(&mut self, runs: &[RunId]) -> Result<Vec<RunMark>>;

    /// Begins or renews a worker's lease.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may have been renewed.
    async fn heartbeat(&mut self, beat: &Heartbeat<'_>) -> Result<Renewal>;

    /// Whether the worker's lease still stands. Until the grace of a [`Watch`] after this question was sent, nobody ends it
    /// before its time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn confirm(&mut self, worker: WorkerId) -> Result<bool>;

    /// Ends the leases of other workers that have no session any more: killed processes, whose sockets were closed. One
    /// link at a time does it; the others wait for their turn. Returns whose leases it has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: this link's session is over. It is told as soon as it is known, and not only when the time
    /// is up.
    async fn watch(&mut self, watch: &Watch) -> Result<Vec<WorkerId>>;
}

/// Whether this build and the store fit: the way to it, and its schema. Asked at the start.
///
/// # Errors
/// As [`Schema::check_connections`] and [`Schema::check_schema`].
pub async fn check(store: &dyn Store) -> Result<()> {
    store.check_connections().await?;
    store.check_schema().await
}

/// Bounds a conversation with the store by `limit`: a server that has gone silent resets nothing.
///
/// # Errors
/// That of `work`, or [`Error::Silent`] when time is up; what was sent may have been committed.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Error::Silent))
}

/// Connects a link of the store called `name`, within `limit`. A silence after it is about what was sent.
///
/// # Errors
/// [`Error::Unavailable`], also when time is up.
pub async fn connected(link: &mut dyn Link, limit: Duration, name: &'static str) -> Result<()> {
    match within(limit, link.connect()).await {
        Err(Error::Silent) => Err(Error::Unavailable(name, "no connection in time".into())),
        connected => connected,
    }
}

/// In ms, as both stores keep times.
fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Bytes that were read, if they are those that were written.
fn verified(bytes: Vec<u8>, digest: Digest, what: impl FnOnce() -> String) -> Result<Vec<u8>> {
    if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(Error::Damaged(what())) }
}

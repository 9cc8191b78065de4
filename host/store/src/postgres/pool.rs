//! The connections that reads and rare writes share. Loops that write all the time have their own, see [`super::link`].
//!
//! A host that dies sends no word of it: whoever waits for its answer waits for ever, or a quarter of an hour where
//! something is still to be sent. So every conversation has a deadline, and a connection that missed one is closed, never
//! lent again. Its place is free at once for a new one.
//!
//! ```text
//!  lend ──▶ idle for long? ask first ──▶ conversation ──answered──▶ idle
//!    │            │ no answer                │ no answer in time ──▶ closed, and all that were idle meanwhile
//!    └─ none ─────┴──▶ connect               └ given up by the caller ──▶ asked once; answers ──▶ idle
//! ```
//!
//! It must never hold a place for something that can't be waited out.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use pawl_base::lock;
use pawl_metrics::figures;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{error::Elapsed, timeout};

use super::error::ends_session;
use super::servers::Servers;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// How long a connection may have been idle and is lent without a question: asking costs a round trip.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// How long the answer to such a question may take.
const ANSWER: Duration = Duration::from_secs(1);

/// How long a connection may be idle, and how old it may become. The one that was used last is lent first, so that few are
/// kept: a server has a number of them for all of its clients.
const LONGEST_IDLE: Duration = Duration::from_secs(30);
const OLDEST: Duration = Duration::from_secs(1_800);

/// Pauses between attempts to connect to a server that is starting.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// The connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    servers: Servers,
    /// How long one statement may take, or the wait for a connection.
    patience: Duration,
    /// One for each connection that may be lent.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Kept>>,
}

/// A connection that nobody uses.
struct Kept {
    conn: PgConnection,
    made: Instant,
    used: Instant,
}

impl Pool {
    /// For so many connections; connects when first used. No statement is waited for longer than `patience`.
    pub(super) fn new(servers: Servers, connections: u32, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(connections.max(1) as usize));
        Self(Arc::new(Shared { servers, patience, places, idle: Mutex::default() }))
    }

    /// How long one statement may take.
    pub(super) fn patience(&self) -> Duration {
        self.0.patience
    }

    /// A connection for several statements. The caller bounds their time, and says when they are done.
    pub(super) async fn lend(&self) -> Result<Lent> {
        let until = Instant::now() + self.0.patience;
        timeout(self.0.patience, self.lend_before(until)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// A transaction. The caller bounds its time.
    pub(super) async fn begin(&self) -> Result<Transaction> {
        let mut lent = self.lend().await?;
        let begun = timeout(self.0.patience, lent.execute("begin")).await;
        // It is in a transaction, or nobody knows: until the commit, it is not to be lent again.
        let lent = lent.back_after(begun).map(|(lent, _)| lent)?;
        Ok(Transaction(Some(lent)))
    }

    /// Whether what is lent takes writes. A connection that takes none is closed, with all that are idle: the next ones may lead
    /// elsewhere, or be told otherwise by now.
    pub(super) async fn takes_writes(&self) -> Result<bool> {
        let asked = "select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean";
        let mut lent = self.lend().await?;
        let answer = timeout(self.0.patience, sqlx::query_scalar(asked).fetch_one(&mut *lent)).await;
        let (mut lent, reads_only) = lent.back_after(answer)?;
        if reads_only {
            lent.conn = None;
            let closed = std::mem::take(&mut *lock(&self.0.idle));
            drop(closed);
        } else {
            lent.done();
        }
        Ok(!reads_only)
    }

    async fn lend_before(&self, until: Instant) -> Result<Lent> {
        let began = Instant::now();
        let place = Arc::clone(&self.0.places).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)?;
        figures().pool_wait_seconds.took(began.elapsed());
        let (conn, made) = match self.idle().await {
            Some(kept) => (kept.conn, kept.made),
            None => (connect(&self.0.servers, until).await?, Instant::now()),
        };
        Ok(Lent { conn: Some(conn), made, pool: self.clone(), place: Some(place) })
    }

    /// The connection that was used last, if it answers.
    async fn idle(&self) -> Option<Kept> {
        let mut kept = lock(&self.0.idle).pop()?;
        if kept.used.elapsed() < TRUSTED_IDLE || is_answered(&mut kept.conn).await {
            return Some(kept);
        }
        self.lost_one();
        None
    }

    /// A connection broke, or did not answer. What it died of, the others did, too; to make new ones is cheaper than to ask
    /// each.
    fn lost_one(&self) {
        figures().store_connections_lost.one();
        let forgotten = std::mem::take(&mut *lock(&self.0.idle));
        drop(forgotten);
    }

    fn keep(&self, conn: PgConnection, made: Instant) {
        let mut idle = lock(&self.0.idle);
        idle.retain(|kept| kept.used.elapsed() < LONGEST_IDLE);
        if made.elapsed() < OLDEST {
            idle.push(Kept { conn, made, used: Instant::now() });
        }
    }
}

/// Connects. A server that is starting is waited for.
async fn connect(servers: &Servers, until: Instant) -> Result<PgConnection> {
    let mut pause = FIRST_PAUSE;
    loop {
        match servers.connect().await {
            Err(error) if is_starting(&error) && Instant::now() + pause < until => tokio::time::sleep(pause).await,
            answered => return answered,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        // cannot_connect_now
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

async fn is_answered(conn: &mut PgConnection) -> bool {
    matches!(timeout(ANSWER, conn.ping()).await, Ok(Ok(())))
}

/// Whether the connection is of no more use.
fn is_broken(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Database, Io, Protocol, Tls, WorkerCrashed};
    match error {
        Io(_) | Tls(_) | Protocol(_) | WorkerCrashed => true,
        Database(error) => ends_session(&error.code().unwrap_or_default()),
        _ => false,
    }
}

/// A connection on loan. Dropped, it was given up in the middle of something: it is asked once, and closed if it does not
/// answer.
pub(super) struct Lent {
    conn: Option<PgConnection>,
    made: Instant,
    pool: Pool,
    place: Option<OwnedSemaphorePermit>,
}

impl Lent {
    /// All is answered: the next one may have it.
    pub(super) fn done(mut self) {
        if let Some(conn) = self.conn.take() {
            self.pool.keep(conn, self.made);
        }
    }

    /// What came of a conversation. Without an answer the connection is closed; after a refusal it is asked.
    fn back_after<T>(mut self, answer: std::result::Result<Result<T>, Elapsed>) -> Result<(Self, T)> {
        let error = match answer {
            Ok(Ok(told)) => return Ok((self, told)),
            Ok(Err(error)) if !is_broken(&error) => return Err(error),
            Ok(Err(error)) => error,
            Err(_) => silent(),
        };
        self.conn = None;
        self.pool.lost_one();
        Err(error)
    }
}

fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.conn.as_ref().expect("taken only when the loan ends")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect("taken only when the loan ends")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(mut conn), Ok(runtime)) = (self.conn.take(), Handle::try_current()) else { return };
        // Its place stays taken meanwhile: the server may still be at it, and there are never more than so many.
        let (pool, made, place) = (self.pool.clone(), self.made, self.place.take());
        runtime.spawn(async move {
            if is_answered(&mut conn).await {
                pool.keep(conn, made);
            } else {
                pool.lost_one();
            }
            drop(place);
        });
    }
}

/// A connection in a transaction. Dropped without a commit, it is closed, which rolls back.
pub(super) struct Transaction(Option<Lent>);

impl Transaction {
    /// Commits.
    pub(super) async fn commit(mut self) -> Result<()> {
        self.execute("commit").await?;
        if let Some(lent) = self.0.take() {
            lent.done();
        }
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect("taken only by the commit")
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("taken only by the commit")
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(lent) = &mut self.0 {
            lent.conn = None;
        }
    }
}

/// One conversation on a connection that is lent for it, in bounded time.
macro_rules! converse {
    ($pool:expr, $lent:ident => $call:expr) => {{
        let mut $lent = $pool.lend().await?;
        let answer = timeout($pool.0.patience, $call).await;
        let (lent, told) = $lent.back_after(answer)?;
        lent.done();
        Ok::<_, sqlx::Error>(told)
    }};
}

/// A statement on its own.
impl<'p> Executor<'p> for &Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let all = async move { converse!(pool, lent => lent.fetch_many(query).try_collect::<Vec<_>>()) };
        stream::once(all).map_ok(|told| stream::iter(told.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move { converse!(pool, lent => lent.fetch_optional(query)) })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { converse!(pool, lent => lent.prepare_with(sql, parameters)) })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { converse!(pool, lent => lent.describe(sql)) })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("free", &self.0.places.available_permits()).finish_non_exhaustive()
    }
}

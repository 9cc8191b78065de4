//! Reading what may be large, or come slowly. Every answer of the store has a bounded time, and what is large comes in
//! parts, each an answer of its own: so whoever reads goes on from what it has, for as long as somebody wants it, while
//! the heartbeat beats. A store that is away is waited for; a part that was too slow is asked for in halves.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::{Digest, StepId};
use pawl_domain::journal::Entry;
use pawl_store::history::{Large, PIECE_BYTES, Parts, Row, between, check_order, entries_of};
use pawl_store::seal::Seal;
use pawl_store::{self as store, SharedStore, Store, within};
use tokio::sync::Semaphore;

use crate::config::OUTAGE_PAUSE;

/// Answers that are waited for at a time: each takes a connection, of which others need some, and some memory.
const AT_ONCE: usize = 4;

/// A part that is never halved, bytes.
const LEAST_BYTES: usize = 32 << 10;

/// How often who waits for another one's reading asks whether it is still wanted.
const GIVEN_UP_CHECK: Duration = Duration::from_millis(100);

/// Why nothing was read.
#[derive(Debug)]
pub enum Missed {
    /// Nobody wants it any more.
    GivenUp,
    /// Trying again changes nothing.
    Error(store::Error),
}

impl From<store::Error> for Missed {
    fn from(error: store::Error) -> Self {
        Self::Error(error)
    }
}

/// What the store is to do.
type Asked<'a, T> = Pin<Box<dyn Future<Output = store::Result<T>> + Send + 'a>>;

/// Reads from the store; cheap to clone. All clones share its bounds.
#[derive(Clone)]
pub struct Reading {
    store: SharedStore,
    patience: Duration,
    at_once: Arc<Semaphore>,
}

impl Reading {
    /// From this store, whose answers are waited for so long.
    #[must_use]
    pub fn new(store: SharedStore, patience: Duration) -> Self {
        Self { store, patience, at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What is read from.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Asks until there is an answer. `given_up` is asked before each try.
    ///
    /// # Errors
    /// [`Missed`].
    pub async fn ask<'a, T>(
        &self,
        given_up: &(impl Fn() -> bool + ?Sized),
        ask: impl Fn() -> Asked<'a, T>,
    ) -> Result<T, Missed> {
        let mut told = false;
        loop {
            if given_up() {
                return Err(Missed::GivenUp);
            }
            match self.once(ask()).await {
                Err(error) if error.is_passing() => self.pause(&error, &mut told).await,
                answer => return Ok(answer?),
            }
        }
    }

    /// Reads a large value, a part after the other.
    ///
    /// # Errors
    /// [`Missed`].
    pub async fn whole(
        &self,
        of: Large,
        digest: Digest,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Vec<u8>, Missed> {
        let mut parts = Parts::new(of, digest);
        let (mut most, mut told) = (PIECE_BYTES, false);
        loop {
            if given_up() {
                return Err(Missed::GivenUp);
            }
            match self.once(self.store.part(of, parts.offset(), most)).await {
                Ok(part) => {
                    if parts.take(part, most) {
                        return Ok(parts.whole()?);
                    }
                }
                Err(error) if error.is_passing() => {
                    most = (most / 2).max(LEAST_BYTES);
                    self.pause(&error, &mut told).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A piece of a journal: entries from position `from` on, none from `until` on.
    ///
    /// # Errors
    /// [`Missed`].
    pub async fn entries(
        &self,
        id: StepId,
        from: u32,
        until: u32,
        seal: &Seal,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Vec<Entry>, Missed> {
        let store = self.store();
        let mut all = Vec::new();
        let mut next = from;
        for mut row in self.ask(given_up, || store.rows(id, from, until)).await? {
            check_order(id, &row, next)?;
            let bytes = self.bytes_of(id, &mut row, given_up).await?;
            all.extend(between(row.first, entries_of(id, &row, bytes, seal)?, next, until));
            next = row.first + row.length;
        }
        Ok(all)
    }

    /// The entries of the row that holds position `at` but does not start there, up to `at`; with the row's start.
    ///
    /// # Errors
    /// [`Missed`].
    pub async fn entries_before_cut(
        &self,
        id: StepId,
        at: u32,
        seal: &Seal,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Option<(u32, Vec<Entry>)>, Missed> {
        let store = self.store();
        let rows = self.ask(given_up, || store.rows(id, at, at.saturating_add(1))).await?;
        let Some(mut row) = rows.into_iter().next().filter(|row| row.first < at && at < row.first + row.length) else {
            return Ok(None);
        };
        let bytes = self.bytes_of(id, &mut row, given_up).await?;
        let entries = between(row.first, entries_of(id, &row, bytes, seal)?, row.first, at).collect();
        Ok(Some((row.first, entries)))
    }

    async fn bytes_of(
        &self,
        id: StepId,
        row: &mut Row,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Vec<u8>, Missed> {
        match row.bytes.take() {
            Some(bytes) => Ok(bytes),
            None => self.whole(Large::Row(id, row.first), row.digest, given_up).await,
        }
    }

    /// One try. Who waits for its turn has not been waiting for the store.
    async fn once<T>(&self, asked: impl Future<Output = store::Result<T>>) -> store::Result<T> {
        let _turn = self.at_once.acquire().await.expect("it is never closed");
        within(self.patience, asked).await
    }

    async fn pause(&self, error: &store::Error, told: &mut bool) {
        if !std::mem::replace(told, true) {
            tracing::warn!(error = error.chain(), "something that a step needs can't be read yet");
        }
        tokio::time::sleep(OUTAGE_PAUSE).await;
    }
}

/// Comes back when something is not wanted any more.
pub async fn until(given_up: &(impl Fn() -> bool + ?Sized)) {
    while !given_up() {
        tokio::time::sleep(GIVEN_UP_CHECK).await;
    }
}

//! The hub for those who wait for runs: long polls and event streams. However many wait, the database sees
//! one query at a time, for all runs that may have moved.
//!
//! ```text
//!  reader: subscribe ──▶ dirty ─┐
//!  queue:  a run moved ▶ dirty ─┼─▶ poll: one query for all dirty runs ──▶ a mark for each reader
//!  clock:  every second, all ───┘    (moved: only if somebody follows the run)
//!  queue:  a run ended ─────────────────────────────────────────────────▶ those who read it themselves
//! ```
//!
//! Whoever follows the log of a run is told besides how many lines it has: by one query more, for all such runs, and only if there
//! are some.
//!
//! A reader subscribes before it is told anything, so nothing falls between its first look and its
//! waiting. Wake-ups may be lost: the clock makes up for them. They may be wrong: whoever is woken reads what
//! the database says.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::id::RunId;
use pawl_domain::ready::Moved;
use pawl_store::events::RunMark;
use pawl_store::{self as store, Link, SharedStore, within};
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;

pub use subscription::{LogSubscription, Subscription};

mod subscription;

/// How often all watched runs are looked at, whether or not somebody said that they moved.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Pause after a query, for each run in it, and at most: one reader is told at once, hundreds cost the
/// database a few queries a second more, not one for every commit of every worker.
const PAUSE_PER_RUN: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How long a query may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause after a failed query.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// What a reader is told about its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nobody has looked for it yet.
    NotYet,
    /// There is no such run.
    Missing,
    /// Where it stood when the hub last looked.
    At(RunMark),
    /// Somebody says that it has ended.
    Ended,
    /// The server is shutting down: nothing more will be told.
    Closed,
}

/// The hub; cheap to clone.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<Shared>,
}

struct Shared {
    store: SharedStore,
    state: Mutex<State>,
    /// Wakes the loop that reads the marks of `dirty` runs.
    dirtied: Notify,
}

#[derive(Debug, Default)]
struct State {
    watched: HashMap<RunId, Watched>,
    /// Watched runs that may have moved.
    dirty: HashSet<RunId>,
    closed: bool,
}

#[derive(Debug)]
struct Watched {
    readers: watch::Sender<Seen>,
    /// How many of the readers want the mark of every move, and of the end.
    followers: usize,
    waiters: usize,
    /// For those who follow its log: the number of its last line.
    lines: Option<watch::Sender<i64>>,
}

/// What a reader wants to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interest {
    /// Every move.
    Moves,
    /// Where the run stands at its end; it is about to be submitted.
    EndOfNew,
    /// That the run has ended: what it says then is read besides.
    End,
}

impl Watch {
    /// A hub that reads from `store`; it tells nothing until [`Watch::run`] is polled.
    #[must_use]
    pub fn new(store: SharedStore) -> Self {
        Self { shared: Arc::new(Shared { store, state: Mutex::default(), dirtied: Notify::new() }) }
    }

    /// Begins to follow a run, move by move. The subscription tells what was read for other readers, if there
    /// are any, and then what is read after this call.
    #[must_use]
    pub fn follow(&self, run: RunId) -> Subscription {
        let subscription = self.subscribe(run, Interest::Moves);
        self.look_at(run);
        subscription
    }

    /// Begins to follow a run and its log.
    #[must_use]
    pub fn follow_log(&self, run: RunId) -> LogSubscription {
        let moves = self.follow(run);
        let mut state = self.state();
        let watched = state.watched.get_mut(&run).expect("it is watched as long as there is a subscription");
        let lines = watched.lines.get_or_insert_with(|| watch::channel(0).0).subscribe();
        drop(state);
        LogSubscription { moves, lines }
    }

    /// Begins to wait for a run's end.
    #[must_use]
    pub fn await_end(&self, run: RunId) -> Subscription {
        let subscription = self.subscribe(run, Interest::End);
        self.look_at(run);
        subscription
    }

    /// Begins to wait for the end of a run that is about to be submitted: there is nothing to look at yet, and a look in
    /// between that does not find it says nothing.
    #[must_use]
    pub fn await_end_of_new(&self, run: RunId) -> Subscription {
        self.subscribe(run, Interest::EndOfNew)
    }

    fn look_at(&self, run: RunId) {
        self.state().dirty.insert(run);
        self.shared.dirtied.notify_one();
    }

    fn subscribe(&self, run: RunId, interest: Interest) -> Subscription {
        let mut state = self.state();
        let initial = if state.closed { Seen::Closed } else { Seen::NotYet };
        let new = || Watched { readers: watch::channel(initial).0, followers: 0, waiters: 0, lines: None };
        let watched = state.watched.entry(run).or_insert_with(new);
        watched.followers += usize::from(interest == Interest::Moves);
        watched.waiters += usize::from(interest == Interest::EndOfNew);
        let receiver = watched.readers.subscribe();
        drop(state);
        Subscription { watch: self.clone(), run, interest, receiver }
    }

    /// Says that these runs have moved. Runs that nobody watches cost nothing.
    pub fn wake(&self, moved: &[Moved]) {
        let mut state = self.state();
        let State { watched, dirty, .. } = &mut *state;
        let before = dirty.len();
        for moved in moved {
            let Some(watched) = watched.get(&moved.run) else { continue };
            if moved.ended {
                watched.tell(Seen::Ended);
            }
            if watched.followers > 0 || (moved.ended && watched.waiters > 0) {
                dirty.insert(moved.run);
            }
        }
        let is_dirtier = dirty.len() > before;
        drop(state);
        if is_dirtier {
            self.shared.dirtied.notify_one();
        }
    }

    /// Ends all waiting, for a shutdown.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.watched.values().for_each(|watched| watched.tell(Seen::Closed));
    }

    /// Looks at runs and tells their readers, for ever. The more runs a query told about, the longer the
    /// next one gathers.
    pub async fn run(&self) {
        let mut link = self.shared.store.link();
        let mut clock = tokio::time::interval(POLL_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_out = false;
        loop {
            tokio::select! {
                () = self.shared.dirtied.notified() => {}
                _ = clock.tick() => self.dirty_all(),
            }
            match self.poll_once(&mut *link).await {
                Ok(runs) => {
                    is_out = false;
                    tokio::time::sleep(PAUSE_PER_RUN.saturating_mul(runs.saturating_sub(1)).min(LONGEST_PAUSE)).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_out, true) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "readers of runs have to wait");
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                    self.shared.dirtied.notify_one();
                }
            }
        }
    }

    /// Looks once at all runs that may have moved; returns how many.
    ///
    /// # Errors
    /// [`store::Error`]: the runs are looked at again by the next call.
    pub async fn poll_once(&self, link: &mut dyn Link) -> store::Result<u32> {
        let runs: Vec<RunId> = self.state().dirty.drain().collect();
        if runs.is_empty() {
            return Ok(0);
        }
        match self.marks(link, &runs).await {
            Ok((marks, lines)) => {
                self.tell(&runs, marks, &lines);
                Ok(u32::try_from(runs.len()).unwrap_or(u32::MAX))
            }
            Err(error) => {
                self.state().dirty.extend(runs);
                Err(error)
            }
        }
    }

    /// Where these runs stand, and the last lines of those whose logs are followed.
    async fn marks(&self, link: &mut dyn Link, runs: &[RunId]) -> store::Result<(Vec<RunMark>, Vec<(RunId, i64)>)> {
        let logged: Vec<RunId> = {
            let state = self.state();
            let is_followed = |run: &&RunId| state.watched.get(*run).is_some_and(Watched::has_log_readers);
            runs.iter().filter(is_followed).copied().collect()
        };
        let marks = within(PATIENCE, link.run_marks(runs)).await?;
        let lines = match logged.as_slice() {
            [] => Vec::new(),
            logged => within(PATIENCE, self.shared.store.log_marks(logged)).await?,
        };
        Ok((marks, lines))
    }

    fn tell(&self, runs: &[RunId], marks: Vec<RunMark>, lines: &[(RunId, i64)]) {
        let marks: HashMap<RunId, RunMark> = marks.into_iter().map(|mark| (mark.id, mark)).collect();
        let state = self.state();
        for (run, last) in lines {
            if let Some(readers) = state.watched.get(run).and_then(|watched| watched.lines.as_ref()) {
                readers.send_if_modified(|known| std::mem::replace(known, *last) != *last);
            }
        }
        for run in runs {
            if let Some(watched) = state.watched.get(run) {
                watched.tell(marks.get(run).map_or(Seen::Missing, |mark| Seen::At(*mark)));
            }
        }
    }

    fn dirty_all(&self) {
        let mut state = self.state();
        let State { watched, dirty, .. } = &mut *state;
        dirty.extend(watched.keys());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        lock(&self.shared.state)
    }
}

impl Watched {
    fn has_log_readers(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.receiver_count() > 0)
    }

    fn tell(&self, seen: Seen) {
        self.readers.send_if_modified(|told| {
            let is_news = *told != Seen::Closed && *told != seen;
            if is_news {
                *told = seen;
            }
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::namespace::Namespace;
    use pawl_store::Sqlite;
    use pawl_store::submit::NewRun;

    /// The clock looks at all runs, also at those whose submission is on its way.
    #[tokio::test]
    async fn a_run_that_is_not_there_yet_has_not_ended() {
        let folder = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Sqlite::open(&folder.path().join("store.sqlite")).unwrap());
        pawl_store::Schema::migrate(&*store).await.unwrap();
        let mut link = store.link();
        let watch = Watch::new(store);
        let run = NewRun::new(Namespace::default(), "none".into(), b"1".to_vec(), None);
        let (mut new, mut unknown) = (watch.await_end_of_new(run.id), watch.await_end(run.id));
        assert_eq!(watch.poll_once(&mut *link).await.unwrap(), 1);
        unknown.ended().await;
        let waits = tokio::time::timeout(Duration::from_millis(20), new.end_of_new()).await;
        assert!(waits.is_err(), "its submission is on its way");
        watch.wake(&[Moved { run: run.id, ended: true }]);
        assert_eq!(watch.poll_once(&mut *link).await.unwrap(), 1, "the end is looked at for it");
    }
}

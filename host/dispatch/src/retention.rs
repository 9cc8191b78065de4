//! Retention as it is done: a worker does it all the time, a person may ask for it now. In pieces, each in a commit of its own, so
//! that whatever ends it leaves nothing half done that is not gone on with.
//!
//! A pass goes through *lanes*, the runs of one pipeline that have ended in one way, a piece of each in turn, oldest submission
//! first. Where the last pass ended, the next one begins, so that what an old snapshot keeps of the past is walked over once;
//! what was passed over, since somebody held it or it has ended late, is looked for now and then from the beginning.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use pawl_domain::retention::{OUTCOMES, Policy};
use pawl_metrics::figures;
use pawl_store::retention::{Bounds, GoneVersions, Lane, PipelineRetention, Place, Turn};
use pawl_store::{Result, Store, within};

/// What one piece may come to: some milliseconds of work.
const PIECE: Bounds = Bounds { runs: 500, rows: 2_000, bytes: 8 << 20 };

/// How long one may take. Nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pipelines that are read at once.
const PIPELINES: u32 = 1_000;

/// Between two passes: a sixtieth of the shortest term, within these.
const SHARE_OF_TERM: u64 = 60;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// Passes after which everything is looked through again, and what that may take of all time.
const EVERYTHING_AFTER: u32 = 4;
const EVERYTHING_SHARE: u32 = 100;

/// After so long it is begun anew in any case.
const LONGEST_PASS: Duration = Duration::from_secs(24 * 3_600);

/// Versions are looked at so often within their grace, and the record of changes within its term, but not more often than this.
const LOOKS: u32 = 10;
const LOOKS_BETWEEN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3_600)];

/// Runs that are due for longer than this are caught up with faster.
const BEHIND: Duration = Duration::from_secs(120);

/// Due runs that are counted; of more it is said that there are more.
pub const COUNTED: u32 = 10_000;

/// What a pass has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs that are gone.
    pub runs: u64,
    /// Versions that are.
    pub versions: GoneVersions,
    /// Lines of the record of changes that are.
    pub audit_lines: u64,
    /// Time was up: there may be more.
    pub more: bool,
}

/// How fast a pass goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It leaves room for others: as long as a piece has taken, it rests.
    Beside,
    /// A person waits.
    Now,
}

/// Who deletes, and how far they are.
#[derive(Debug, Default)]
pub struct Sweeper {
    places: HashMap<Lane, Place>,
    /// When everything is looked through again, and versions and the record of changes are; none: at once.
    everything_at: Option<Instant>,
    /// Since when that goes on, over any number of passes that ran out of time.
    everything_since: Option<Instant>,
    versions_at: Option<Instant>,
    audit_at: Option<Instant>,
    /// The shortest term that there is, ms.
    shortest_ms: Option<u64>,
    /// How often pieces are halved.
    halved: u32,
}

impl Sweeper {
    /// Until the next pass. Before the first one it is by the policy alone.
    #[must_use]
    pub fn interval(&self, policy: &Policy) -> Duration {
        let usual = [policy.succeeded, policy.failed, policy.cancelled].into_iter().filter_map(|term| term.ms()).min();
        let shortest = self.shortest_ms.into_iter().chain(usual).min();
        let part = shortest.map_or(LONGEST_INTERVAL, |ms| Duration::from_millis(ms / SHARE_OF_TERM));
        part.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
    }

    /// A pass, until it is through or time is up.
    ///
    /// # Errors
    /// If the store is away, or takes too long: the next pass goes on, in smaller pieces.
    pub async fn sweep(&mut self, store: &dyn Store, policy: &Policy, pace: Pace, until: Instant) -> Result<Swept> {
        let swept = self.pass(store, policy, pace, until).await;
        match &swept {
            Ok(_) => self.halved = self.halved.saturating_sub(1),
            Err(error) if error.may_be_too_much() => self.halved = (self.halved + 1).min(PIECE.rows.ilog2()),
            Err(_) => {}
        }
        swept
    }

    async fn pass(&mut self, store: &dyn Store, policy: &Policy, pace: Pace, until: Instant) -> Result<Swept> {
        let mut swept = Swept::default();
        if !self.finish(store, pace, until).await? {
            return Ok(Swept { more: true, ..swept });
        }
        let began = Instant::now();
        if self.everything_at.is_none_or(|at| at <= began) {
            self.places.clear();
            self.everything_since = Some(began);
            self.everything_at = Some(began + LONGEST_PASS);
        }
        let mut due = self.due(store, policy).await?;
        while let Some(lane) = due.pop_front() {
            if Instant::now() >= until {
                return Ok(Swept { more: true, ..swept });
            }
            let asked = Instant::now();
            let place = self.places.get(&lane).copied();
            let piece = within(PATIENCE, store.delete_ended(&lane, place, self.piece())).await?;
            if piece.runs > 0 {
                pawl_base::fault::point("retention.committed.before_next");
            }
            swept.runs += piece.runs;
            figures().retention_deleted.of(&["run"]).add(piece.runs);
            let late = Duration::from_millis(piece.late_ms.unwrap_or(0));
            if piece.late_ms.is_some() {
                figures().retention_lag.set(late.as_secs_f64());
            }
            if piece.remains && !self.finish(store, pace, until).await? {
                return Ok(Swept { more: true, ..swept });
            }
            if let Some(last) = piece.last {
                self.places.insert(lane.clone(), last);
                due.push_back(lane);
                rest(pace, asked.elapsed(), late).await;
            }
        }
        figures().retention_lag.set(0.0);
        if let Some(since) = self.everything_since.take() {
            let rarely = since.elapsed().saturating_mul(EVERYTHING_SHARE);
            let often = self.interval(policy).saturating_mul(EVERYTHING_AFTER);
            self.everything_at = Some(Instant::now() + often.max(rarely));
        }
        if self.versions_at.is_none_or(|at| at <= began) {
            swept.versions = within(PATIENCE, store.delete_versions(policy.grace)).await?;
            count(swept.versions);
            self.versions_at = Some(next_look(policy.grace));
        }
        if let Some(term_ms) = policy.audit.ms()
            && self.audit_at.is_none_or(|at| at <= began)
        {
            let done;
            (swept.audit_lines, done) = self.delete_audit(store, term_ms, pace, until).await?;
            if done {
                self.audit_at = Some(next_look(Duration::from_millis(term_ms)));
            }
            swept.more = !done;
        }
        Ok(swept)
    }

    /// Deletes what is due of the record of changes. Returns how many lines went, and whether no more are due.
    async fn delete_audit(&self, store: &dyn Store, term_ms: u64, pace: Pace, until: Instant) -> Result<(u64, bool)> {
        let lines = self.piece().rows;
        let piece = || async move {
            let went = within(PATIENCE, store.delete_audit(term_ms, lines)).await?;
            figures().retention_deleted.of(&["audit_line"]).add(went);
            Ok((went, went < u64::from(lines)))
        };
        in_pieces(pace, until, piece).await
    }

    /// Deletes what is left of runs that are gone. Returns whether nothing is.
    async fn finish(&self, store: &dyn Store, pace: Pace, until: Instant) -> Result<bool> {
        let bounds = self.piece();
        let piece = || async move {
            let gone = within(PATIENCE, store.delete_remains(bounds)).await?;
            if gone.rows > 0 {
                pawl_base::fault::point("retention.committed.before_next");
            }
            Ok((gone.rows, gone.done))
        };
        Ok(in_pieces(pace, until, piece).await?.1)
    }

    /// The lanes that may have something due.
    async fn due(&mut self, store: &dyn Store, policy: &Policy) -> Result<VecDeque<Lane>> {
        let lanes = lanes(store, policy).await?;
        self.shortest_ms = lanes.iter().map(|lane| lane.term_ms).min();
        let mut before = std::mem::take(&mut self.places);
        let mut due = VecDeque::new();
        for some in lanes.chunks(PIPELINES as usize) {
            let some: Vec<(Lane, Option<Place>)> =
                some.iter().map(|lane| (lane.clone(), before.remove(lane))).collect();
            let found = within(PATIENCE, store.may_be_due(&some)).await?;
            due.extend(found.into_iter().filter_map(|index| some.get(index)).map(|(lane, _)| lane.clone()));
            self.places.extend(some.into_iter().filter_map(|(lane, place)| Some((lane, place?))));
        }
        Ok(due)
    }

    fn piece(&self) -> Bounds {
        let halved = |amount: u32| (amount >> self.halved).max(1);
        Bounds { runs: halved(PIECE.runs), rows: halved(PIECE.rows), bytes: halved(PIECE.bytes) }
    }
}

/// All lanes whose runs are not kept for ever.
async fn lanes(store: &dyn Store, policy: &Policy) -> Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    let mut last: Option<PipelineRetention> = None;
    loop {
        let page = within(PATIENCE, store.pipeline_retentions(last.as_ref(), PIPELINES)).await?;
        for said in &page {
            lanes.extend(OUTCOMES.into_iter().filter_map(|status| {
                let term_ms = policy.term(&said.retention, status).ms()?;
                Some(Lane { namespace: said.namespace.clone(), pipeline: said.pipeline.clone(), status, term_ms })
            }));
        }
        last = page.last().cloned();
        if page.len() < PIPELINES as usize {
            return Ok(lanes);
        }
    }
}

/// One piece after the other, each with its rows and whether it was the last one, until that or until time is up. Returns all their
/// rows, and whether it was that.
async fn in_pieces<F>(pace: Pace, until: Instant, piece: impl Fn() -> F) -> Result<(u64, bool)>
where
    F: Future<Output = Result<(u64, bool)>>,
{
    let mut gone = 0;
    loop {
        let asked = Instant::now();
        let (rows, is_last) = piece().await?;
        gone += rows;
        if is_last || Instant::now() >= until {
            return Ok((gone, is_last));
        }
        rest(pace, asked.elapsed(), Duration::ZERO).await;
    }
}

fn next_look(term: Duration) -> Instant {
    let [often, rarely] = LOOKS_BETWEEN;
    Instant::now() + (term / LOOKS).clamp(often, rarely)
}

async fn rest(pace: Pace, took: Duration, late: Duration) {
    if pace == Pace::Beside {
        tokio::time::sleep(if late > BEHIND { took / 2 } else { took }).await;
    }
}

fn count(gone: GoneVersions) {
    for (what, gone) in
        [("pipeline_version", gone.pipelines), ("plugin_version", gone.plugins), ("component", gone.components)]
    {
        figures().retention_deleted.of(&[what]).add(gone);
    }
}

/// How retention stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who deletes, and by what.
    pub turn: Turn,
    /// What pipelines say of their own runs, those that say something.
    pub pipelines: Vec<PipelineRetention>,
    /// Runs that are due.
    pub due: u64,
    /// Whether there may be more of them.
    pub more: bool,
    /// For how long that run has been due which ended first, of those that were counted, ms.
    pub late_ms: Option<u64>,
}

/// How retention stands; none if no worker has ever looked after it.
///
/// # Errors
/// If the store is away.
pub async fn standing(store: &dyn Store) -> Result<Option<Standing>> {
    let Some(turn) = store.turn().await? else { return Ok(None) };
    let mut pipelines = Vec::new();
    let mut last: Option<PipelineRetention> = None;
    loop {
        let page = store.pipeline_retentions(last.as_ref(), PIPELINES).await?;
        last = page.last().cloned();
        let is_last = page.len() < PIPELINES as usize;
        pipelines.extend(page.into_iter().filter(|said| !said.retention.is_default()));
        if is_last {
            break;
        }
    }
    let mut standing = Standing { turn, pipelines, due: 0, more: false, late_ms: None };
    let all: Vec<(Lane, Option<Place>)> =
        lanes(store, &standing.turn.policy).await?.into_iter().map(|lane| (lane, None)).collect();
    for some in all.chunks(PIPELINES as usize) {
        for index in store.may_be_due(some).await? {
            let left = u64::from(COUNTED).saturating_sub(standing.due);
            if left == 0 {
                standing.more = true;
                return Ok(Some(standing));
            }
            let due = store.count_due(&some[index].0, u32::try_from(left).unwrap_or(COUNTED)).await?;
            standing.due += due.runs;
            standing.more |= due.more;
            standing.late_ms = standing.late_ms.max(due.late_ms);
        }
    }
    Ok(Some(standing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::retention::Term;

    #[test]
    fn passes_come_as_often_as_the_shortest_term_wants_it() {
        let policy = |ms| Policy { succeeded: Term::Ms(ms), ..Policy::default() };
        let (ms, mut sweeper) = (Duration::from_millis, Sweeper::default());
        assert_eq!(sweeper.interval(&Policy::default()), LONGEST_INTERVAL);
        assert_eq!(sweeper.interval(&policy(300_000)), ms(5_000));
        assert_eq!(sweeper.interval(&policy(0)), SHORTEST_INTERVAL);
        // A pipeline's own.
        sweeper.shortest_ms = Some(60_000);
        assert_eq!(sweeper.interval(&policy(300_000)), ms(1_000));
    }

    #[test]
    fn what_takes_too_long_goes_in_smaller_pieces() {
        let piece = |halved| Sweeper { halved, ..Sweeper::default() }.piece();
        assert_eq!((piece(0).rows, piece(1).rows, piece(1).runs), (PIECE.rows, PIECE.rows / 2, PIECE.runs / 2));
        assert_eq!((piece(10).rows, piece(10).runs), (1, 1));
    }
}

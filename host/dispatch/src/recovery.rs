//! Recovery as a person, or a program, asks for it. Workers take over what dead ones leave, by themselves and at once; this is
//! for what nobody is there for: to see it, to judge it, and to let it go on.
//!
//! ```text
//!  detect ──▶ analyse, rebuild ──▶ resume one │ recover all ──▶ records ──▶ summary
//! ```
//!
//! Everything goes through the ports, so that it is the same in production and for `pawl dev`. Nothing here
//! judges by a status alone: what somebody holds a lease on, what sleeps and is not due, and what has its turn in a queue is
//! not interrupted, however long it takes. A run in which a step has failed is never resumed silently: it is named, with
//! what to do.

use std::collections::HashSet;
use std::time::Duration;

use pawl_domain::id::{RunId, StepId};
use pawl_domain::namespace::Namespace;
use pawl_domain::ready::{Moved, Ready};
use pawl_domain::status::StepStatus;
use pawl_domain::suspicion::Suspicion;
use pawl_metrics::figures;
use pawl_queue::FollowUp;
use pawl_store::Store;
use pawl_store::dead_letters::{DeadOrder, DeadState};
use pawl_store::recoveries::{InterruptedRow, RecoveryFilter, RecoveryId, RecoveryRow};
use pawl_store::runs::RunRow;
use tokio::time::Instant;

use super::{Ports, Result};

pub mod completion;
pub mod context;
mod judgement;
mod standing;

pub use completion::{Completion, analyse};
pub use context::{Context, rebuild};
pub use judgement::Judged;
pub use standing::{NotResumed, Standing, standing};

/// How long no step of a run has done anything before the run counts as interrupted, unless somebody says otherwise.
pub const THRESHOLD: Duration = Duration::from_secs(600);

/// Interrupted runs that are told at once, at most.
pub const MOST: u32 = 1_000;

/// Runs that one commit lets go on.
const PIECE: usize = 100;

/// Failed runs that are named, newest first.
const FAILED: usize = 20;

/// Dead letters that are read at once to find them, and how often at most: a run may have many, and parked ones lie among them.
const LETTERS: u32 = 200;
const LETTER_PAGES: usize = 5;

/// Live steps that are looked at to judge a run.
const LIVE_STEPS: u32 = 1_000;

/// Between two looks at the records of what was resumed.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs that have begun, that nobody moves, and of which no step has done anything for `threshold`: those that stand longest
/// first, at most `limit` (and [`MOST`]). Reading only.
///
/// ```no_run
/// # async fn example(ports: pawl_dispatch::Ports) -> pawl_dispatch::Result<()> {
/// use pawl_dispatch::recovery::{self, MOST, THRESHOLD};
/// for run in recovery::detect(&*ports.store, &Default::default(), THRESHOLD, MOST).await? {
///     println!("{} stands at step {}, {} of {} are done", run.run, run.next, run.completed, run.steps);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the store is away.
pub async fn detect(
    store: &dyn Store,
    namespace: &Namespace,
    threshold: Duration,
    limit: u32,
) -> Result<Vec<InterruptedRow>> {
    Ok(store.interrupted(namespace, threshold, limit.min(MOST)).await?)
}

/// Lets a run go on whose steps nobody moves: those whose worker is gone are taken over, what is past its time is woken,
/// what is ready is delivered again. The inner error says why there is nothing to resume. Returns what was delivered.
///
/// ```no_run
/// # async fn example(ports: pawl_dispatch::Ports, run: pawl_domain::id::RunId) -> pawl_dispatch::Result<()> {
/// match pawl_dispatch::recovery::resume(&ports, run, Default::default()).await? {
///     Ok(delivered) => println!("{} steps were delivered", delivered.len()),
///     Err(why) => println!("it was not resumed: {why}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`pawl_store::Error::NotFound`]; or the store is away. If the queue is, the steps are found as lost later.
pub async fn resume(
    ports: &Ports,
    run: RunId,
    suspicion: Suspicion,
) -> Result<std::result::Result<Vec<Ready>, NotResumed>> {
    match stands(&*ports.store, run).await? {
        Standing::Interrupted | Standing::Queued => Ok(Ok(go_on(ports, &[run], suspicion).await?)),
        Standing::AtWork => Ok(Err(NotResumed::AtWork(run))),
        Standing::Waits => Ok(Err(NotResumed::Waits(run))),
        Standing::Parked => Ok(Err(NotResumed::Parked(run))),
        Standing::Paused => Ok(Err(NotResumed::Paused(run))),
        Standing::Failing => Ok(Err(NotResumed::Failing(run))),
        Standing::Ended(status) => Ok(Err(NotResumed::Ended(run, status))),
    }
}

/// What [`recover_all`] does.
#[derive(Debug, Clone)]
pub struct Options {
    /// For how long nothing must have happened in a run; see [`detect`].
    pub threshold: Duration,
    /// Whether runs go on by it; if not, nothing is changed.
    pub resume: bool,
    /// How long it is waited for the end of their recoveries.
    pub wait: Duration,
    /// When a step is blamed for the deaths of its workers.
    pub suspicion: Suspicion,
}

/// What came of [`recover_all`].
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Interrupted runs in which no step has failed.
    pub detected: Vec<InterruptedRow>,
    /// There are more than were looked for: do it again.
    pub more: bool,
    /// What became of those that were resumed.
    pub judged: Judged,
    /// Runs that a person must decide about, since a step has failed: interrupted ones, and those of the newest dead letters.
    pub failed: Vec<RunRow>,
}

/// Detects interrupted runs and, if asked to, lets them go on, a hundred in a commit; then waits for what comes of it. It may
/// be ended at any time and done again: what was resumed is not interrupted any more.
///
/// ```no_run
/// # async fn example(ports: pawl_dispatch::Ports) -> pawl_dispatch::Result<()> {
/// use pawl_dispatch::recovery::{Options, THRESHOLD, recover_all};
/// let options = Options {
///     threshold: THRESHOLD,
///     resume: true,
///     wait: std::time::Duration::from_secs(30),
///     suspicion: Default::default(),
/// };
/// let summary = recover_all(&ports, &Default::default(), &options).await?;
/// println!("{} of {} go on", summary.judged.recovered.len(), summary.detected.len());
/// for run in summary.failed {
///     println!("a step of run {} has failed: mend the cause, then `pawl run retry {}`", run.id, run.id);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the store is away; what was resumed by then goes on.
pub async fn recover_all(ports: &Ports, namespace: &Namespace, options: &Options) -> Result<Summary> {
    let store = &*ports.store;
    // What is recorded from here on: also takeovers by workers that come back meanwhile.
    let newest = records(store, namespace, None, 1).await?.first().map(|record| record.id);
    let mut found = store.interrupted(namespace, options.threshold, MOST + 1).await?;
    let more = found.len() > MOST as usize;
    found.truncate(MOST as usize);
    let (failing, detected): (Vec<_>, Vec<_>) = found.into_iter().partition(|run| run.failed > 0);
    let failed = failed(store, namespace, failing.iter().map(|run| run.run)).await?;
    let runs: Vec<RunId> = detected.iter().map(|run| run.run).collect();
    let mut summary = Summary { detected, more, judged: Judged::default(), failed };
    if options.resume {
        for piece in runs.chunks(PIECE) {
            go_on(ports, piece, options.suspicion).await?;
        }
        summary.judged = outcome(store, namespace, newest, &runs, options.wait).await?;
    }
    Ok(summary)
}

/// The runs in which a step has failed that nobody has looked after, newest failure first, [`FAILED`] at most; and those besides
/// that are `interrupted` by it. By the dead letters: what a person has purged, or ended, needs nobody any more.
async fn failed(
    store: &dyn Store,
    namespace: &Namespace,
    interrupted: impl Iterator<Item = RunId>,
) -> Result<Vec<RunRow>> {
    let mut runs: Vec<RunId> = Vec::new();
    let mut before = None;
    for _ in 0..LETTER_PAGES {
        let page = store.dead_letters(namespace, DeadOrder::NewestFirst(before), LETTERS).await?;
        for letter in page.iter().filter(|letter| letter.state == DeadState::Failed) {
            let run = letter.place.step.run;
            if runs.len() < FAILED && !runs.contains(&run) {
                runs.push(run);
            }
        }
        before = page.last().map(|letter| letter.place);
        if runs.len() >= FAILED || page.len() < LETTERS as usize {
            break;
        }
    }
    for run in interrupted {
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    let mut rows = Vec::with_capacity(runs.len());
    for run in runs {
        match store.run_alone(run).await {
            Ok(row) => rows.push(row),
            // Retention has taken it meanwhile.
            Err(pawl_store::Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rows)
}

/// What becomes of the runs: as soon as it is known of all, or when the time is over.
async fn outcome(
    store: &dyn Store,
    namespace: &Namespace,
    newest: Option<RecoveryId>,
    runs: &[RunId],
    wait: Duration,
) -> Result<Judged> {
    let end = Instant::now() + wait;
    loop {
        let since = records_since(store, namespace, newest, runs).await?;
        let mut judged = judgement::judge(runs, &since);
        // Nothing was taken over there: where nobody is missing, it goes on.
        let mut silent = Vec::new();
        for run in std::mem::take(&mut judged.silent) {
            match stands(store, run).await? {
                Standing::Interrupted => silent.push(run),
                Standing::Parked | Standing::Failing => judged.failed.push(run),
                _ => judged.recovered.push(run),
            }
        }
        judged.pending.extend(silent);
        if judged.pending.is_empty() || Instant::now() >= end {
            return Ok(judged);
        }
        tokio::time::sleep(PAUSE.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

/// Lets these runs go on, and delivers what is ready.
async fn go_on(ports: &Ports, runs: &[RunId], suspicion: Suspicion) -> Result<Vec<Ready>> {
    let mut held = HashSet::new();
    for run in runs {
        held.extend(running(&*ports.store, *run).await?);
    }
    let ready = ports.store.recover(runs, suspicion).await?;
    // Whoever had it had lost it: only then does a step that ran become ready by this.
    let taken = ready.iter().filter(|ready| held.contains(&ready.id)).count();
    figures().takeovers.add(taken as u64);
    let moved: Vec<Moved> = runs.iter().map(|run| Moved { run: *run, ended: false }).collect();
    let told = ports.queue.follow_up(FollowUp { ready: &ready, moved: &moved, ..FollowUp::default() }).await;
    if let Err(error) = told {
        tracing::warn!(error = error.chain(), "steps were not delivered now and will be found as lost");
    }
    Ok(ready)
}

/// Its steps that somebody has, or had until the lease ended.
async fn running(store: &dyn Store, run: RunId) -> Result<Vec<StepId>> {
    let live = store.live_steps(run, LIVE_STEPS).await?;
    let running = live.iter().filter(|step| step.status == StepStatus::Running);
    Ok(running.map(|step| StepId { run, step: step.no }).collect())
}

/// How a run stands.
async fn stands(store: &dyn Store, run: RunId) -> Result<Standing> {
    let row = store.run_alone(run).await?;
    let live = if row.status.is_ended() { Vec::new() } else { store.live_steps(run, LIVE_STEPS).await? };
    Ok(standing(&row, &live))
}

async fn records(
    store: &dyn Store,
    namespace: &Namespace,
    before: Option<RecoveryId>,
    limit: u32,
) -> Result<Vec<RecoveryRow>> {
    Ok(store.recoveries(&RecoveryFilter { namespace, run: None, before, limit }).await?)
}

/// The records of these runs that are newer than that one.
async fn records_since(
    store: &dyn Store,
    namespace: &Namespace,
    newest: Option<RecoveryId>,
    runs: &[RunId],
) -> Result<Vec<RecoveryRow>> {
    let wanted: HashSet<RunId> = runs.iter().copied().collect();
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = records(store, namespace, before, MOST).await?;
        before = page.last().map(|record| record.id);
        let is_last = page.len() < MOST as usize;
        for record in page {
            if Some(record.id) == newest {
                return Ok(found);
            }
            if wanted.contains(&record.id.step.run) {
                found.push(record);
            }
        }
        if is_last {
            return Ok(found);
        }
    }
}

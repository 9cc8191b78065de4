//! What commits are counted as: attempts and runs that have ended, writes that were refused. Called by the flow, after the
//! commit, on the writer's task: it adds up, and asks nobody.
//!
//! How long a run took is known to the store alone, and sometimes how it ended. Those runs are put down here, and a loop asks
//! for all of them at once, once a second at most, and not at all while none ends ([`run`]).

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::id::RunId;
use pawl_domain::status::RunStatus;
use pawl_metrics::{AttemptEnd, Count, OfPipeline, Spread, figures};
use pawl_queue::{Delivery, Stream};
use pawl_store::runs::RunTimes;
use pawl_store::write::{Batch, Member, Settlement, Verdict, Written};
use pawl_store::{SharedStore, within};
use tokio::sync::Notify;

use crate::ahead::FIRST;
use crate::config::OUTAGE_PAUSE;
use crate::session::Session;
use crate::version::Version;

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs that are asked for at once. Of those whose outcome is known, more are not put down.
const PIECE: usize = 1_000;

/// Handles for refusals, made once.
static REFUSED: LazyLock<[Count; 2]> =
    LazyLock::new(|| ["lease_lost", "gap"].map(|reason| figures().refused_writes.of(&[reason])));

/// Runs that have ended, and of which more is to be found out.
#[derive(Debug, Default)]
pub struct Ends {
    waiting: Mutex<Vec<Ended>>,
    some: Notify,
}

#[derive(Debug)]
struct Ended {
    run: RunId,
    figures: Arc<OfPipeline>,
    /// None: the commit does not tell.
    status: Option<RunStatus>,
}

impl Ends {
    /// Counts what a commit has written. `version_of` tells what a session's step is of.
    pub fn count(
        &self,
        sessions: &[Arc<Session>],
        batch: &Batch,
        written: &Written,
        version_of: impl Fn(&Session) -> Option<Arc<Version>>,
    ) {
        for ((session, member), verdict) in sessions.iter().zip(&batch.members).zip(&written.members) {
            match verdict {
                Verdict::Written => count_member(session, member, &version_of),
                Verdict::LeaseLost => REFUSED[0].one(),
                Verdict::Gap => REFUSED[1].one(),
                // Counted where it is set aside.
                Verdict::Busy => {}
            }
        }
        if written.ended.is_empty() {
            return;
        }
        let mut ended = Vec::with_capacity(written.ended.len());
        for run in &written.ended {
            let of_run = |(session, _): &(&Arc<Session>, &Member)| session.claim.run() == *run;
            let mut members = sessions.iter().zip(&batch.members).filter(of_run);
            let Some(version) = members.clone().find_map(|(session, _)| version_of(session)) else { continue };
            let failed =
                members.clone().any(|(_, member)| matches!(member.settlement, Some(Settlement::Failed { .. })));
            let succeeded = members.by_ref().filter(|(_, member)| member.succession().is_some());
            let status = version.end_of_run(failed, succeeded.map(|(_, member)| member.id.step));
            if let Some(status) = status {
                version.figures.run_ended(status);
            }
            ended.push(Ended { run: *run, figures: Arc::clone(&version.figures), status });
        }
        self.put_down(ended);
    }

    fn put_down(&self, ended: Vec<Ended>) {
        let mut waiting = lock(&self.waiting);
        for end in ended {
            if waiting.len() < PIECE || end.status.is_none() {
                waiting.push(end);
            }
        }
        drop(waiting);
        self.some.notify_one();
    }

    /// Up to a piece of what waits.
    fn take(&self) -> Vec<Ended> {
        let mut waiting = lock(&self.waiting);
        let piece = waiting.len().min(PIECE);
        waiting.drain(..piece).collect()
    }
}

fn count_member(session: &Session, member: &Member, version_of: &impl Fn(&Session) -> Option<Arc<Version>>) {
    if let Some(segment) = &member.segment {
        figures().journal_bytes.add(segment.bytes.len() as u64);
    }
    if let Some(checkpoint) = &member.checkpoint {
        figures().checkpoint_bytes.saw_count(checkpoint.state.len());
    }
    let Some(settlement) = &member.settlement else { return };
    let count = |of: &OfPipeline| {
        // Its claim was written by the same commit.
        if member.ahead.is_some() {
            of.attempt_started(FIRST);
        }
        of.attempt_ended(AttemptEnd::from(settlement));
    };
    match version_of(session) {
        Some(version) => count(&version.figures),
        None => count(&figures().of_others()),
    }
}

/// Finds out how long runs took, for ever.
pub async fn run(ends: Arc<Ends>, store: SharedStore, patience: Duration) {
    loop {
        ends.some.notified().await;
        tokio::time::sleep(PAUSE).await;
        loop {
            let piece = ends.take();
            if piece.is_empty() {
                break;
            }
            let ids: Vec<RunId> = piece.iter().map(|end| end.run).collect();
            match within(patience, store.run_times(&ids)).await {
                Ok(times) => find_out(&piece, &times),
                Err(error) => {
                    tracing::debug!(error = error.chain(), "how long runs took is asked again");
                    ends.put_down(piece);
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
            }
        }
    }
}

fn find_out(ended: &[Ended], times: &[RunTimes]) {
    for end in ended {
        // One that somebody has opened again meanwhile has no end.
        let Some(times) = times.iter().find(|times| times.id == end.run) else { continue };
        let Some(ended_at_ms) = times.ended_at_ms else { continue };
        if end.status.is_none() {
            end.figures.run_ended(times.status);
        }
        let took_ms = u64::try_from(ended_at_ms - times.created_at_ms).unwrap_or(0);
        end.figures.run_seconds.took(Duration::from_millis(took_ms));
    }
}

/// How long messages waited, by the stream that they were read from.
pub struct Waits(Vec<(Arc<Stream>, Spread)>);

impl Waits {
    /// The handles for these streams.
    #[must_use]
    pub fn of(streams: &[Arc<Stream>]) -> Self {
        let handle = |stream: &Stream| figures().queue_wait_seconds.of(&[&stream.queue, stream.priority.as_str()]);
        Self(streams.iter().map(|stream| (Arc::clone(stream), handle(stream))).collect())
    }

    /// Messages were read now, by the store's clock; or none can be.
    pub fn count(&self, read: &pawl_queue::Result<Vec<Delivery>>, now_ns: impl Fn() -> u64) {
        figures().queue_up.set_whether(read.is_ok());
        let Some(deliveries) = read.as_ref().ok().filter(|deliveries| !deliveries.is_empty()) else { return };
        let now_ms = i64::try_from(now_ns() / 1_000_000).unwrap_or(i64::MAX);
        for delivery in deliveries.iter().filter(|delivery| delivery.step.is_some()) {
            let waited_ms = u64::try_from(now_ms - delivery.ready_at_ms).unwrap_or(0);
            if let Some((_, wait)) = self.0.iter().find(|(stream, _)| Arc::ptr_eq(stream, &delivery.stream)) {
                wait.took(Duration::from_millis(waited_ms));
            }
        }
    }
}

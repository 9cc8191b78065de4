//! Changes as `pawl_apply_v2` takes them: see `migrations/0006_control.sql` and `0013_signals.sql`; with
//! a change of the inbox, as `pawl_change_signal_v1` does (`0017_inbox.sql`); with an output that a person gives, or steps that
//! are done again, as `pawl_apply_v3` does (`0029_dead_letters.sql`); with a pause, as `pawl_pause_run_v1` does
//! (`0035_pause.sql`).

use pawl_domain::decision::{
    Changes, Forget, Given, InboxChange, PauseChange, Signal, SignalChange, StepChanged, Told,
};
use pawl_domain::event::EventKind;
use pawl_domain::id::{Digest, RunId, StepNo};
use pawl_domain::journal::{Entry, Segment};
use pawl_domain::ready::Ready;
use sqlx::Row;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::postgres::ready_of;
use crate::postgres::stored::grows_again;

/// Applies changes, if the run is still as it was read; returns the steps to be delivered.
pub(super) async fn apply(conn: &mut PgConnection, run: RunId, changes: &Changes<'_>) -> Result<Option<Vec<Ready>>> {
    let (events, signals) = changes.seen;
    let put_on = changes.steps.iter().filter_map(|step| step.goes_on?.component.map(|digest| digest.0.to_vec()));
    let put_on: Vec<Vec<u8>> = put_on.collect();
    if !put_on.is_empty() {
        // Named from now on, whatever names it: it is not deleted before somebody sees that this run is on it.
        let named = sqlx::query("update plugin_version set last_named_at = clock_timestamp() where digest = any ($1)");
        named.bind(put_on).execute(&mut *conn).await?;
    }
    let (skipped, output) = changes.skipped.unzip();
    let query = match changes.inbox {
        None if skipped.is_some() || !changes.again.is_empty() => {
            let firsts = firsts_of(changes);
            sqlx::query(
                "select * from pawl_apply_v3($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
            )
            .bind(skipped.map(|step| step.0))
            .bind(output)
            .bind(output.map(|output| Digest::of(output).0))
            .bind(changes.again.iter().map(|step| step.0).collect::<Vec<_>>())
            .bind(firsts.iter().map(|bytes| Digest::of(bytes).0.to_vec()).collect::<Vec<_>>())
            .bind(firsts)
        }
        None if changes.pause.is_some() => {
            let (is_paused, reason) = match changes.pause {
                Some(PauseChange::Begins { reason }) => (true, reason),
                _ => (false, None),
            };
            sqlx::query("select * from pawl_pause_run_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)")
                .bind(is_paused)
                .bind(reason)
        }
        None => sqlx::query("select * from pawl_apply_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"),
        Some(InboxChange { signal, how }) => sqlx::query(
            "select * from pawl_change_signal_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(signal.cast_signed())
        .bind(*how == SignalChange::Remove)
        .bind(how.payload())
        .bind(how.payload().map(|payload| Digest::of(payload).0)),
    };
    let query = query
        .bind(run.0)
        .bind(events.cast_signed())
        .bind(signals.cast_signed())
        .bind(changes.run.status.as_str())
        .bind(changes.run.live.cast_signed())
        .bind(changes.run.running.cast_signed())
        .bind(changes.run.failing)
        .bind(changes.steps.iter().map(StepRow::from).collect::<Vec<_>>())
        .bind(changes.cut.map(CutRow::from))
        .bind(changes.sent.map(SentRow::from))
        .bind(changes.given.iter().map(GivenRow::from).collect::<Vec<_>>())
        .bind(changes.told.iter().map(|told| EventRow::new(run, told)).collect::<Vec<_>>());
    let rows = query.fetch_all(&mut *conn).await?;
    let Some((first, ready)) = rows.split_first() else { return Ok(None) };
    if !first.try_get::<bool, _>("applied")? {
        return Ok(None);
    }
    if changes.told.iter().any(|told| told.kind == EventKind::RunReopened) {
        grows_again(&mut *conn, run).await?;
    }
    ready.iter().map(ready_of).collect::<Result<_>>().map(Some)
}

/// What the journals of steps begin with that are done again, in their order.
fn firsts_of(changes: &Changes<'_>) -> Vec<Vec<u8>> {
    let round = |no: &StepNo| changes.steps.iter().find(|step| step.no == *no).map_or(0, |step| step.fence.0);
    changes.again.iter().map(|no| Segment::of(0, &[Entry::Again { round: round(no) }]).bytes).collect()
}

#[derive(sqlx::Type)]
#[sqlx(type_name = "pawl_step_change_v1")]
struct StepRow {
    step_no: i32,
    status: String,
    unmet: i32,
    fence: i64,
    failures_forgiven: bool,
    crashes_forgiven: bool,
    goes_on: bool,
    component: Option<[u8; 32]>,
    recorded_by: Option<[u8; 32]>,
    journal_length: Option<i32>,
}

impl From<&StepChanged> for StepRow {
    fn from(step: &StepChanged) -> Self {
        let bytes = |digest: Digest| digest.0;
        Self {
            step_no: step.no.0,
            status: step.status.as_str().to_owned(),
            unmet: step.unmet.cast_signed(),
            fence: step.fence.0,
            failures_forgiven: step.failures_forgiven,
            crashes_forgiven: step.crashes_forgiven,
            goes_on: step.goes_on.is_some(),
            component: step.goes_on.and_then(|goes_on| goes_on.component).map(bytes),
            recorded_by: step.goes_on.and_then(|goes_on| goes_on.recorded_by).map(bytes),
            journal_length: step.goes_on.and_then(|goes_on| goes_on.journal_length).map(u32::cast_signed),
        }
    }
}

#[derive(sqlx::Type)]
#[sqlx(type_name = "pawl_cut_v1")]
struct CutRow {
    step_no: i32,
    first: i32,
    length: i32,
    digest: [u8; 32],
    bytes: Vec<u8>,
}

impl From<(StepNo, &Forget)> for CutRow {
    fn from((step, Forget { segment, .. }): (StepNo, &Forget)) -> Self {
        Self {
            step_no: step.0,
            first: segment.first.cast_signed(),
            length: segment.length.cast_signed(),
            digest: Digest::of(&segment.bytes).0,
            bytes: segment.bytes.clone(),
        }
    }
}

#[derive(sqlx::Type)]
#[sqlx(type_name = "pawl_sent_v1")]
struct SentRow {
    name: String,
    key: Option<String>,
    payload: Vec<u8>,
    digest: [u8; 32],
}

impl From<&Signal> for SentRow {
    fn from(signal: &Signal) -> Self {
        Self {
            name: signal.name.clone(),
            key: signal.key.clone(),
            payload: signal.payload.clone(),
            digest: Digest::of(&signal.payload).0,
        }
    }
}

#[derive(sqlx::Type)]
#[sqlx(type_name = "pawl_given_v1")]
struct GivenRow {
    signal: i32,
    step_no: i32,
    position: i32,
}

impl From<&Given> for GivenRow {
    fn from(given: &Given) -> Self {
        Self { signal: given.signal.cast_signed(), step_no: given.step.0, position: given.position.cast_signed() }
    }
}

#[derive(sqlx::Type)]
#[sqlx(type_name = "pawl_event_v1")]
struct EventRow {
    run_id: Uuid,
    kind: String,
    step_no: Option<i32>,
    fence: Option<i64>,
    worker_id: Option<Uuid>,
    note: Option<String>,
}

impl EventRow {
    fn new(run: RunId, Told { kind, step, note }: &Told) -> Self {
        let (step_no, fence) = step.map(|(no, fence)| (no.0, fence.0)).unzip();
        Self { run_id: run.0, kind: kind.as_str().to_owned(), step_no, fence, worker_id: None, note: note.clone() }
    }
}

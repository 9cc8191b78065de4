//! Reading what a decision is made from. The run first: whatever changes after that has moved its numbers, and is found
//! out when the decision is applied.

use std::collections::BTreeMap;

use pawl_domain::decision::{Known, Look, RunState, SentBefore, SignalState, StepState, TakenBy, Unread, Waits, Which};
use pawl_domain::id::{Fence, RunId, StepNo};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::Result;
use crate::postgres::{digest_of, maybe_digest_of, parse};
use crate::runs::no_run;

/// What a verb looks at.
pub(super) async fn read(conn: &mut PgConnection, run: RunId, look: &Look<'_>) -> Result<Known> {
    let state = run_state(conn, run).await?;
    let mut steps = BTreeMap::new();
    for which in &look.steps {
        steps.extend(steps_of(conn, run, *which).await?);
    }
    let sent = match look.key {
        Some(key) => sent_under(conn, run, key).await?,
        None => None,
    };
    let mut known = Known { run: state, steps, inbox: Vec::new(), taken: Vec::new(), unread: 0, sent, signal: None };
    if let Some(number) = look.signal {
        known.signal = signal_of(conn, run, number).await?;
    }
    if look.inbox {
        known.inbox = inbox(conn, run, &known.awaited()).await?;
    }
    if let Some(limit) = look.unread.filter(|limit| state.signal_count >= *limit) {
        known.unread = unread_up_to(conn, run, limit).await?;
    }
    if let Some((step, from)) = look.returning {
        known.inbox.extend(taken(conn, run, step, from).await?);
    }
    if look.taken {
        known.taken = all_taken(conn, run).await?;
    }
    Ok(known)
}

async fn run_state(conn: &mut PgConnection, run: RunId) -> Result<RunState> {
    let found = sqlx::query(
        "select status, live, running, failing, started_at is not null as started, paused_at is not null as paused,
                event_count, signal_count
         from run where id = $1",
    )
    .bind(run.0)
    .fetch_optional(conn)
    .await?;
    let row = found.ok_or_else(|| no_run(run))?;
    Ok(RunState {
        id: run,
        status: parse(&row, "status")?,
        live: count(&row, "live")?,
        running: count(&row, "running")?,
        failing: row.try_get("failing")?,
        started: row.try_get("started")?,
        paused: row.try_get("paused")?,
        event_count: count(&row, "event_count")?,
        signal_count: count(&row, "signal_count")?,
    })
}

/// What is read of a step; a macro, so that statements stay constants.
macro_rules! steps_where {
    ($which:literal) => {
        concat!(
            "select s.step_no, s.status, s.unmet, s.fence, s.component, s.recorded_by, s.awaits_position, s.awaits, p.needs
             from run r
             join step s on s.run_id = r.id
             cross join lateral (select p.needs from pipeline_step p
                                 where p.digest = r.pipeline_digest and p.step_no = s.step_no offset 0) as p
             where r.id = $1 and ",
            $which
        )
    };
}

async fn steps_of(conn: &mut PgConnection, run: RunId, which: Which<'_>) -> Result<Vec<(StepNo, StepState)>> {
    let query = match which {
        Which::All => sqlx::query(steps_where!("true")).bind(run.0),
        Which::One(step) => sqlx::query(steps_where!("s.step_no = $2")).bind(run.0).bind(step.0),
        Which::Awaiting(None) => sqlx::query(steps_where!("s.awaits is not null")).bind(run.0),
        Which::Awaiting(Some(signal)) => sqlx::query(steps_where!("s.awaits = $2")).bind(run.0).bind(signal),
    };
    query.fetch_all(conn).await?.iter().map(step).collect()
}

fn step(row: &PgRow) -> Result<(StepNo, StepState)> {
    let position: Option<i32> = row.try_get("awaits_position")?;
    let signal: Option<String> = row.try_get("awaits")?;
    let step = StepState {
        status: parse(row, "status")?,
        needs: row.try_get::<Vec<i32>, _>("needs")?.into_iter().map(StepNo).collect(),
        unmet: count(row, "unmet")?,
        fence: Fence(row.try_get("fence")?),
        component: maybe_digest_of(row, "component")?,
        recorded_by: maybe_digest_of(row, "recorded_by")?,
        waits: position.map(|position| Waits { position: position.cast_unsigned(), signal }),
    };
    Ok((StepNo(row.try_get("step_no")?), step))
}

async fn sent_under(conn: &mut PgConnection, run: RunId, key: &str) -> Result<Option<SentBefore>> {
    let found =
        sqlx::query("select name, coalesce(sent_digest, digest) as digest from signal where run_id = $1 and key = $2")
            .bind(run.0)
            .bind(key)
            .fetch_optional(conn)
            .await?;
    found.map(|row| Ok(SentBefore { name: row.try_get("name")?, payload: digest_of(&row, "digest")? })).transpose()
}

async fn signal_of(conn: &mut PgConnection, run: RunId, number: u32) -> Result<Option<(String, SignalState)>> {
    let found = sqlx::query("select name, step_no, position from signal where run_id = $1 and id = $2")
        .bind(run.0)
        .bind(i32::try_from(number).unwrap_or(i32::MAX))
        .fetch_optional(conn)
        .await?;
    let state =
        |row: PgRow| Ok((row.try_get("name")?, SignalState::of(row.try_get("step_no")?, row.try_get("position")?)));
    found.map(state).transpose()
}

/// The oldest signals of each name, as many as there are steps for them.
async fn inbox(conn: &mut PgConnection, run: RunId, awaited: &BTreeMap<&str, u32>) -> Result<Vec<Unread>> {
    if awaited.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "select g.id, g.name from unnest($2::text[], $3::int[]) as awaited (name, steps)
         cross join lateral (select o.id, o.name from signal o
                             where o.run_id = $1 and o.name = awaited.name and o.step_no is null
                             order by o.id limit awaited.steps) as g",
    )
    .bind(run.0)
    .bind(awaited.keys().copied().collect::<Vec<_>>())
    .bind(awaited.values().map(|steps| steps.cast_signed()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    rows.iter().map(unread).collect()
}

async fn unread_up_to(conn: &mut PgConnection, run: RunId, limit: u32) -> Result<u32> {
    let counted = sqlx::query_scalar::<_, i64>(
        "select count(*) from (select from signal where run_id = $1 and step_no is null limit $2) as o",
    );
    Ok(u32::try_from(counted.bind(run.0).bind(i64::from(limit)).fetch_one(conn).await?).unwrap_or(u32::MAX))
}

/// What a step has taken from this position on.
async fn taken(conn: &mut PgConnection, run: RunId, step: StepNo, from: u32) -> Result<Vec<Unread>> {
    let rows = sqlx::query("select id, name from signal where run_id = $1 and step_no = $2 and position >= $3")
        .bind(run.0)
        .bind(step.0)
        .bind(from.cast_signed())
        .fetch_all(conn)
        .await?;
    rows.iter().map(unread).collect()
}

/// What any step has taken. Few: each was waited for.
async fn all_taken(conn: &mut PgConnection, run: RunId) -> Result<Vec<TakenBy>> {
    let sql = "select id, name, step_no from signal where run_id = $1 and step_no is not null and position >= 0";
    let rows = sqlx::query(sql).bind(run.0).fetch_all(conn).await?;
    let taken = |row| Ok(TakenBy { step: StepNo(Row::try_get(row, "step_no")?), signal: unread(row)? });
    rows.iter().map(taken).collect()
}

fn unread(row: &PgRow) -> Result<Unread> {
    Ok(Unread { number: count(row, "id")?, name: row.try_get("name")? })
}

fn count(row: &PgRow, column: &str) -> Result<u32> {
    Ok(row.try_get::<i32, _>(column)?.cast_unsigned())
}

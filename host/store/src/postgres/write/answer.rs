//! The answer of `pawl_write_v3`, line by line: claims, and one line that tells the rest. Its types are those of
//! `migrations/0003_write.sql`, `0015_write_v2.sql` and `0023_recovery.sql`.

use std::collections::HashMap;

use pawl_domain::attempt::{Claim, ClaimedInput, Ingredients};
use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::super::ReadyRow;
use crate::write::{Batch, Member, Settlement, Verdict, Written};
use crate::{Error, Result};

#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_claimed_v2")]
struct ClaimedRow {
    run_id: Uuid,
    step_no: i32,
    fence: i64,
    pipeline: Option<Vec<u8>>,
    component: Vec<u8>,
    failures: i32,
    crashes: i32,
    journal_length: i32,
    checkpoint_position: Option<i32>,
    run_input: Option<Vec<u8>>,
    needed_outputs: Option<Vec<Vec<u8>>>,
    apart: Option<i64>,
}

#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_told_v1")]
struct ToldRow {
    refused: Option<Vec<RefusedRow>>,
    unclaimed: Option<Vec<UnclaimedRow>>,
    ready: Option<Vec<ReadyRow>>,
    ended: Option<Vec<Uuid>>,
}

#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_refused_v1")]
struct RefusedRow {
    place: i32,
    verdict: String,
}

#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_unclaimed_v1")]
struct UnclaimedRow {
    run_id: Uuid,
    step_no: i32,
    busy: bool,
}

pub(super) fn of(batch: &Batch, rows: &[PgRow]) -> Result<Written> {
    let mut written = Written { members: vec![Verdict::Written; batch.members.len()], ..Written::default() };
    let mut givers: Option<HashMap<StepId, &Member>> = None;
    for row in rows {
        if let Some(claimed) = row.try_get::<Option<ClaimedRow>, _>("claimed")? {
            let givers = givers.get_or_insert_with(|| givers_of(&batch.members));
            let recovers = row.try_get("recovers")?;
            written.claimed.push(Claim { recovers, ..claim_of(claimed, givers)? });
        }
        if let Some(told) = row.try_get::<Option<ToldRow>, _>("told")? {
            tell(told, &mut written);
        }
    }
    Ok(written)
}

fn tell(told: ToldRow, written: &mut Written) {
    for RefusedRow { place, verdict } in told.refused.into_iter().flatten() {
        let verdict = match verdict.as_str() {
            "lost" => Verdict::LeaseLost,
            "gap" => Verdict::Gap,
            "busy" => Verdict::Busy,
            // By a first sending.
            _ => Verdict::Written,
        };
        if let Some(of_member) = usize::try_from(place - 1).ok().and_then(|index| written.members.get_mut(index)) {
            *of_member = verdict;
        }
    }
    for UnclaimedRow { run_id, step_no, busy } in told.unclaimed.into_iter().flatten() {
        let id = StepId { run: RunId(run_id), step: StepNo(step_no) };
        if busy { written.busy.push(id) } else { written.not_ready.push(id) }
    }
    written.ready.extend(told.ready.into_iter().flatten().map(ReadyRow::into_ready));
    written.ended.extend(told.ended.into_iter().flatten().map(RunId));
}

/// Members by the successor that the worker wants to go on with.
fn givers_of(members: &[Member]) -> HashMap<StepId, &Member> {
    let next =
        |member: &Member| member.succession()?.next.as_ref().map(|next| StepId { run: member.id.run, step: next.step });
    members.iter().filter_map(|member| Some((next(member)?, member))).collect()
}

/// Of a successor, the database tells only what the worker doesn't know.
fn claim_of(row: ClaimedRow, givers: &HashMap<StepId, &Member>) -> Result<Claim> {
    let id = StepId { run: RunId(row.run_id), step: StepNo(row.step_no) };
    let damaged = || Error::Damaged(format!("the claim of {id}"));
    let apart = row.apart.map(|bytes| ClaimedInput::Apart(bytes.cast_unsigned()));
    let told = match (row.run_input, row.needed_outputs) {
        _ if apart.is_some() => apart,
        (Some(input), _) => Some(ClaimedInput::Whole(Ingredients::Run(input))),
        (None, outputs) => outputs.map(|outputs| ClaimedInput::Whole(Ingredients::Outputs(outputs))),
    };
    let (pipeline, input) = match (row.pipeline, givers.get(&id)) {
        (Some(pipeline), _) => (digest(&pipeline).ok_or_else(damaged)?, told.ok_or_else(damaged)?),
        (None, Some(Member { settlement: Some(Settlement::Succeeded { output, then }), .. })) => {
            let next = then.next.as_ref().ok_or_else(damaged)?;
            let handed_on = || ClaimedInput::Whole(Ingredients::Outputs(vec![output.clone()]));
            (next.pipeline, told.unwrap_or_else(handed_on))
        }
        _ => return Err(damaged()),
    };
    Ok(Claim {
        id,
        fence: Fence(row.fence),
        pipeline,
        component: digest(&row.component).ok_or_else(damaged)?,
        failures: row.failures.cast_unsigned(),
        crashes: row.crashes.cast_unsigned(),
        journal_length: row.journal_length.cast_unsigned(),
        checkpoint_position: row.checkpoint_position.map(i32::cast_unsigned),
        recovers: false,
        input,
    })
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    Digest::try_from(bytes).ok()
}

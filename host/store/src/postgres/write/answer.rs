//! The answer of `pawl_write_v1`, row by row.

use std::collections::HashMap;

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, RunId, StepId, StepNo};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::super::{digest_of, ready_of};
use crate::write::{Batch, Member, Settlement, Verdict, Written};
use crate::{Error, Result};

pub(super) fn of(batch: &Batch, rows: &[PgRow]) -> Result<Written> {
    let mut written = Written { members: vec![Verdict::Written; batch.members.len()], ..Written::default() };
    let mut givers: Option<HashMap<StepId, &Member>> = None;
    for row in rows {
        let verdict: Option<&str> = row.try_get("verdict")?;
        match (row.try_get("kind")?, verdict) {
            ("member", verdict) => {
                let place = usize::try_from(row.try_get::<i32, _>("place")? - 1).unwrap_or(usize::MAX);
                if let Some(refused) = written.members.get_mut(place) {
                    *refused = if verdict == Some("gap") { Verdict::Gap } else { Verdict::LeaseLost };
                }
            }
            ("claim", Some("claimed")) => {
                written.claimed.push(claim_of(row, givers.get_or_insert_with(|| givers_of(&batch.members)))?);
            }
            ("claim", Some("busy")) => written.busy.push(step_of(row)?),
            ("claim", _) => written.not_ready.push(step_of(row)?),
            ("ended", _) => written.ended.push(RunId(row.try_get("run_id")?)),
            _ => written.ready.push(ready_of(row)?),
        }
    }
    Ok(written)
}

/// Members by the successor that the worker wants to go on with.
fn givers_of(members: &[Member]) -> HashMap<StepId, &Member> {
    let next =
        |member: &Member| member.succession()?.next.as_ref().map(|next| StepId { run: member.id.run, step: next.step });
    members.iter().filter_map(|member| Some((next(member)?, member))).collect()
}

fn step_of(row: &PgRow) -> Result<StepId> {
    Ok(StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) })
}

/// Of a successor, the database tells only what the worker doesn't know.
fn claim_of(row: &PgRow, givers: &HashMap<StepId, &Member>) -> Result<Claim> {
    let count = |column: &str| -> Result<u32> { Ok(row.try_get::<i32, _>(column)?.cast_unsigned()) };
    let id = step_of(row)?;
    let told: Option<Vec<Vec<u8>>> = row.try_get("needed_outputs")?;
    let (pipeline, needed_outputs) = match (row.try_get::<Option<&[u8]>, _>("pipeline")?, givers.get(&id)) {
        (Some(_), _) => (digest_of(row, "pipeline")?, told.unwrap_or_default()),
        (None, Some(Member { settlement: Some(Settlement::Succeeded { output, then }), .. })) => {
            let next = then.next.as_ref().ok_or_else(|| Error::Damaged(format!("the claim of {id}")))?;
            (next.pipeline, told.unwrap_or_else(|| vec![output.clone()]))
        }
        _ => return Err(Error::Damaged(format!("the claim of {id}"))),
    };
    Ok(Claim {
        id,
        fence: Fence(row.try_get("fence")?),
        pipeline,
        component: digest_of(row, "component")?,
        failures: count("failures")?,
        crashes: count("crashes")?,
        journal_length: count("journal_length")?,
        checkpoint_position: row.try_get::<Option<i32>, _>("checkpoint_position")?.map(i32::cast_unsigned),
        run_input: row.try_get("run_input")?,
        needed_outputs,
    })
}

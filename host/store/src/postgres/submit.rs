//! Submissions, many in one round trip to `pawl_submit_v2` (see `migrations/0008_submit.sql` and `0011_listed.sql`), or, if
//! some came in a trace, to `pawl_submit_traced_v1` (`0036_traces.sql`), or, if payloads of some are sealed, to
//! `pawl_submit_sealed_v1` (`0044_sealing.sql`).

use std::collections::HashMap;

use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::ready::{Ready, Start};
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use uuid::Uuid;

use super::NAME;
use crate::retention::BEING_DELETED;
use crate::sealing::WrappedKey;
use crate::submit::{NewRun, Submission};
use crate::{Error, Result};

/// `pawl_submission_v1`, see `migrations/0008_submit.sql`.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_submission_v1")]
struct SubmissionRow {
    place: i32,
    run_id: Uuid,
    namespace: String,
    pipeline: String,
    input: Vec<u8>,
    key: Option<String>,
    request_digest: [u8; 32],
}

/// `pawl_traced_v1`, see `migrations/0036_traces.sql`.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_traced_v1")]
struct TracedRow {
    place: i32,
    run_id: Uuid,
    trace: String,
}

/// `pawl_sealed_v1`, see `migrations/0044_sealing.sql`.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_sealed_v1")]
struct SealedRow {
    place: i32,
    run_id: Uuid,
    version: i32,
    wrapped: Vec<u8>,
}

#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_unmade_v1")]
struct UnmadeRow {
    place: i32,
    verdict: String,
}

#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_startable_v1")]
struct StartableRow {
    run_id: Uuid,
    step_no: i32,
    queue: String,
    priority: String,
    ready_at_ms: i64,
    pipeline: Vec<u8>,
    component: Option<Vec<u8>>,
}

/// Submits `runs` in one commit.
pub(super) async fn submit(conn: &mut PgConnection, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>)> {
    let submissions = (1..).zip(runs).map(|(place, run)| SubmissionRow {
        place,
        run_id: run.id.0,
        namespace: run.namespace.to_string(),
        pipeline: run.pipeline.clone(),
        input: run.input.clone(),
        key: run.idempotency_key.clone(),
        request_digest: run.request_digest().0,
    });
    let traced = (1..).zip(runs).filter_map(|(place, run)| {
        let trace = run.trace.as_ref()?.to_string();
        Some(TracedRow { place, run_id: run.id.0, trace })
    });
    let sealed = (1..).zip(runs).filter_map(|(place, run)| {
        let WrappedKey { version, wrapped } = run.sealed.clone()?;
        Some(SealedRow { place, run_id: run.id.0, version: version.cast_signed(), wrapped })
    });
    let (submissions, traced, sealed) = (submissions.collect::<Vec<_>>(), traced.collect::<Vec<_>>(), sealed.collect());
    let submitting = submit_statement(submissions, traced, sealed);
    let submitted = match submitting.fetch_one(&mut *conn).await {
        Ok(submitted) => submitted,
        Err(error) => return Err(or_being_deleted(conn, runs, error).await),
    };
    let mut answers = vec![Submission::Created; runs.len()];
    for UnmadeRow { place, verdict } in submitted.try_get::<Option<Vec<_>>, _>("unmade")?.into_iter().flatten() {
        let answer = match verdict.as_str() {
            "same" => Submission::Same,
            "conflict" => Submission::KeyReused,
            _ => Submission::UnknownPipeline,
        };
        if let Some(of_run) = usize::try_from(place - 1).ok().and_then(|index| answers.get_mut(index)) {
            *of_run = answer;
        }
    }
    let inputs: HashMap<RunId, &[u8]> = runs.iter().filter_map(|run| Some((run.id, run.told_input()?))).collect();
    let ready = submitted.try_get::<Option<Vec<StartableRow>>, _>("ready")?.into_iter().flatten();
    Ok((answers, ready.map(|row| startable(row, &inputs)).collect::<Result<_>>()?))
}

/// By the function that costs least.
fn submit_statement(
    submissions: Vec<SubmissionRow>,
    traced: Vec<TracedRow>,
    sealed: Vec<SealedRow>,
) -> Query<'static, sqlx::Postgres, PgArguments> {
    match (sealed.is_empty(), traced.is_empty()) {
        (true, true) => sqlx::query("select unmade, ready from pawl_submit_v2($1)").bind(submissions),
        (true, false) => {
            sqlx::query("select unmade, ready from pawl_submit_traced_v1($1, $2)").bind(submissions).bind(traced)
        }
        (false, _) => {
            let sql = "select unmade, ready from pawl_submit_sealed_v1($1, $2, $3)";
            sqlx::query(sql).bind(submissions).bind(traced).bind(sealed)
        }
    }
}

/// What a refusal means: rows of a run that had the same id, and is being deleted, may have been in the way.
async fn or_being_deleted(conn: &mut PgConnection, runs: &[NewRun], error: sqlx::Error) -> Error {
    if !error.as_database_error().is_some_and(|error| error.is_unique_violation()) {
        return error.into();
    }
    let left = sqlx::query_scalar("select exists (select from remains where run_id = any ($1))")
        .bind(runs.iter().map(|run| run.id.0).collect::<Vec<_>>());
    match left.fetch_one(conn).await {
        Ok(true) => Error::Held(NAME, BEING_DELETED.into()),
        Ok(false) => error.into(),
        Err(error) => error.into(),
    }
}

/// A ready step, with what it starts with.
fn startable(row: StartableRow, inputs: &HashMap<RunId, &[u8]>) -> Result<Ready> {
    let id = StepId { run: RunId(row.run_id), step: StepNo(row.step_no) };
    let digest = |bytes: &[u8]| Digest::try_from(bytes).map_err(|_| Error::Damaged(format!("what {id} starts on")));
    let (pipeline, component) = (digest(&row.pipeline)?, row.component.as_deref().map(digest).transpose()?);
    Ok(Ready {
        id,
        queue: row.queue,
        priority: row.priority.parse().unwrap_or_default(),
        ready_at_ms: row.ready_at_ms,
        start: inputs.get(&id.run).and_then(|input| Start::new(pipeline, component, input)),
    })
}

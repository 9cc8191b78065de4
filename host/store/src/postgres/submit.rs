//! Submissions, many in one round trip to `pawl_submit_v1` (see `migrations/0004_submit.sql`).

use std::collections::HashMap;

use pawl_domain::id::RunId;
use pawl_domain::ready::{Ready, Start};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgHasArrayType, PgRow, PgTypeInfo};
use uuid::Uuid;

use super::{digest_of, ready_of};
use crate::Result;
use crate::submit::{NewRun, Submission};

/// `pawl_submission_v1`, see `migrations/0004_submit.sql`.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_submission_v1", no_pg_array)]
struct SubmissionRow {
    place: i32,
    run_id: Uuid,
    namespace: String,
    pipeline: String,
    input: Vec<u8>,
    key: Option<String>,
    request_digest: [u8; 32],
}

impl PgHasArrayType for SubmissionRow {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("pawl_submission_v1")
    }
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
    let rows = sqlx::query(
        "select place, verdict, run_id, step_no, queue, priority, ready_at_ms, pipeline, component
         from pawl_submit_v1($1)",
    )
    .bind(submissions.collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let inputs: HashMap<RunId, &[u8]> = runs.iter().map(|run| (run.id, run.input.as_slice())).collect();
    let mut answers = vec![Submission::Created; runs.len()];
    let mut ready = Vec::new();
    for row in &rows {
        let Some(place) = row.try_get::<Option<i32>, _>("place")? else {
            ready.push(started(row, &inputs)?);
            continue;
        };
        let answer = match row.try_get("verdict")? {
            "same" => Submission::Same,
            "conflict" => Submission::KeyReused,
            _ => Submission::UnknownPipeline,
        };
        if let Some(slot) = usize::try_from(place - 1).ok().and_then(|index| answers.get_mut(index)) {
            *slot = answer;
        }
    }
    Ok((answers, ready))
}

/// A ready step, with what it starts with.
fn started(row: &PgRow, inputs: &HashMap<RunId, &[u8]>) -> Result<Ready> {
    let ready = ready_of(row)?;
    let fixed: Option<&[u8]> = row.try_get("component")?;
    let component = fixed.map(|_| digest_of(row, "component")).transpose()?;
    let pipeline = digest_of(row, "pipeline")?;
    let start = inputs.get(&ready.id.run).and_then(|input| Start::new(pipeline, component, input));
    Ok(Ready { start, ..ready })
}

//! Submissions, many in one round trip to `pawl_submit_v1`.

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgHasArrayType, PgTypeInfo};
use uuid::Uuid;

use super::{Result, ready_of};
use crate::domain::id::{Digest, RunId};
use crate::domain::ready::Ready;

/// A run that somebody wants.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// New, or derived from the idempotency key.
    pub id: RunId,
    /// By name; the version is the current one at the commit.
    pub pipeline: String,
    /// JSON bytes.
    pub input: Vec<u8>,
    /// The key, if the client gave one.
    pub idempotency_key: Option<String>,
}

impl NewRun {
    /// A run with an id of its own, or the one that its key stands for.
    #[must_use]
    pub fn new(pipeline: String, input: Vec<u8>, idempotency_key: Option<String>) -> Self {
        let id = idempotency_key.as_deref().map_or_else(RunId::new, RunId::from_idempotency_key);
        Self { id, pipeline, input, idempotency_key }
    }

    /// Two submissions with one key are the same if this is.
    fn request_digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.pipeline.len() as u64).to_be_bytes());
        hasher.update(self.pipeline.as_bytes());
        hasher.update(&self.input);
        Digest(*hasher.finalize().as_bytes())
    }
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// There is a new run.
    Created,
    /// The key was used before for the same request: that run it is.
    Same,
    /// The key was used before for another request.
    KeyReused,
    /// No pipeline of that name.
    UnknownPipeline,
}

/// `pawl_submission_v1`, see `migrations/0004_submit.sql`.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_submission_v1", no_pg_array)]
struct SubmissionRow {
    place: i32,
    run_id: Uuid,
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

/// Submits `runs` in one commit. The answers are in their order; the steps are to be delivered.
///
/// # Errors
/// [`super::Error::Unavailable`]: it may have been committed; send it again with the same ids.
pub async fn submit(conn: &mut PgConnection, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>)> {
    let submissions = (1..).zip(runs).map(|(place, run)| SubmissionRow {
        place,
        run_id: run.id.0,
        pipeline: run.pipeline.clone(),
        input: run.input.clone(),
        key: run.idempotency_key.clone(),
        request_digest: run.request_digest().0,
    });
    let rows =
        sqlx::query("select place, verdict, run_id, step_no, queue, priority, ready_at_ms from pawl_submit_v1($1)")
            .bind(submissions.collect::<Vec<_>>())
            .fetch_all(conn)
            .await?;
    let mut answers = vec![Submission::Created; runs.len()];
    let mut ready = Vec::new();
    for row in &rows {
        let Some(place) = row.try_get::<Option<i32>, _>("place")? else {
            ready.push(ready_of(row)?);
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

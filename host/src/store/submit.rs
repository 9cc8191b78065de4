//! Submissions, many in one round trip to `pawl_submit_v1`.

use sqlx::Row;

use super::{Result, Store, ready_of};
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

impl Store {
    /// Submits `runs` in one commit. The answers are in their order; the steps are to be delivered.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: it may have been committed; send it again with the same ids.
    pub async fn submit(&self, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>)> {
        let rows = sqlx::query(
            "select s.place, s.verdict, ($1::uuid[])[s.place] as run_id, s.step_no, s.queue, s.priority, s.ready_at_ms
             from pawl_submit_v1($1, $2, $3, $4, $5) as s order by s.place",
        )
        .bind(runs.iter().map(|run| run.id.0).collect::<Vec<_>>())
        .bind(runs.iter().map(|run| run.pipeline.as_str()).collect::<Vec<_>>())
        .bind(runs.iter().map(|run| run.input.as_slice()).collect::<Vec<_>>())
        .bind(runs.iter().map(|run| run.idempotency_key.as_deref()).collect::<Vec<_>>())
        .bind(runs.iter().map(|run| run.request_digest().0.to_vec()).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        let mut answers = vec![Submission::UnknownPipeline; runs.len()];
        let mut ready = Vec::new();
        for row in &rows {
            let place: i32 = row.try_get("place")?;
            let answer = match row.try_get("verdict")? {
                "created" => Submission::Created,
                "same" => Submission::Same,
                "conflict" => Submission::KeyReused,
                _ => Submission::UnknownPipeline,
            };
            if let Some(slot) = usize::try_from(place - 1).ok().and_then(|index| answers.get_mut(index)) {
                *slot = answer;
            }
            if row.try_get::<Option<i32>, _>("step_no")?.is_some() {
                ready.push(ready_of(row)?);
            }
        }
        Ok((answers, ready))
    }
}

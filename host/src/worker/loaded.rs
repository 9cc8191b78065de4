//! What a step needs besides its claim: the component, the pipeline version, the step's past. Components
//! and pipelines are immutable and cached; the past is read only if there is one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::flow::lock;
use super::session::Session;
use crate::domain::attempt::{Cause, Claim, Failure};
use crate::domain::id::Digest;
use crate::domain::journal::History;
use crate::domain::pipeline::{Pipeline, default_timeout_ms};
use crate::domain::retry::RetryPolicy;
use crate::engine::recorder::Recorder;
use crate::engine::{Attempt, Engine, Executed, Prepared};
use crate::store::{self, Store};

/// Pipeline versions kept in memory.
const PIPELINES: usize = 1_000;

/// The caches of a worker process.
#[derive(Clone)]
pub struct Loaded {
    /// Compiles and keeps components.
    pub engine: Arc<Engine>,
    pipelines: Arc<Mutex<HashMap<Digest, Arc<Pipeline>>>>,
}

/// Everything that an attempt starts from.
pub struct Loading {
    /// The component, compiled.
    pub prepared: Arc<Prepared>,
    /// The pipeline version.
    pub pipeline: Arc<Pipeline>,
    /// What the step did before.
    pub history: History,
}

impl Loaded {
    /// Empty caches around `engine`.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, pipelines: Arc::default() }
    }

    /// What the claim needs, if nothing has to be read for it.
    #[must_use]
    pub fn at_hand(&self, claim: &Claim) -> Option<Loading> {
        if claim.journal_length > 0 || claim.checkpoint_position.is_some() {
            return None;
        }
        let prepared = self.engine.prepared(claim.component)?;
        let pipeline = lock(&self.pipelines).get(&claim.pipeline).cloned()?;
        Some(Loading { prepared, pipeline, history: History::default() })
    }

    /// Reads and compiles what the claim needs. The inner error is the step's: no component that this
    /// worker can load.
    ///
    /// # Errors
    /// If the database is away: try again.
    pub async fn load(&self, store: &Store, claim: &Claim) -> store::Result<Result<Loading, Failure>> {
        let loading = async {
            let pipeline = self.pipeline(store, claim.pipeline).await?;
            let history = store.history(claim).await?;
            Ok::<_, store::Error>((pipeline, history))
        };
        let (pipeline, history) = match loading.await {
            Ok(loaded) => loaded,
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => return Ok(Err(unloadable(&error))),
        };
        let prepared = match self.component(store, claim.component).await? {
            Ok(prepared) => prepared,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(Ok(Loading { prepared, pipeline, history }))
    }

    /// Executes the attempt that `session` stands for; blocks.
    #[must_use]
    pub fn execute(&self, loading: Loading, session: &Arc<Session>) -> Executed {
        let prepared = Arc::clone(&loading.prepared);
        let recorder: Arc<dyn Recorder> = Arc::clone(session) as _;
        self.engine.execute(&prepared, loading.attempt(&session.claim), recorder)
    }

    async fn pipeline(&self, store: &Store, digest: Digest) -> store::Result<Arc<Pipeline>> {
        if let Some(known) = lock(&self.pipelines).get(&digest) {
            return Ok(Arc::clone(known));
        }
        let pipeline = Arc::new(store.pipeline_version(digest).await?);
        let mut pipelines = lock(&self.pipelines);
        if pipelines.len() >= PIPELINES {
            pipelines.clear();
        }
        pipelines.insert(digest, Arc::clone(&pipeline));
        Ok(pipeline)
    }

    async fn component(&self, store: &Store, digest: Digest) -> store::Result<Result<Arc<Prepared>, Failure>> {
        if let Some(prepared) = self.engine.prepared(digest) {
            return Ok(Ok(prepared));
        }
        let bytes = match store.component(digest).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => return Ok(Err(unloadable(&error))),
        };
        let engine = Arc::clone(&self.engine);
        let compiled = tokio::task::spawn_blocking(move || engine.prepare(digest, &bytes)).await;
        Ok(match compiled {
            Ok(Ok(prepared)) => Ok(prepared),
            Ok(Err(error)) => Err(unloadable(&error)),
            Err(panic) => Err(unloadable(&panic)),
        })
    }
}

impl Loading {
    /// The step's retry policy.
    #[must_use]
    pub fn retry_policy(&self, claim: &Claim) -> Option<RetryPolicy> {
        self.pipeline.step(claim.id.step).map(|step| step.retry)
    }

    fn attempt(self, claim: &Claim) -> Attempt {
        let spec = self.pipeline.step(claim.id.step);
        Attempt {
            step: claim.id,
            step_name: spec.map_or_else(String::new, |spec| spec.name.clone()),
            failures: claim.failures,
            config: spec.map_or_else(|| "null".to_owned(), |spec| spec.config.to_string()),
            timeout: Duration::from_millis(spec.map_or_else(default_timeout_ms, |spec| spec.timeout_ms)),
            input: self.pipeline.input_of(
                claim.id.step,
                claim.run_input.as_deref().unwrap_or_default(),
                &claim.needed_outputs,
            ),
            history: self.history,
        }
    }
}

fn unloadable(error: &dyn std::error::Error) -> Failure {
    Failure {
        cause: Cause::Component,
        message: error.to_string(),
        details: error.source().map(|source| serde_json::Value::from(source.to_string()).to_string()),
        delay_ms: None,
        from_checkpoint: false,
    }
}

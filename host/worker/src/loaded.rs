//! What a step needs besides its claim: the component, the plan of its pipeline version, the step's past.
//! Components and plans are immutable and cached; the past is read only if there is one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::attempt::{Cause, Claim, ClaimedInput, Failure, Ingredients};
use pawl_domain::id::{Digest, StepNo};
use pawl_domain::journal::History;
use pawl_domain::pipeline::default_timeout_ms;
use pawl_domain::schema::Schemas;
use pawl_domain::succession::{Next, Plan};
use pawl_engine::recorder::Recorder;
use pawl_engine::{Attempt, Engine, Executed, LoadError, Prepared, Secrets};
use pawl_store::{self as store, Store};

use crate::session::Session;

/// Steps of which it is remembered on which component they ran last.
const LATEST: usize = 10_000;

/// The caches of a worker process.
#[derive(Clone)]
pub struct Loaded {
    /// Compiles and keeps components.
    pub engine: Arc<Engine>,
    plans: Arc<Mutex<HashMap<Digest, Arc<Plan>>>>,
    most_plans: usize,
    /// The component of the last claim of a pipeline's step: that of the next one, most likely.
    latest: Arc<Mutex<HashMap<(Digest, StepNo), Digest>>>,
}

/// Everything that an attempt starts from.
pub struct Loading {
    /// The component, compiled.
    pub prepared: Arc<Prepared>,
    /// The plan of the pipeline version.
    pub plan: Arc<Plan>,
    /// What the step did before.
    pub history: History,
    /// What the input is made of; nothing yet if the claim does not carry it.
    pub input: Ingredients,
}

impl Loaded {
    /// Empty caches around `engine`, with room for so many plans.
    #[must_use]
    pub fn new(engine: Arc<Engine>, most_plans: usize) -> Self {
        Self { engine, plans: Arc::default(), most_plans, latest: Arc::default() }
    }

    /// What the claim needs, if nothing has to be read for it.
    #[must_use]
    pub fn at_hand(&self, claim: &Claim) -> Option<Loading> {
        let ClaimedInput::Whole(input) = &claim.input else { return None };
        if claim.journal_length > 0 || claim.checkpoint_position.is_some() {
            return None;
        }
        let prepared = self.checked(claim.component)?;
        let plan = lock(&self.plans).get(&claim.pipeline).cloned()?;
        Some(Loading { prepared, plan, history: History::default(), input: input.clone() })
    }

    /// Remembers on which component a step runs.
    pub fn learn(&self, claim: &Claim) {
        let mut latest = lock(&self.latest);
        if latest.len() >= LATEST {
            latest.clear();
        }
        latest.insert((claim.pipeline, claim.id.step), claim.component);
    }

    /// The component that `next` is most likely to run on, if it is compiled.
    #[must_use]
    pub fn guess(&self, next: &Next) -> Option<Arc<Prepared>> {
        let component = lock(&self.latest).get(&(next.pipeline, next.step)).copied()?;
        self.checked(component)
    }

    /// The compiled component, if its schemas are known, too.
    fn checked(&self, component: Digest) -> Option<Arc<Prepared>> {
        self.engine.prepared(component).filter(|prepared| prepared.schemas().is_some())
    }

    /// Reads and compiles what the claim needs. The inner error is the step's: no component that this
    /// worker can load.
    ///
    /// # Errors
    /// If the database is away: try again.
    pub async fn load(&self, store: &dyn Store, claim: &Claim) -> store::Result<Result<Loading, Failure>> {
        let loading = async {
            let plan = self.plan(store, claim.pipeline).await?;
            let history = store.history(claim).await?;
            Ok::<_, store::Error>((plan, history))
        };
        let (plan, history) = match loading.await {
            Ok(loaded) => loaded,
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => return Ok(Err(unloadable(&error))),
        };
        let prepared = match self.component(store, claim.component).await? {
            Ok(prepared) => prepared,
            Err(failure) => return Ok(Err(failure)),
        };
        let input = match &claim.input {
            ClaimedInput::Whole(whole) => whole.clone(),
            ClaimedInput::Apart(_) => Ingredients::Outputs(Vec::new()),
        };
        Ok(Ok(Loading { prepared, plan, history, input }))
    }

    /// Executes the attempt that `session` stands for; blocks.
    #[must_use]
    pub fn execute(&self, loading: Loading, session: &Arc<Session>) -> Executed {
        let prepared = Arc::clone(&loading.prepared);
        let recorder: Arc<dyn Recorder> = Arc::clone(session) as _;
        self.engine.execute(&prepared, loading.attempt(&session.claim), recorder)
    }

    async fn plan(&self, store: &dyn Store, digest: Digest) -> store::Result<Arc<Plan>> {
        if let Some(known) = lock(&self.plans).get(&digest) {
            return Ok(Arc::clone(known));
        }
        let plan = Arc::new(Plan::new(digest, store.pipeline_version(digest).await?));
        let mut plans = lock(&self.plans);
        if plans.len() >= self.most_plans {
            plans.clear();
        }
        plans.insert(digest, Arc::clone(&plan));
        Ok(plan)
    }

    /// A component, compiled; the inner error says why it can't be loaded here.
    ///
    /// # Errors
    /// If the database is away: try again.
    pub async fn component(&self, store: &dyn Store, digest: Digest) -> store::Result<Result<Arc<Prepared>, Failure>> {
        if let Some(prepared) = self.checked(digest) {
            return Ok(Ok(prepared));
        }
        let loading = async {
            let manifest = store.manifest(digest).await?;
            Ok::<_, store::Error>((manifest, store.component(digest).await?))
        };
        let (manifest, bytes) = match loading.await {
            Ok(loaded) => loaded,
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => return Ok(Err(unloadable(&error))),
        };
        let engine = Arc::clone(&self.engine);
        let compiled = tokio::task::spawn_blocking(move || {
            let prepared = engine.prepare(digest, &bytes)?;
            prepared.enforce(schemas_of(digest, manifest.as_deref()));
            Ok::<_, LoadError>(prepared)
        });
        Ok(match compiled.await {
            Ok(Ok(prepared)) => Ok(prepared),
            Ok(Err(error)) => Err(unloadable(&error)),
            Err(panic) => Err(unloadable(&panic)),
        })
    }
}

/// What the manifest that was stored at the push says. Versions pushed before schemas were checked may have some
/// that can't be enforced: their steps go on as they did then.
fn schemas_of(component: Digest, manifest: Option<&[u8]>) -> Schemas {
    let schemas = manifest.map(Schemas::of_manifest).transpose();
    let schemas =
        schemas.inspect_err(|error| tracing::warn!(%component, %error, "a component's schemas are not enforced"));
    schemas.ok().flatten().unwrap_or_default()
}

impl Loading {
    fn attempt(self, claim: &Claim) -> Attempt {
        let pipeline = &self.plan.pipeline;
        let spec = pipeline.step(claim.id.step);
        Attempt {
            step: claim.id,
            step_name: spec.map_or_else(String::new, |spec| spec.name.clone()),
            failures: claim.failures,
            config: spec.map_or_else(|| "null".to_owned(), |spec| spec.config.to_string()),
            secrets: Secrets::of_environment(spec.map_or(&[], |spec| &spec.secrets)),
            timeout: Duration::from_millis(spec.map_or_else(default_timeout_ms, |spec| spec.timeout_ms)),
            input: pipeline.input_of(claim.id.step, self.input),
            history: self.history,
        }
    }
}

/// A step that this worker has not got everything for.
pub(crate) fn unloadable(error: &dyn std::error::Error) -> Failure {
    Failure {
        cause: Cause::Component,
        message: error.to_string(),
        details: error.source().map(|source| serde_json::Value::from(source.to_string()).to_string()),
        delay_ms: None,
        from_checkpoint: false,
    }
}

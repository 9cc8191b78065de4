//! What a step needs besides its claim: the component, the plan of its pipeline version, the step's past.
//! Components and plans are immutable and cached; the past is read only if there is one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::envelope::Keys;
use pawl_base::lock;
use pawl_dispatch::seals::{Seals, Unopened};
use pawl_dispatch::whose::Whose;
use pawl_domain::attempt::{Cause, Claim, ClaimedInput, Failure, Ingredients};
use pawl_domain::id::{Digest, StepId, StepNo};
use pawl_domain::journal::History;
use pawl_domain::pipeline::default_timeout_ms;
use pawl_domain::reach::Asked;
use pawl_domain::schema::Schemas;
use pawl_domain::succession::Next;
use pawl_engine::recorder::{self, Recorder};
use pawl_engine::{Attempt, Engine, Executed, LoadError, Prepared, Secrets};
use pawl_store::history::Large;
use pawl_store::seal::Seal;
use tokio::sync::Semaphore;

use crate::ingredients::{self, are_sealed, opened};
use crate::past::StepPast;
use crate::reading::{Missed, Reading, until};
use crate::secrets::StoredSecrets;
use crate::session::Session;
use crate::version::Version;

/// Steps of which it is remembered on which component they ran last.
const LATEST: usize = 10_000;

/// The caches of a worker process.
#[derive(Clone)]
pub struct Loaded {
    /// Compiles and keeps components.
    pub engine: Arc<Engine>,
    versions: Arc<Mutex<HashMap<Digest, Arc<Version>>>>,
    most_versions: usize,
    /// The component of the last claim of a pipeline's step: that of the next one, most likely.
    latest: Arc<Mutex<HashMap<(Digest, StepNo), Digest>>>,
    /// Components that are being fetched: each by one, for all who wait.
    flights: Arc<Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>>,
    compiling: Arc<Semaphore>,
    /// Those of the store.
    pub secrets: Arc<StoredSecrets>,
    /// Whose runs are.
    pub whose: Arc<Whose>,
    /// What their payloads are sealed with.
    seals: Arc<Seals>,
}

/// Everything that an attempt starts from.
pub struct Loading {
    /// The component, compiled.
    pub prepared: Arc<Prepared>,
    /// The pipeline version.
    pub version: Arc<Version>,
    /// What the step did before, without what is read as the guest comes to it.
    pub history: History,
    /// Where that is read from.
    pub past: Option<Arc<dyn recorder::Past>>,
    /// What the input is made of.
    pub input: Ingredients,
    /// What the step is given, and what not.
    pub secrets: Secrets,
    /// What its run's payloads are sealed with.
    pub seal: Seal,
}

impl Loaded {
    /// Empty caches around `engine`, with room for so many pipeline versions; secrets open by these keys.
    #[must_use]
    pub fn new(engine: Arc<Engine>, most_versions: usize, keys: Keys) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let compiling = Arc::new(Semaphore::new(cores));
        let (versions, latest, flights) = Default::default();
        let whose = Arc::<Whose>::default();
        let seals = Arc::new(Seals::new(keys.clone()));
        let secrets = Arc::new(StoredSecrets::new(keys, Arc::clone(&whose)));
        Self { engine, versions, most_versions, latest, flights, compiling, whose, secrets, seals }
    }

    /// What the claim needs, if nothing has to be read for it.
    #[must_use]
    pub fn at_hand(&self, claim: &Claim) -> Option<Loading> {
        let ClaimedInput::Whole(input) = &claim.input else { return None };
        if claim.journal_length > 0 || claim.checkpoint_position.is_some() {
            return None;
        }
        let prepared = self.checked(claim.component)?;
        let version = self.version(claim)?;
        let secrets = self.secrets_at_hand(&version, claim.id)?;
        let seal = if are_sealed(input) { self.seals.at_hand(claim.run())? } else { Seal::CLEAR };
        let input = opened(input.clone(), &seal, &version.plan.pipeline, claim.id).ok()?;
        Some(Loading { prepared, version, history: History::default(), past: None, input, secrets, seal })
    }

    /// The secrets of a step, if the store need not be asked for them.
    #[must_use]
    pub fn secrets_at_hand(&self, version: &Version, id: StepId) -> Option<Secrets> {
        let pipeline = &version.plan.pipeline;
        self.secrets.at_hand(id.run, pipeline, pipeline.step(id.step))
    }

    /// The pipeline version of the claimed step, if it is in memory.
    #[must_use]
    pub fn version(&self, claim: &Claim) -> Option<Arc<Version>> {
        lock(&self.versions).get(&claim.pipeline).cloned()
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

    /// Reads and compiles what the claim needs, for as long as it is not given up. The inner error is the step's: no
    /// component that this worker can load, or no pipeline.
    ///
    /// What may be large of the step's own past is not read here: the guest reads it as it comes to it, once there is
    /// room for it.
    ///
    /// # Errors
    /// [`GivenUp`].
    pub async fn load(
        &self,
        reading: &Reading,
        claim: &Claim,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Result<Loading, Unready>, GivenUp> {
        let store = reading.store();
        let loading = async {
            let version = self.read_version(reading, claim.pipeline, given_up).await?;
            let past = reading.ask(given_up, || store.past(claim)).await?;
            let pipeline = &version.plan.pipeline;
            let input = ingredients::of(reading, claim, pipeline, self.engine.limits(), given_up).await?;
            let secrets =
                self.secrets.read(reading, claim.id.run, pipeline, pipeline.step(claim.id.step), given_up).await?;
            let input = match input {
                Ok(kept) => self.open(reading, claim, &version, kept, given_up).await?,
                Err(failure) => Err(failure.into()),
            };
            Ok::<_, Missed>((version, past, input, secrets))
        };
        let (version, past, (input, seal), secrets) = match loading.await {
            Ok((_, _, Err(unready), _)) => return Ok(Err(unready)),
            Ok((version, past, Ok(input), secrets)) => (version, past, input, secrets),
            Err(Missed::GivenUp) => return Err(GivenUp),
            Err(Missed::Error(error)) => return Ok(Err(unloadable(&error).into())),
        };
        let prepared = match self.component(reading, claim.component, given_up).await? {
            Ok(prepared) => prepared,
            Err(failure) => return Ok(Err(failure.into())),
        };
        let has_past = claim.journal_length > 0 || claim.checkpoint_position.is_some();
        let (history, past) = StepPast::of(claim, past, reading.clone(), seal.clone());
        let past = has_past.then(|| Arc::new(past) as Arc<dyn recorder::Past>);
        Ok(Ok(Loading { prepared, version, history, past, input, secrets, seal }))
    }

    /// What the input is made of in the clear, and the run's seal; the inner error says why it does not open here.
    async fn open(
        &self,
        reading: &Reading,
        claim: &Claim,
        version: &Version,
        kept: Ingredients,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Result<(Ingredients, Seal), Unready>, Missed> {
        let (store, run) = (reading.store(), claim.run());
        let seal = match are_sealed(&kept) {
            false => Ok(Seal::CLEAR),
            true => match self.seals.at_hand(run) {
                Some(seal) => Ok(seal),
                None => {
                    let read_at = Instant::now();
                    self.seals.opened(run, reading.ask(given_up, || store.run_key(run)).await?, read_at)
                }
            },
        };
        Ok(match seal {
            Ok(seal) => {
                let input = opened(kept, &seal, &version.plan.pipeline, claim.id)?;
                Ok((input, seal))
            }
            Err(Unopened::Keys { why, needs: Some(key) }) => Err(Unready::LacksKey { key, why }),
            Err(Unopened::Store(error)) => return Err(error.into()),
            Err(error) => Err(unreadable(&error).into()),
        })
    }

    /// Executes the attempt that `session` stands for; blocks.
    #[must_use]
    pub fn execute(&self, loading: Loading, session: &Arc<Session>) -> Executed {
        session.seal_with(&loading.seal);
        let prepared = Arc::clone(&loading.prepared);
        let recorder: Arc<dyn Recorder> = Arc::clone(session) as _;
        self.engine.execute(&prepared, loading.attempt(&session.claim), recorder)
    }

    async fn read_version(
        &self,
        reading: &Reading,
        digest: Digest,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Arc<Version>, Missed> {
        if let Some(known) = lock(&self.versions).get(&digest) {
            return Ok(Arc::clone(known));
        }
        let store = reading.store();
        let pipeline = reading.ask(given_up, || store.pipeline_version(digest)).await?;
        let version = Version::new(digest, pipeline);
        let mut versions = lock(&self.versions);
        if versions.len() >= self.most_versions {
            versions.clear();
        }
        versions.insert(digest, Arc::clone(&version));
        Ok(version)
    }

    /// A component, compiled; the inner error says why it can't be loaded here. Whoever else asks for it meanwhile waits
    /// for the same bytes and the same compilation.
    ///
    /// # Errors
    /// [`GivenUp`].
    pub async fn component(
        &self,
        reading: &Reading,
        digest: Digest,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Result<Arc<Prepared>, Failure>, GivenUp> {
        if let Some(prepared) = self.checked(digest) {
            return Ok(Ok(prepared));
        }
        let flight = Arc::clone(lock(&self.flights).entry(digest).or_default());
        let _flight = tokio::select! {
            flight = flight.lock() => flight,
            () = until(given_up) => return Err(GivenUp),
        };
        if let Some(prepared) = self.checked(digest) {
            return Ok(Ok(prepared));
        }
        let compiled = self.fetch_and_compile(reading, digest, given_up).await;
        lock(&self.flights).remove(&digest);
        match compiled {
            Ok(prepared) => Ok(Ok(prepared)),
            Err(Unloaded::GivenUp) => Err(GivenUp),
            Err(Unloaded::Failed(failure)) => Ok(Err(failure)),
        }
    }

    async fn fetch_and_compile(
        &self,
        reading: &Reading,
        digest: Digest,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Arc<Prepared>, Unloaded> {
        let store = reading.store();
        let manifest = reading.ask(given_up, || store.manifest(digest)).await?;
        // A compiler takes many times what it compiles; nor are bytes held that only wait for it.
        let turn = Arc::clone(&self.compiling).acquire_owned().await.expect("it is never closed");
        let bytes = reading.whole(Large::Component(digest), digest, given_up).await?;
        let engine = Arc::clone(&self.engine);
        let compiled = tokio::task::spawn_blocking(move || {
            let prepared = engine.prepare(digest, &bytes)?;
            prepared.confine(asked_of(manifest.as_deref()));
            // Last: it is whole for others from then on.
            prepared.enforce(schemas_of(digest, manifest.as_deref()));
            drop(turn);
            Ok::<_, LoadError>(prepared)
        });
        match compiled.await {
            Ok(Ok(prepared)) => Ok(prepared),
            Ok(Err(error)) => Err(Unloaded::Failed(unloadable(&error))),
            Err(panic) => Err(Unloaded::Failed(unloadable(&panic))),
        }
    }
}

/// Nobody wants it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp;

/// Why a step can't begin here.
#[derive(Debug)]
pub enum Unready {
    /// Its attempt has failed.
    Failed(Failure),
    /// Its run's payloads are sealed under that master key, which this process has not.
    LacksKey {
        /// The key's id.
        key: String,
        /// What is wrong, and how it is mended.
        why: String,
    },
}

impl From<Failure> for Unready {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

enum Unloaded {
    GivenUp,
    Failed(Failure),
}

impl From<Missed> for Unloaded {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::GivenUp => Self::GivenUp,
            Missed::Error(error) => Self::Failed(unloadable(&error)),
        }
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

/// What the same manifest asks for. What was pushed before there were manifests was never asked.
fn asked_of(manifest: Option<&[u8]>) -> Asked {
    #[derive(serde::Deserialize)]
    struct Said {
        #[serde(default)]
        needs: Vec<String>,
    }
    let said = manifest.and_then(|manifest| serde_json::from_slice::<Said>(manifest).ok());
    said.map_or(Asked::Any, |said| Asked::of(&said.needs))
}

impl Loading {
    fn attempt(self, claim: &Claim) -> Attempt {
        let pipeline = &self.version.plan.pipeline;
        let spec = pipeline.step(claim.id.step);
        Attempt {
            step: claim.id,
            step_name: spec.map_or_else(String::new, |spec| spec.name.clone()),
            failures: claim.failures,
            config: spec.map_or_else(|| "null".to_owned(), |spec| spec.config.to_string()),
            secrets: self.secrets,
            allow: spec.and_then(|spec| spec.allow.clone()),
            timeout: Duration::from_millis(spec.map_or_else(default_timeout_ms, |spec| spec.timeout_ms)),
            input: pipeline.input_of(claim.id.step, self.input),
            history: self.history,
            past: self.past,
        }
    }
}

/// A step whose input nobody can read, any more or at all.
fn unreadable(error: &dyn std::error::Error) -> Failure {
    Failure { cause: Cause::InvalidInput, ..unloadable(error) }
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

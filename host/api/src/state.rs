//! What all handlers share, and the few things that several of them do with it.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::envelope::Keys;
use pawl_base::lock;
use pawl_dispatch::retention::Sweeper;
use pawl_dispatch::seals::Seals;
use pawl_dispatch::submissions::Submissions;
use pawl_domain::id::{Digest, RunId, StepNo};
use pawl_domain::limits::Limits;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::pipeline_file::closest;
use pawl_domain::ready::{Moved, Ready};
use pawl_domain::suspicion::Suspicion;
use pawl_engine::apart::Apart;
use pawl_metrics::figures;
use pawl_queue::{FollowUp, SharedQueue};
use pawl_store::{self as store, SharedStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access::Access;
use super::aside::{Aside, Unfinished};
use super::browsers::Hosts;
use super::home::Home;
use super::known::Known;
use super::metrics::Asked;
use super::problem::Result;
use super::quotas::Quotas;
use super::remarks;
use super::trusted::Policy;
use super::types::{Changed, Problem};
use super::wanted::Wanted;
use super::watch::Watch;
use super::whose::Whose;

/// How long a request waits for a check, and for its turn before it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What handlers share, and whose things their request is about. It is cloned several times for each request.
#[derive(Clone)]
pub(super) struct AppState {
    shared: Arc<Shared>,
    /// Whose pipelines, plugins and runs a request is about; `default` where none was asked for.
    pub(super) namespace: Namespace,
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// What is there once for all requests.
pub(super) struct Shared {
    /// The store's schema was seen to be one that this build works with.
    pub(super) fits: Arc<AtomicBool>,
    pub(super) store: SharedStore,
    pub(super) queue: SharedQueue,
    /// Compiles and describes pushed components, and replays steps, in other processes; nothing is executed in this one.
    pub(super) apart: Apart,
    /// One component is compiled at a time: the API's processors are for requests.
    pub(super) compiling: Aside,
    /// And one step replayed.
    pub(super) replaying: Aside,
    /// Documents and pipelines are checked where nothing else waits, as many at a time as there are processors.
    pub(super) checking: Aside,
    /// One for each component that is being pushed.
    pub(super) pushes: Arc<Semaphore>,
    /// One for each reader that waits, and how many there may be.
    pub(super) readers: Arc<Semaphore>,
    pub(super) most_readers: usize,
    pub(super) submissions: Submissions,
    pub(super) watch: Watch,
    pub(super) limits: Limits,
    /// Which components are let in.
    pub(super) trusted: Policy,
    /// What seals secrets, and the keys of payloads.
    pub(super) secret_keys: Keys,
    /// What payloads of runs are sealed with.
    pub(super) seals: Arc<Seals>,
    /// What is known of whose runs are.
    pub(super) whose: Arc<Whose>,
    /// And of what namespaces may take.
    pub(super) quotas: Arc<Quotas>,
    pub(super) suspicion: Suspicion,
    /// The folder of `pawl dev`.
    pub(super) home: Option<Home>,
    /// Who may ask for what.
    pub(super) access: Access,
    /// What each route wants.
    pub(super) wanted: Wanted,
    /// The names that this listener goes by.
    pub(super) hosts: Hosts,
    /// Pipeline versions, which never change, and how many are kept.
    pub(super) pipelines: Arc<Mutex<HashMap<Digest, Arc<Pipeline>>>>,
    pub(super) most_pipelines: usize,
    /// What documents must fit.
    pub(super) schemas: Arc<Known>,
    /// When somebody last wanted figures that only store and queue have.
    pub(super) asked: Asked,
    /// Deletes at a person's word what has ended: for one at a time.
    pub(super) sweeper: Arc<tokio::sync::Mutex<Sweeper>>,
}

impl AppState {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), namespace: Namespace::default() }
    }

    /// The same for a request about that namespace.
    pub(super) fn of(&self, namespace: Namespace) -> Self {
        Self { shared: Arc::clone(&self.shared), namespace }
    }

    /// A pipeline version, from memory if it was asked for before.
    pub(super) async fn pipeline(&self, digest: Digest) -> Result<Arc<Pipeline>> {
        Ok(self.store_pipeline(digest).await?)
    }

    /// The same, for those who treat a failure of the store in their own way.
    pub(super) async fn store_pipeline(&self, digest: Digest) -> store::Result<Arc<Pipeline>> {
        if let Some(known) = self.kept().get(&digest) {
            return Ok(Arc::clone(known));
        }
        let pipeline = Arc::new(self.store.pipeline_version(digest).await?);
        let mut kept = self.kept();
        if kept.len() >= self.most_pipelines {
            kept.clear();
        }
        kept.insert(digest, Arc::clone(&pipeline));
        Ok(pipeline)
    }

    /// Checks what takes long, or may, on a thread that may block.
    pub(super) async fn check<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.checking.run(PATIENCE, work).await.map_err(|unfinished| match unfinished {
            Unfinished::Busy => Problem::busy("other documents are being checked", "try again in a moment"),
            Unfinished::Late => Problem::busy("the check takes too long", "send less, or simplify the schemas"),
            Unfinished::Panicked(panic) => Problem::internal(&panic),
        })
    }

    /// A place for one that reads a run for as long as it goes on.
    pub(super) fn reader(&self) -> Result<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.readers).try_acquire_owned();
        place.map_err(|_| Problem::too_many_readers(self.most_readers))
    }

    /// The pipeline of a run.
    pub(super) async fn pipeline_of(&self, run: RunId) -> Result<Arc<Pipeline>> {
        let digest = self.store.pipeline_of_run(run).await?;
        self.pipeline(digest).await
    }

    /// Delivers what a person's word made ready, and tells the readers of the run. What can't be delivered
    /// now is found as lost later.
    pub(super) async fn changed(&self, run: RunId, pipeline: &Pipeline, ready: &[Ready]) -> Result<Changed> {
        // Those who await the run's end are woken by a cancellation, too.
        let marks = self.store.run_marks(&[run]).await;
        let ended = marks.as_ref().is_ok_and(|marks| marks.iter().any(|mark| mark.status.is_ended()));
        let moved = [Moved { run, ended }];
        if let Err(error) = self.queue.follow_up(FollowUp { ready, moved: &moved, ..FollowUp::default() }).await {
            tracing::warn!(error = error.chain(), run.id = %run, "steps were not delivered now and will be found as lost");
        }
        self.watch.wake(&moved);
        let marks = marks?;
        let status = marks.first().ok_or_else(|| Problem::not_found(format!("there is no run {run}")))?.status;
        let steps = ready.iter().map(|ready| step_name(pipeline, ready.id.step)).collect();
        Ok(Changed { id: run, status, steps, remarks: Vec::new() })
    }

    /// What to tell of a run with this version of a pipeline, if another one is current.
    pub(super) async fn keeps_pipeline(&self, pipeline: &str, own: Digest) -> Option<String> {
        // It is said besides: what was asked for stands without it.
        let (current, _) = self.store.pipeline(&self.namespace, pipeline).await.ok()?;
        remarks::keeps_pipeline(pipeline, own, current.digest)
    }

    /// The same as [`AppState::changed`] for a run that goes on, perhaps on an older pipeline than somebody thinks.
    pub(super) async fn goes_on(&self, run: RunId, pipeline: &Pipeline, ready: &[Ready]) -> Result<Changed> {
        let changed = self.changed(run, pipeline, ready).await?;
        let remarks = self.keeps_pipeline(&pipeline.name, pipeline.digest()).await.into_iter().collect();
        Ok(Changed { remarks, ..changed })
    }

    /// The same as [`AppState::changed`] for what may have ended the run, which is counted then.
    pub(super) async fn may_end(&self, run: RunId, pipeline: &Pipeline, ready: &[Ready]) -> Result<Changed> {
        let changed = self.changed(run, pipeline, ready).await?;
        if changed.status.is_ended() {
            figures().of_pipeline(&pipeline.name).run_ended(changed.status);
        }
        Ok(changed)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Pipeline>>> {
        lock(&self.pipelines)
    }
}

/// A step's name; its number if the pipeline does not have it.
pub(super) fn step_name(pipeline: &Pipeline, step: StepNo) -> String {
    pipeline.step(step).map_or_else(|| step.to_string(), |spec| spec.name.clone())
}

/// The number of the step of that name.
pub(super) fn step_named(pipeline: &Pipeline, name: &str) -> Result<StepNo> {
    pipeline.step_named(name).ok_or_else(|| {
        let meant = closest(name, pipeline.steps.iter().map(|step| step.name.as_str()));
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        Problem::not_found(format!("pipeline `{}` has no step `{name}`{meant}", pipeline.name))
    })
}

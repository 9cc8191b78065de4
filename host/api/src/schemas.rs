//! Whether a run's input fits what its first steps take, asked before the run is accepted. What is known of
//! pipelines and components is kept in memory, so that a submission does not wait for the database.
//!
//! A pipeline's entry may be a second old, and a plugin may be activated between this check and the commit
//! that fixes the step's component: the worker checks again, on the component that it runs.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::lock;
use pawl_domain::id::Digest;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::pipeline_file::KnownSchemas;
use pawl_domain::schema::Schemas;
use pawl_store::submit::NewRun;
use pawl_store::{self as store, within};

use super::problem::Result;
use super::state::{AppState, step_name};
use super::types::Problem;

/// How long it is taken for granted what a pipeline begins with.
const FRESH: Duration = Duration::from_secs(1);

/// How long a submission waits to learn that. A database that is away is the submission's own trouble.
const PATIENCE: Duration = Duration::from_secs(1);

/// Pipelines and components kept in memory.
const KEPT: usize = 1_000;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By digest: they never change.
    components: Mutex<HashMap<Digest, Arc<Schemas>>>,
    /// By name, with the time at which to look again.
    pipelines: Mutex<HashMap<String, (Instant, Arc<First>)>>,
}

/// The steps that get a run's input, by name, and what they take. Those that take anything are left out.
type First = Vec<(String, Arc<Schemas>)>;

impl Known {
    /// Another version or component may be current now.
    pub(super) fn forget(&self) {
        lock(&self.pipelines).clear();
    }

    /// What a pipeline begins with, if that was looked up lately. Of those who find that it is time to look
    /// again, one is told so; the others go on with what there is.
    fn first(&self, pipeline: &str) -> Option<Arc<First>> {
        let mut pipelines = lock(&self.pipelines);
        let (until, first) = pipelines.get_mut(pipeline)?;
        let now = Instant::now();
        if *until <= now {
            *until = now + FRESH;
            return None;
        }
        Some(Arc::clone(first))
    }
}

impl AppState {
    /// Refuses a run whose input does not fit.
    pub(super) async fn check_input(&self, run: &NewRun) -> Result<()> {
        let first = match self.schemas.first(&run.pipeline) {
            Some(first) => first,
            None => match within(PATIENCE, self.look_up(&run.pipeline)).await {
                Ok(first) => first,
                Err(error) => {
                    tracing::debug!(error = error.chain(), "an input is not checked before the step's start");
                    return Ok(());
                }
            },
        };
        for (step, schemas) in first.iter() {
            let Some(schema) = &schemas.input else { continue };
            schema.check(&run.input).map_err(|misfit| {
                Problem::invalid_input(format!(
                    "the input does not fit what step `{step}` of pipeline `{}` takes: {misfit}",
                    run.pipeline
                ))
            })?;
        }
        Ok(())
    }

    async fn look_up(&self, pipeline: &str) -> store::Result<Arc<First>> {
        // Nobody's steps: the submission is told so, and the next one asks again.
        let Some(steps) = self.store.first_steps(&self.namespace, pipeline).await? else { return Ok(Arc::default()) };
        let version = self.store_pipeline(steps.pipeline).await?;
        let mut first = First::new();
        for (number, component) in steps.components {
            let schemas = self.schemas_of(component).await?;
            if schemas.input.is_some() {
                first.push((step_name(&version, number), schemas));
            }
        }
        let first = Arc::new(first);
        let mut pipelines = lock(&self.schemas.pipelines);
        if pipelines.len() >= KEPT {
            pipelines.clear();
        }
        pipelines.insert(pipeline.to_owned(), (Instant::now() + FRESH, Arc::clone(&first)));
        Ok(first)
    }

    /// The schemas of the plugins that a pipeline uses, as far as they have some.
    pub(super) async fn known_schemas(&self, pipeline: &Pipeline) -> store::Result<KnownSchemas> {
        let mut known = KnownSchemas::default();
        let used: BTreeSet<_> = pipeline.steps.iter().map(|step| (&step.plugin, &step.version)).collect();
        for (plugin, version) in used {
            let component = match self.store.component_of(&self.namespace, plugin, version.as_deref()).await {
                Ok(component) => component,
                // Not active any more: the submission is told so.
                Err(store::Error::NotFound(_)) => continue,
                Err(error) => return Err(error),
            };
            known.0.insert((plugin.clone(), version.clone()), self.schemas_of(component).await?);
        }
        Ok(known)
    }

    /// The schemas of a component. What can't be enforced is not: a push refuses it, unless it was before
    /// schemas were checked.
    pub(super) async fn schemas_of(&self, component: Digest) -> store::Result<Arc<Schemas>> {
        if let Some(known) = lock(&self.schemas.components).get(&component) {
            return Ok(Arc::clone(known));
        }
        let manifest = self.store.manifest(component).await?;
        let schemas = manifest.as_deref().map(Schemas::of_manifest).transpose();
        let schemas = Arc::new(schemas.ok().flatten().unwrap_or_default());
        let mut components = lock(&self.schemas.components);
        if components.len() >= KEPT {
            components.clear();
        }
        components.insert(component, Arc::clone(&schemas));
        Ok(schemas)
    }
}

//! Whether a run's input fits what its first steps take, asked before the run is accepted.
//!
//! What is [`Known`](super::known::Known) of a pipeline may be a second old, and a plugin may be activated between this
//! check and the commit that fixes the step's component: the worker checks again, on the component that it runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::Digest;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::pipeline_file::KnownSchemas;
use pawl_domain::schema::{Misfit, Schemas};
use pawl_store::submit::NewRun;
use pawl_store::{self as store, within};

use super::known::First;
use super::problem::Result;
use super::state::{AppState, step_name};
use super::types::Problem;

/// How long a submission waits to learn that. A database that is away is the submission's own trouble.
const PATIENCE: Duration = Duration::from_secs(1);

impl AppState {
    /// Refuses a run whose input does not fit.
    pub(super) async fn check_input(&self, run: &NewRun) -> Result<()> {
        let first = match self.schemas.first(&self.namespace, &run.pipeline) {
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
            let checked = match schema.check_in_passing(&run.input) {
                Some(checked) => checked,
                None => self.check_input_aside(schemas, &run.input).await?,
            };
            checked.map_err(|misfit| {
                Problem::invalid_input(format!(
                    "the input does not fit what step `{step}` of pipeline `{}` takes: {misfit}",
                    run.pipeline
                ))
            })?;
        }
        Ok(())
    }

    async fn check_input_aside(&self, schemas: &Arc<Schemas>, input: &[u8]) -> Result<std::result::Result<(), Misfit>> {
        let (schemas, input) = (Arc::clone(schemas), input.to_vec());
        self.check(move || schemas.input.as_ref().map_or(Ok(()), |schema| schema.check(&input))).await
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
        self.schemas.keep_first(&self.namespace, pipeline, &first);
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
        if let Some(known) = self.schemas.component(component) {
            return Ok(known);
        }
        let manifest = self.store.manifest(component).await?;
        let compiled = self.check(move || manifest.as_deref().map(Schemas::of_manifest).transpose());
        let Ok(schemas) = compiled.await else { return Err(store::Error::Silent) };
        let schemas = Arc::new(schemas.ok().flatten().unwrap_or_default());
        self.schemas.keep_component(component, &schemas);
        Ok(schemas)
    }
}

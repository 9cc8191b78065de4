//! Problems of what is named or sent: pipelines, plugins, components, inputs.

use std::time::Duration;

use pawl_domain::namespace::Namespace;

use super::{followed, kind};
use crate::types::{FileProblem, Problem};

impl Problem {
    pub(crate) fn no_namespace(namespace: &Namespace) -> Self {
        let detail = format!(
            "there is no namespace `{namespace}`: `pawl namespace list` shows all, `pawl namespace create {namespace}` makes it"
        );
        Self::new(&kind::NOT_FOUND, detail)
    }

    pub(crate) fn unknown_pipeline(detail: &str) -> Self {
        Self::new(&kind::UNKNOWN_PIPELINE, followed(detail, "`pawl pipeline list` shows all"))
    }

    /// The pipeline may be there in a moment, or its new version.
    pub(crate) fn being_built(pipeline: &str, is_there: bool) -> Self {
        let detail = match is_there {
            true => {
                format!("what has changed of pipeline `{pipeline}` is not active yet: `pawl dev` is still building")
            }
            false => format!("there is no pipeline `{pipeline}` yet: `pawl dev` is still building"),
        };
        Self::new(&kind::BEING_BUILT, detail)
    }

    pub(crate) fn unknown_plugin(detail: &str) -> Self {
        Self::new(&kind::UNKNOWN_PLUGIN, followed(detail, "`pawl plugin list` shows all"))
    }

    pub(crate) fn idempotency_conflict(key: &str) -> Self {
        let detail = format!(
            "the idempotency key {key:?} was used before with another pipeline or input: send what was sent then, or take a new key"
        );
        Self::new(&kind::IDEMPOTENCY_CONFLICT, detail)
    }

    pub(crate) fn version_exists(detail: impl Into<String>) -> Self {
        Self::new(&kind::VERSION_EXISTS, detail)
    }

    pub(crate) fn invalid_pipeline(problems: Vec<FileProblem>) -> Self {
        let detail = match problems.len() {
            1 => "there is a problem with the pipeline, and nothing was changed".to_owned(),
            count => format!("there are {count} problems with the pipeline, and nothing was changed"),
        };
        let problem = Self::new(&kind::INVALID_PIPELINE, detail);
        Self { problems, ..problem }
    }

    pub(crate) fn invalid_component(detail: impl Into<String>) -> Self {
        Self::new(&kind::INVALID_COMPONENT, detail)
    }

    pub(crate) fn not_replayed(why: &str) -> Self {
        let detail = format!("the step was not replayed: {why}; `pawl run replay` does it on your machine");
        Self::new(&kind::NOT_REPLAYED, detail)
    }

    pub(crate) fn untrusted(detail: String) -> Self {
        Self::new(&kind::UNTRUSTED_COMPONENT, detail)
    }

    pub(crate) fn invalid_input(detail: impl Into<String>) -> Self {
        Self::new(&kind::INVALID_INPUT, detail)
    }

    pub(crate) fn refused_by_workers(who: impl std::fmt::Display) -> Self {
        let detail = format!("the component is stored, and not active: {who}");
        Self::new(&kind::REFUSED_BY_WORKERS, detail)
    }

    pub(crate) fn workers_not_ready(who: &str, patience: Duration) -> Self {
        let detail = format!(
            "the component is stored, and not active: {who} did not say within {} s whether it can be loaded there; \
             activate it again, or stop what hangs",
            patience.as_secs()
        );
        Self::new(&kind::WORKERS_NOT_READY, detail)
    }
}

//! Pipelines: names that point to versions. A version never changes; runs keep the one they began with. A name belongs
//! to a namespace; a version is what it says, whoever names it.

use async_trait::async_trait;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::pipeline_file::closest;
use pawl_domain::retention::Retention;

use super::{Error, Result, verified};

/// A pipeline's current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRow {
    /// Unique in its namespace.
    pub name: String,
    /// The version.
    pub digest: Digest,
    /// How many steps it has.
    pub step_count: u32,
    /// When it became the current one.
    pub updated_at_ms: i64,
}

/// A version that a pipeline has, or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenure {
    /// The version.
    pub digest: Digest,
    /// How many steps it has.
    pub step_count: u32,
    /// When it became the current one.
    pub since_ms: i64,
}

/// How many versions that were current before a pipeline remembers.
pub(super) const REMEMBERED: i32 = 100;

/// Pipelines and their versions.
#[async_trait]
pub trait Pipelines {
    /// Makes `pipeline` the current version of its name, in one commit. Returns whether another one, or
    /// none, was current before.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a step's plugin is gone.
    async fn apply_pipeline(&self, namespace: &Namespace, pipeline: &Pipeline) -> Result<bool>;

    /// All pipelines of a namespace, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn pipelines(&self, namespace: &Namespace) -> Result<Vec<PipelineRow>>;

    /// A pipeline's current version.
    ///
    /// # Errors
    /// [`Error::NotFound`] with a guess at what was meant; [`Error::Damaged`].
    async fn pipeline(&self, namespace: &Namespace, name: &str) -> Result<(PipelineRow, Pipeline)>;

    /// The versions of a pipeline that were current in its namespace, the one that is so now first: a hundred, and those that
    /// are still there. One may have been so more than once.
    ///
    /// # Errors
    /// [`Error::NotFound`] with a guess at what was meant.
    async fn tenures(&self, namespace: &Namespace, name: &str) -> Result<Vec<Tenure>>;

    /// The queues that the current versions of all namespaces' pipelines name, by name: queues are everybody's.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn named_queues(&self) -> Result<Vec<String>>;

    /// What to tell somebody who named a pipeline that is not there.
    async fn unknown_pipeline(&self, namespace: &Namespace, name: &str) -> Error;

    /// A version of a pipeline, current or not.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Damaged`].
    async fn pipeline_version(&self, digest: Digest) -> Result<Pipeline>;
}

/// Since when a version was current, and which, as `MS DIGEST`.
pub(super) fn earlier_of(text: &str) -> Option<(i64, Digest)> {
    let (since_ms, digest) = text.split_once(' ')?;
    Some((since_ms.parse().ok()?, digest.parse().ok()?))
}

pub(super) fn no_pipeline(name: &str, known: &[String]) -> Error {
    let meant = closest(name, known.iter().map(String::as_str));
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    Error::NotFound(format!("there is no pipeline `{name}`{meant}"))
}

/// `known` are the plugins of `pipeline` that there are.
pub(super) fn check_plugins(pipeline: &Pipeline, known: &[String]) -> Result<()> {
    match pipeline.steps.iter().find(|step| !known.contains(&step.plugin)) {
        Some(step) => {
            Err(Error::Conflict(format!("step `{}` needs the plugin `{}`, which is gone", step.name, step.plugin)))
        }
        None => Ok(()),
    }
}

/// What a version says of retention, as stores keep it beside its canonical form; none if it says nothing.
pub(super) fn retention_text(retention: &Retention) -> Option<String> {
    (!retention.is_default()).then(|| serde_json::json!(retention).to_string())
}

/// A version from its canonical form.
pub(super) fn pipeline_of(digest: Digest, spec: Vec<u8>) -> Result<Pipeline> {
    let what = || format!("pipeline version {digest}");
    serde_json::from_slice(&verified(spec, digest, what)?).map_err(|_| Error::Damaged(what()))
}

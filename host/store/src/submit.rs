//! Submissions: what somebody wants, and what became of it.

use pawl_domain::id::{Digest, RunId};
use pawl_domain::namespace::Namespace;
use pawl_domain::trace::TraceContext;

use super::sealing::WrappedKey;

/// A run that somebody wants.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// New, or derived from the idempotency key.
    pub id: RunId,
    /// Whose it is: its pipeline, its plugins and its key are those of this namespace.
    pub namespace: Namespace,
    /// By name; the version is the current one at the commit.
    pub pipeline: String,
    /// JSON bytes, or the same sealed.
    pub input: Vec<u8>,
    /// The key, if the client gave one.
    pub idempotency_key: Option<String>,
    /// The trace that it is submitted in, if there is one. It is kept with the run, and no part of what is asked for.
    pub trace: Option<TraceContext>,
    /// The key that its payloads are sealed with; `None`: they are in the clear.
    pub sealed: Option<WrappedKey>,
}

impl NewRun {
    /// A run with an id of its own, or the one that its key stands for.
    #[must_use]
    pub fn new(namespace: Namespace, pipeline: String, input: Vec<u8>, idempotency_key: Option<String>) -> Self {
        let of_key = |key: &str| RunId::from_idempotency_key(&namespace, key);
        let id = idempotency_key.as_deref().map_or_else(RunId::new, of_key);
        Self { id, namespace, pipeline, input, idempotency_key, trace: None, sealed: None }
    }

    /// The same, submitted in a trace.
    #[must_use]
    pub fn in_trace(self, trace: Option<TraceContext>) -> Self {
        Self { trace, ..self }
    }

    /// Two submissions with one key are the same if this is. Of a sealed input it is another one each time, and says nothing of the
    /// input: whoever can open both compares them.
    pub(super) fn request_digest(&self) -> Digest {
        Digest::of_request(&self.pipeline, &self.input)
    }

    /// The input, if a message may carry it: sealed, it would be of no use without the run's key.
    pub(super) fn told_input(&self) -> Option<&[u8]> {
        self.sealed.is_none().then_some(&self.input)
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

//! The record of changes: who asked for what, from where, and what came of it. Written before a change is made, so that none is
//! without its line, and completed when it is answered; a change that can't be recorded is not made. What has changed nothing,
//! since all was so already, is no change: its line is taken back. `GET /v1/audit` tells the record.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use pawl_base::lock;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_store::audit::{Asked, AuditRow};

use super::access::Caller;
use super::problem::Result;
use super::state::AppState;
use super::types::{Change, NAMESPACE};
use super::wanted::Wants;
pub(super) use listed::list;
pub use listed::recorded_operations;

mod listed;

/// Characters of a path and query, and of a subject, that are kept.
const KEPT: usize = 500;

/// What a request is about, if its body says that and its path does not.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject(Arc<Mutex<Option<String>>>);

impl Subject {
    pub(super) fn is(&self, what: impl Into<String>) {
        *lock(&self.0) = Some(what.into());
    }

    fn taken(&self) -> Option<String> {
        lock(&self.0).take().map(cut)
    }
}

/// Part of an answer: what was asked for was so before, or nothing was meant to change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unchanged;

/// An answer that says whether anything has changed.
pub(super) type Noted<T> = (Option<Extension<Unchanged>>, Json<T>);

/// Makes one.
pub(super) fn noted<T>(changed: bool, answer: T) -> Noted<T> {
    ((!changed).then_some(Extension(Unchanged)), Json(answer))
}

/// Records a request that changes something, and what came of it.
pub(super) async fn record(State(state): State<AppState>, mut request: Request, next: Next) -> Result<Response> {
    let subject = Subject::default();
    request.extensions_mut().insert(subject.clone());
    let extensions = request.extensions();
    let what = extensions.get::<Wants>().and_then(|wants| wants.recorded);
    let caller = extensions.get::<Caller>().cloned();
    let (Some(what), Some(caller)) = (what, caller) else { return Ok(next.run(request).await) };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let asked = Asked {
        who: caller.who(),
        source: caller.source.to_canonical().to_string(),
        what: what.to_owned(),
        target: cut(target.to_owned()),
        run: run_in(request.uri().path()),
        namespace: caller.namespace.or_else(|| about(&request)),
    };
    let id = state.store.ask(&asked).await?;
    let response = next.run(request).await;
    let (status, subject) = (response.status().as_u16(), subject.taken());
    let written = match response.extensions().get::<Unchanged>() {
        Some(Unchanged) => state.store.take_back(id).await,
        None => state.store.answered(id, status, subject.as_deref()).await,
    };
    // Without it, the line stays as one whose end is not known.
    if let Err(error) = written {
        tracing::warn!(error = error.chain(), "what came of change {id} is not recorded");
    }
    Ok(response)
}

/// The namespace that a request with a token of all is about; none: all of them.
fn about(request: &Request) -> Option<Namespace> {
    let extensions = request.extensions();
    let wants = extensions.get::<Wants>()?;
    let is_about_all = wants.of_all || wants.everywhere && !request.headers().contains_key(NAMESPACE);
    extensions.get::<Namespace>().filter(|_| !is_about_all).cloned()
}

/// The run that a path is about.
fn run_in(path: &str) -> Option<RunId> {
    path.strip_prefix("/v1/runs/")?.split('/').next()?.parse().ok()
}

fn cut(text: String) -> String {
    match text.char_indices().nth(KEPT) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

impl From<AuditRow> for Change {
    fn from(AuditRow { id, at_ms, asked, subject, status }: AuditRow) -> Self {
        let Asked { who, source, what, target, run, namespace } = asked;
        Self { id, at_ms, who, source, what, target, subject, run, namespace, status }
    }
}

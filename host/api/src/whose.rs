//! Whose things a request is about: the one place where a request gets its namespace, before any handler sees it.
//!
//! ```text
//!  token of one namespace ─▶ that one; another named in the header: 403
//!  token of all            ─▶ the one named in the header, which must be there; else, of a run, its own; else `default`
//!  a run in the path       ─▶ it must be of that namespace; else the answer is as if it were not there
//!  what is about the whole installation ─▶ wants a token of all
//! ```
//!
//! What is refused here is told so behind the record of changes, which keeps what was refused.
//!
//! Handlers take [`Scoped`], whose state is that of the namespace: what they look up by name is its own.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use pawl_base::lock;
use pawl_dispatch::whose;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_store as store;

use super::access::Caller;
use super::problem::Result;
use super::state::AppState;
use super::types::{NAMESPACE, Problem};
use super::wanted::Wants;

/// How long it is taken for granted that a namespace is there.
const FRESH: Duration = Duration::from_secs(1);

/// How long the store has to say so.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of runs and namespaces, shared by all requests; bounded.
#[derive(Debug, Default)]
pub(super) struct Whose {
    runs: whose::Whose,
    there: Mutex<HashMap<Namespace, Instant>>,
}

/// The state of the request's namespace.
pub(super) struct Scoped(pub(super) AppState);

impl FromRequestParts<AppState> for Scoped {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let namespace = parts.extensions.get::<Namespace>().cloned();
        // That of `default` would do for a route that is behind no check, and be wrong.
        let namespace =
            namespace.ok_or_else(|| Problem::internal(&io::Error::other("a request without a namespace")))?;
        Ok(Self(state.of(namespace)))
    }
}

/// Why a request is about nothing that its caller may ask for.
#[derive(Debug, Clone)]
struct Refused(Problem);

/// Finds a request's namespace, or why it has none.
pub(super) async fn find(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (run, mut request) = run_in(request).await;
    let named = named(request.headers());
    let extensions = request.extensions();
    let (caller, wants) = (extensions.get::<Caller>(), extensions.get::<Wants>());
    let (Some(caller), Some(wants)) = (caller, wants) else { return next.run(request).await };
    match namespace_of(&state, caller, wants, named, run).await {
        Ok(namespace) => drop(request.extensions_mut().insert(namespace)),
        Err(problem) => drop(request.extensions_mut().insert(Refused(problem))),
    }
    next.run(request).await
}

/// Refuses a request for which none was found.
pub(super) async fn refuse(mut request: Request, next: Next) -> Result<Response> {
    match request.extensions_mut().remove::<Refused>() {
        Some(Refused(problem)) => Err(problem),
        None => Ok(next.run(request).await),
    }
}

async fn namespace_of(
    state: &AppState,
    caller: &Caller,
    wants: &Wants,
    named: Result<Option<Namespace>>,
    run: Option<RunId>,
) -> Result<Namespace> {
    if let (true, Some(own)) = (wants.of_all, &caller.namespace) {
        return Err(Problem::of_all(caller.name.as_deref(), own));
    }
    let meant = meant(state, caller, named?).await?;
    match run {
        Some(run) => of_run(state, run, meant).await,
        None => Ok(meant.unwrap_or_default()),
    }
}

/// The namespace that a caller means who names this one, or none: its own, or one that is there.
pub(super) async fn meant(state: &AppState, caller: &Caller, named: Option<Namespace>) -> Result<Option<Namespace>> {
    match (&caller.namespace, named) {
        (Some(own), Some(named)) if named != *own => {
            Err(Problem::elsewhere(caller.name.as_deref().unwrap_or_default(), own))
        }
        (Some(own), _) => {
            if caller.is_of_provider {
                must_be_there(state, own).await?;
            }
            Ok(Some(own.clone()))
        }
        (None, Some(named)) => {
            must_be_there(state, &named).await?;
            Ok(Some(named))
        }
        (None, None) => Ok(None),
    }
}

/// The run in its path, as the router has read it: whatever escapes it is written with. What is no run's id is the handler's to
/// refuse.
async fn run_in(request: Request) -> (Option<RunId>, Request) {
    let (mut parts, body) = request.into_parts();
    let params = RawPathParams::from_request_parts(&mut parts, &()).await.ok();
    let run = params.and_then(|params| params.iter().find(|(name, _)| *name == "run").map(|(_, run)| run.to_owned()));
    (run.and_then(|run| run.parse().ok()), Request::from_parts(parts, body))
}

/// The namespace that the header names.
pub(super) fn named(headers: &HeaderMap) -> Result<Option<Namespace>> {
    let Some(value) = headers.get(NAMESPACE) else { return Ok(None) };
    let named = value.to_str().ok().and_then(|name| name.trim().parse().ok());
    named.map(Some).ok_or_else(|| {
        Problem::bad_request(format!("the header `{NAMESPACE}` names no namespace: its value is a name, like `team-a`"))
    })
}

/// The namespace of a run, if it is the one that is meant. Whoever means another one learns nothing of it.
async fn of_run(state: &AppState, run: RunId, meant: Option<Namespace>) -> Result<Namespace> {
    let found = store::within(PATIENCE, state.whose.runs.ask(&*state.store, run)).await?;
    match meant {
        Some(meant) if meant != found => Err(Problem::not_found(format!("there is no run {run}"))),
        _ => Ok(found),
    }
}

/// A name that nobody has given a namespace is a mistake.
pub(super) async fn must_be_there(state: &AppState, namespace: &Namespace) -> Result<()> {
    if *namespace == Namespace::default() {
        return Ok(());
    }
    let is_fresh = |looked_at: &Instant| looked_at.elapsed() < FRESH;
    if lock(&state.whose.there).get(namespace).is_some_and(is_fresh) {
        return Ok(());
    }
    let looked_at = Instant::now();
    let all = store::within(PATIENCE, state.store.namespaces()).await?;
    let mut there = lock(&state.whose.there);
    *there = all.into_iter().map(|row| (row.name, looked_at)).collect();
    match there.contains_key(namespace) {
        true => Ok(()),
        false => Err(Problem::no_namespace(namespace)),
    }
}

impl AppState {
    /// Refuses a run of another namespace, as if it were not there, where a body or a query names it.
    pub(super) async fn must_be_own(&self, run: RunId) -> Result<()> {
        of_run(self, run, Some(self.namespace.clone())).await.map(drop)
    }
}

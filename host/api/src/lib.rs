//! The HTTP API: what `pawl api` serves and every client uses. It reads and submits; it never executes a
//! step. `docs/http.md` is its reference, [`types`] its vocabulary, `routes` the table that all of it is made of.
//!
//! ```text
//!  request ─▶ doors ─▶ host, origin? ─▶ token, role? ─▶ whose? ─▶ handler ─▶ store ─▶ answer, or one problem that names the fix
//!                                                                   │
//!            submissions ───────────────────────────────────────────┤  gathered into commits
//!            watch ─────────────────────────────────────────────────┘  waiting, shared
//! ```

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderName, Method};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;

use pawl_domain::access::Role;
use problem::Result;
use types::{NAMESPACE, Problem};

mod access;
mod activation;
mod aside;
mod browsers;
mod circuits;
pub mod client;
mod component;
mod dead_letters;
mod demand;
mod doctor;
mod doors;
mod events;
mod explain;
mod failures;
mod health;
mod home;
mod inbox;
mod incidents;
mod inside;
mod journal;
mod known;
mod listed;
mod logs;
mod lookout;
mod metrics;
mod namespaces;
pub mod oidc;
pub mod openapi;
mod operations;
mod parked;
mod pauses;
mod pipelines;
mod plugins;
mod problem;
mod quotas;
mod recorded;
mod recoveries;
mod remarks;
pub mod replay;
mod report;
mod request;
mod retention;
mod route;
mod routes;
mod runs;
mod sample;
mod schemas;
mod sealing;
mod secrets;
mod server;
pub mod session;
mod signals;
mod slow;
mod state;
mod submit;
mod tls;
mod tokens;
mod traced;
pub mod trusted;
pub mod types;
mod unmigrated;
mod unread;
mod verbs;
mod waits;
mod wanted;
pub mod watch;
mod while_allowed;
mod whose;
mod worker;

pub use home::{Building, Home, Unbuilt};
pub use inside::{Behalf, Front, Inside};
pub use metrics::{MetricsConfig, serve_metrics};
pub use recorded::recorded_operations;
pub use server::{Config, ServeError, listen, serve, serve_at_home};

pub use tls::{Tls, TlsFiles};
pub use tokens::new_token;

use state::AppState;
use while_allowed::Pass;

/// All routes, each behind what it wants; and what answers beside them.
fn router(state: AppState, front: Option<&Front>) -> Router {
    let all = routes::all().into_iter().flat_map(|(_, routes)| routes);
    let (open, closed): (Vec<_>, Vec<_>) = all.partition(|route| route.role().is_none());
    let added = |routes: Vec<route::Route>| routes.into_iter().fold(Router::new(), |all, route| route.added_to(all));
    let closed = added(closed)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn(whose::refuse))
        .layer(from_fn_with_state(state.clone(), recorded::record))
        .layer(from_fn_with_state(state.clone(), whose::find))
        .layer(from_fn_with_state(state.clone(), unmigrated::refuse))
        .layer(from_fn_with_state(state.clone(), check_access))
        .layer(from_fn(traced::trace));
    let api = added(open).method_not_allowed_fallback(no_method).merge(closed).with_state(state.clone());
    let all = match front {
        Some(front) => front.routes(Inside::new(state.clone(), api.clone())).merge(api),
        None => api,
    };
    all.layer(from_fn_with_state(state.clone(), home::check_folder))
        .layer(from_fn_with_state(state.hosts.clone(), browsers::guard))
        .layer(from_fn(unread::read_rest))
}

/// Lets a request pass that may, and tells those within whose it is.
async fn check_access(State(state): State<AppState>, mut request: Request, next: Next) -> Result<Response> {
    let wants = state.wanted.by(&request);
    let source = state.access.source_of(request.extensions(), request.headers());
    // What changes something goes by way of a page, which has seen to it that it is its own.
    if session::is_read(request.method()) {
        session::let_count(&Method::GET, request.headers_mut());
    }
    // A closed route wants a role, whatever the table says.
    let wanted = wants.role.unwrap_or(Role::Admin);
    let caller = state.access.check(wanted, request.headers(), source).await?;
    let shown = [AUTHORIZATION, HeaderName::from_static(NAMESPACE)];
    let shown = shown.into_iter().filter_map(|name| Some((name.clone(), request.headers().get(&name)?.clone())));
    let shown = shown.collect();
    let pass = Pass { access: state.access.clone(), wanted, shown, source };
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(wants);
    Ok(pass.held_to(next.run(request).await))
}

async fn no_route(request: Request) -> Problem {
    Problem::not_found(format!("there is no route {}; `/openapi.json` lists them", request.uri().path()))
}

async fn no_method(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::method_not_allowed(format!("{path} has no method {method}; `/openapi.json` lists those that it has"))
}

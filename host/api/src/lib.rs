//! The HTTP API: what `pawl api` serves and every client uses. It reads and submits; it never executes a
//! step. `docs/http.md` is its reference, [`types`] its vocabulary, `routes` the table that all of it is made of.
//!
//! ```text
//!  request ─▶ doors ─▶ token? ─▶ route ─▶ handler ─▶ store ─▶ answer, or one problem that names the fix
//!                                   │
//!            submissions ───────────┤  gathered into commits
//!            watch ─────────────────┘  waiting, shared
//! ```

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use problem::Result;
use types::Problem;

mod activation;
mod aside;
pub mod client;
mod component;
mod dead_letters;
mod demand;
mod doors;
mod events;
mod explain;
mod health;
mod home;
mod inbox;
mod journal;
mod known;
mod logs;
mod metrics;
pub mod openapi;
mod operations;
mod parked;
mod pipelines;
mod plugins;
mod problem;
mod recoveries;
mod remarks;
mod report;
mod request;
mod retention;
mod route;
mod routes;
mod runs;
mod schemas;
mod server;
mod signals;
mod slow;
mod state;
pub mod types;
mod verbs;
pub mod watch;

pub use home::{Building, Home, Unbuilt};
pub use metrics::serve_metrics;
pub use server::{Config, ServeError, listen, serve, serve_at_home};

use state::AppState;

/// All routes. Those that want no token tell nothing of what is installed here.
fn router(state: AppState) -> Router {
    let (mut open, mut behind_token) = (Router::new(), Router::new());
    for route in routes::all().into_iter().flat_map(|(_, routes)| routes) {
        match route.is_open {
            true => open = route.added_to(open),
            false => behind_token = route.added_to(behind_token),
        }
    }
    let behind_token = behind_token
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(state.clone(), check_token));
    open.method_not_allowed_fallback(no_method)
        .merge(behind_token)
        .layer(from_fn_with_state(state.clone(), home::check_folder))
        .with_state(state)
}

async fn no_route(request: Request) -> Problem {
    Problem::not_found(format!("there is no route {}; `/openapi.json` lists them", request.uri().path()))
}

async fn no_method(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::method_not_allowed(format!("{path} has no method {method}; `/openapi.json` lists those that it has"))
}

/// Lets a request pass that carries the token, if there is one. Compared as digests, which takes the same
/// time wherever they differ.
async fn check_token(
    axum::extract::State(state): axum::extract::State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response> {
    may_pass(state.token_hash, request.headers())?;
    Ok(next.run(request).await)
}

fn may_pass(wanted: Option<blake3::Hash>, headers: &HeaderMap) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        None => Err(Problem::no_token()),
        Some((_, token)) if blake3::hash(token.trim().as_bytes()) != wanted => Err(Problem::wrong_token()),
        Some(_) => Ok(()),
    }
}

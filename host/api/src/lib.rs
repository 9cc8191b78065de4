//! The HTTP API: what `pawl api` serves and every client uses. It reads and submits; it never executes a
//! step. `docs/http.md` is its reference, [`types`] its vocabulary.
//!
//! ```text
//!  request ─▶ doors ─▶ token? ─▶ route ─▶ handler ─▶ store ─▶ answer, or one problem that names the fix
//!                                   │
//!            submissions ───────────┤  gathered into commits
//!            watch ─────────────────┘  waiting, shared
//! ```

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};

use problem::Result;
use types::Problem;

mod activation;
mod aside;
pub mod client;
mod component;
mod doors;
mod events;
mod explain;
mod home;
mod inbox;
mod journal;
mod known;
mod operations;
mod parked;
mod pipelines;
mod plugins;
mod problem;
mod request;
mod runs;
mod schemas;
mod server;
mod signals;
mod slow;
mod state;
pub mod types;
pub mod watch;

pub use home::{Building, Home};
pub use server::{Config, ServeError, listen, serve, serve_at_home};

use state::AppState;

/// All routes.
fn router(state: AppState) -> Router {
    let routes = Router::new()
        .route("/v1/runs", post(runs::submit).get(runs::list))
        .route("/v1/runs/{run}", get(runs::show))
        .route("/v1/runs/{run}/output", get(runs::output))
        .route("/v1/runs/{run}/events", get(events::events))
        .route("/v1/runs/{run}/explain", get(runs::why))
        .route("/v1/runs/{run}/cancel", post(runs::cancel))
        .route("/v1/runs/{run}/fail", post(runs::fail))
        .route("/v1/runs/{run}/retry", post(runs::retry))
        .route("/v1/runs/{run}/signals/{name}", post(signals::send))
        .route("/v1/runs/{run}/inbox", get(inbox::list))
        .route("/v1/runs/{run}/inbox/{number}", get(inbox::show).put(inbox::replace).delete(inbox::remove))
        .route("/v1/runs/{run}/inbox/{number}/return", post(inbox::give_back))
        .route("/v1/runs/{run}/steps/{step}", get(runs::show_step))
        .route("/v1/runs/{run}/steps/{step}/retry", post(runs::retry_step))
        .route("/v1/runs/{run}/steps/{step}/resume", post(runs::resume_step))
        .route("/v1/runs/{run}/steps/{step}/journal", get(journal::show))
        .route("/v1/components/{digest}", get(journal::component))
        .route("/v1/plugins", post(plugins::push_as_described).get(plugins::list))
        .route("/v1/plugins/{plugin}/versions/{version}", post(plugins::push))
        .route("/v1/plugins/{plugin}/activate", post(plugins::activate))
        .route("/v1/plugins/{plugin}/rollback", post(plugins::rollback))
        .route("/v1/pipelines", post(pipelines::apply).get(pipelines::list))
        .route("/v1/pipelines/{pipeline}", get(pipelines::show))
        .route("/v1/workers", get(operations::workers))
        .route("/v1/queues", get(operations::queues))
        .route("/admin/requeue_processing", post(operations::requeue_processing))
        .route("/admin/requeue_stale", post(operations::requeue_stale))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(state.clone(), check_token));
    Router::new()
        .route("/health", get(operations::health))
        .route("/ready", get(operations::ready))
        .merge(routes)
        .layer(from_fn_with_state(state.clone(), home::check_folder))
        .with_state(state)
}

async fn no_route(request: Request) -> Problem {
    Problem::not_found(format!("there is no route {}; docs/http.md lists them", request.uri().path()))
}

async fn no_method(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::method_not_allowed(format!("{path} has no method {method}; docs/http.md lists those that it has"))
}

/// Lets a request pass that carries the token, if there is one. Compared as digests, which takes the same
/// time wherever they differ.
async fn check_token(
    axum::extract::State(state): axum::extract::State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response> {
    if let Some(wanted) = state.token_hash {
        let given = request.headers().get(axum::http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match token {
            None => return Err(Problem::no_token()),
            Some((_, token)) if blake3::hash(token.trim().as_bytes()) != wanted => return Err(Problem::wrong_token()),
            Some(_) => {}
        }
    }
    Ok(next.run(request).await)
}

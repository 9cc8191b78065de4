//! Signs of life: `/health` and `/ready`, for those who start processes, restart them and send them requests. Open to all, and
//! so they tell nothing of what is installed here.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::state::AppState;
use super::types::{Health, Readiness};

/// How long `/ready` waits for each of the ports.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process answers.
pub(super) async fn show() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Store and queue can be worked with. The schema may be a newer one, as long as that says that it works with this build.
pub(super) async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let (store, ping) = tokio::join!(
        not_ready(state.store.name(), async {
            state.store.check_schema().await?;
            state.store.check_writes().await
        }),
        not_ready(state.queue.name(), state.queue.ping()),
    );
    answer([store, ping].into_iter().flatten().collect())
}

/// The answer to who asks whether a role is ready.
pub(super) fn answer(reasons: Vec<String>) -> (StatusCode, Json<Readiness>) {
    let (code, status) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (code, Json(Readiness { status: status.to_owned(), reasons }))
}

/// Why a port is not ready, if it is not. Anybody may ask, so what a server said of itself stays in the log.
pub(super) async fn not_ready<E>(port: &str, check: impl Future<Output = Result<(), E>>) -> Option<String>
where
    E: std::error::Error + 'static,
{
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::debug!(error = pawl_base::chain(&error), "not ready");
            Some(error.to_string())
        }
        Err(_) => Some(format!("{port} is not available")),
    }
}

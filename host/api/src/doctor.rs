//! The checklist after an incident over HTTP: what the store knows, by the same code as `pawl doctor`, and whether the queue takes
//! deliveries. The command looks at more (servers, disks, certificates, invariants), and works while no API does.

use std::time::Duration;

use axum::Json;
use pawl_dispatch::doctor::{self, Look, bounded};

use super::problem::Result;
use super::state::AppState;
use super::types::{Check, CheckStatus, Findings};
use super::whose::Scoped;

/// How long each check may take: all of them do at the same time.
const LIMIT: Duration = Duration::from_secs(5);

/// What is new is so within this time.
const SINCE: Duration = Duration::from_secs(3_600);

pub(super) async fn show(Scoped(state): Scoped) -> Result<Json<Findings>> {
    let look = Look { limit: LIMIT, since: SINCE };
    let (schema, found, deliveries) =
        tokio::join!(schema(&state), doctor::look(&*state.store, look), deliveries(&state));
    let checks = [schema, found.database, found.others, deliveries].concat();
    let status = doctor::worst(&checks).into();
    Ok(Json(Findings { status, checks: checks.into_iter().map(Check::from).collect() }))
}

async fn schema(state: &AppState) -> Vec<doctor::Check> {
    bounded("schema", LIMIT, async { Ok(vec![doctor::schema(state.store.check_schema().await)]) }).await
}

async fn deliveries(state: &AppState) -> Vec<doctor::Check> {
    let check = async {
        let name = state.queue.name();
        Ok(vec![match state.queue.ping().await {
            Ok(()) => doctor::Check::ok("deliveries", format!("{name} takes them")),
            Err(error) => doctor::Check::fail(
                "deliveries",
                error.chain(),
                format!(
                    "bring {name} back: runs are accepted and wait, nothing is lost, and what was not delivered is found in seconds"
                ),
            ),
        }])
    };
    bounded("deliveries", LIMIT, check).await
}

impl From<doctor::Check> for Check {
    fn from(found: doctor::Check) -> Self {
        let doctor::Check { check, subject, status, found, fix, figures } = found;
        let figures = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { check: check.to_owned(), subject, status: status.into(), found, fix, figures }
    }
}

impl From<doctor::Status> for CheckStatus {
    fn from(status: doctor::Status) -> Self {
        match status {
            doctor::Status::Ok => Self::Ok,
            doctor::Status::Unknown => Self::Unknown,
            doctor::Status::Warn => Self::Warn,
            doctor::Status::Fail => Self::Fail,
        }
    }
}

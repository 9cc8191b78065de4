//! The checklist after an incident, as far as the store knows it: for `pawl doctor`, which adds what only a command sees, and for
//! the API. Each family of checks has a file, in which what was found is judged without asking anybody; here the store is asked
//! for it, all at the same time, each within its own bound. It changes nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use pawl_domain::namespace::Namespace;
use pawl_store::doctor::Troubles;
use pawl_store::incidents::{IncidentFilter, MOST_INCIDENTS};
use pawl_store::{self as store, Store};
use tokio::sync::OnceCell;

use super::recovery::THRESHOLD;
use super::retention;
use workers::Known;

mod check;
mod database;
mod incidents;
mod paused;
mod queues;
mod runs;
mod workers;

pub use check::{Check, Failure, Status, bounded, worst};
pub use database::schema;

/// Gone workers, and runs that nobody moves, that are counted.
const COUNTED: u32 = 50;

/// How it is looked.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How long each check may take.
    pub limit: Duration,
    /// What is new: workers lost, steps parked, runs failed within this time are counted.
    pub since: Duration,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// How the database itself is.
    pub database: Vec<Check>,
    /// All else.
    pub others: Vec<Check>,
    /// Queues with ready steps and without a live worker.
    pub unserved: Vec<String>,
}

/// Asks the store for all that it knows.
pub async fn look(store: &dyn Store, look: Look) -> Found {
    let Look { limit, since } = look;
    let since_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let mut unserved = Vec::new();
    // By whoever comes first: it is one question, and all are judged by one time.
    let asked = OnceCell::new();
    let ask = || asked.get_or_try_init(|| store.condition());
    let named = OnceCell::new();
    let all = || named.get_or_try_init(|| names(store));
    let (database, workers, queues, circuits, incidents, stuck, troubles, retention) = tokio::join!(
        bounded("database", limit, async { Ok(database::condition(ask().await?)) }),
        bounded("workers", limit, async {
            let (workers, gone) = (store.workers().await?, store.gone_workers(COUNTED).await?);
            let now_ms = ask().await?.now_ms;
            Ok(workers::judge(&Known { workers: &workers, gone: &gone, since_ms, now_ms }))
        }),
        bounded("queues", limit, async {
            let (backlog, workers) = (store.backlog().await?, store.workers().await?);
            unserved = store.unserved_queues().await?;
            let mut checks = queues::judge(&backlog.oldest_ready_ms, &unserved, &workers);
            let is_any = backlog.paused.pipelines + backlog.paused.queues > 0;
            let shelves = if is_any { store.shelves().await? } else { Vec::new() };
            let now_ms = if is_any { ask().await?.now_ms } else { 0 };
            checks.push(paused::judge(backlog.paused, &shelves, now_ms));
            Ok(checks)
        }),
        bounded("circuits", limit, async {
            let mut found = Vec::new();
            for namespace in all().await? {
                found.extend(store.circuits(namespace).await?);
            }
            Ok(runs::circuits(found, ask().await?.now_ms).into())
        }),
        bounded("incidents", limit, async {
            // Those of the whole installation are told to each.
            let mut found = BTreeMap::new();
            for namespace in all().await? {
                let within = Some(incidents::DAY);
                let filter = IncidentFilter { namespace, kind: None, within, before: None, limit: MOST_INCIDENTS };
                found.extend(store.incidents(filter).await?.into_iter().map(|row| (Reverse(row.id), row)));
            }
            Ok(vec![incidents::judge(&found.into_values().collect::<Vec<_>>(), ask().await?.now_ms)])
        }),
        bounded("stuck", limit, async {
            let mut found = Vec::new();
            for namespace in all().await? {
                found.extend(store.interrupted(namespace, THRESHOLD, COUNTED).await?);
            }
            Ok(vec![runs::interrupted(&found, ask().await?.now_ms)])
        }),
        bounded("parked", limit, async {
            let mut found = Troubles::default();
            for namespace in all().await? {
                found += store.troubles(namespace, since).await?;
            }
            Ok(runs::troubles(&found, since_ms).to_vec())
        }),
        bounded("retention", limit, async { Ok(vec![runs::retention(retention::standing(store).await?.as_ref())]) }),
    );
    let others = [workers, queues, circuits, incidents, stuck, troubles, retention].concat();
    Found { database, others, unserved }
}

async fn names(store: &dyn Store) -> store::Result<Vec<Namespace>> {
    Ok(store.namespaces().await?.into_iter().map(|row| row.name).collect())
}

//! Quotas as the API keeps them: what a namespace may take is asked for once a second while it submits, and its runs that have not
//! ended are counted then, up to the quota. A namespace without one costs a row by its key a second.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Extension;
use axum::http::HeaderMap;
use pawl_base::lock;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_domain::quota::{Over, Quota, Tally};
use pawl_store as store;

use super::problem::Result;
use super::recorded::{Noted, Subject, noted};
use super::request::{Path, read_json};
use super::state::AppState;
use super::types::{NamespaceQuota, Problem, QuotaSet};
use super::whose::{Scoped, must_be_there};

/// How long an answer of the store is good for; and how long while as many runs are there as may be, since some end.
const FRESH: Duration = Duration::from_secs(1);
const FULL: Duration = Duration::from_millis(50);

/// How long a submission waits for that. A store that is away is the submission's own trouble.
const PATIENCE: Duration = Duration::from_secs(1);

/// Namespaces that are kept.
const KEPT: usize = 1_000;

/// The largest that a store keeps.
const LARGEST: u32 = i32::MAX.unsigned_abs();

/// A request to set one.
const REQUEST_BYTES: usize = 4 << 10;

/// What is known of namespaces that submit; bounded.
#[derive(Debug, Default)]
pub(super) struct Quotas(Mutex<HashMap<Namespace, Kept>>);

#[derive(Debug)]
struct Kept {
    tally: Tally,
    asked_at: Instant,
}

impl Quotas {
    /// Whether it is time to ask. Of those who find so, one is told; the others go on with what there is.
    fn is_due(&self, namespace: &Namespace, now: Instant, after: Duration) -> bool {
        let mut kept = lock(&self.0);
        if let Some(known) = kept.get_mut(namespace) {
            let is_due = now.saturating_duration_since(known.asked_at) >= after;
            if is_due {
                known.asked_at = now;
            }
            return is_due;
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(namespace.clone(), Kept { tally: Tally::new(now), asked_at: now });
        true
    }

    fn learn(&self, namespace: &Namespace, (quota, in_flight): (Quota, u32)) {
        if let Some(known) = lock(&self.0).get_mut(namespace) {
            known.tally.learn(quota, in_flight, Instant::now());
        }
    }

    fn take(&self, namespace: &Namespace) -> std::result::Result<(), Over> {
        lock(&self.0).get_mut(namespace).map_or(Ok(()), |known| known.tally.take(Instant::now()))
    }
}

impl AppState {
    /// Lets one more run of the namespace in, if its quotas do.
    pub(super) async fn has_room(&self) -> std::result::Result<(), Over> {
        if self.quotas.is_due(&self.namespace, Instant::now(), FRESH) {
            self.learn_quota().await;
        }
        match self.quotas.take(&self.namespace) {
            Err(Over::Runs(_)) if self.quotas.is_due(&self.namespace, Instant::now(), FULL) => {
                self.learn_quota().await;
                self.quotas.take(&self.namespace)
            }
            taken => taken,
        }
    }

    async fn learn_quota(&self) {
        let asked = async {
            let quota = self.store.quota(&self.namespace).await?;
            let in_flight = match quota.runs {
                Some(most) => self.store.runs_in_flight(&self.namespace, most).await?,
                None => 0,
            };
            Ok((quota, in_flight))
        };
        match store::within(PATIENCE, asked).await {
            Ok(known) => self.quotas.learn(&self.namespace, known),
            Err(error) => tracing::debug!(error = error.chain(), "a namespace's quota is what it was"),
        }
    }

    /// Refuses one more component than the namespace may have.
    pub(super) async fn must_have_room_for(&self, component: Digest) -> Result<()> {
        let Some(most) = self.store.quota(&self.namespace).await?.components else { return Ok(()) };
        if self.store.is_component_of(&self.namespace, component).await? {
            return Ok(());
        }
        match self.store.components_of(&self.namespace).await? < most {
            true => Ok(()),
            false => Err(Problem::over_quota(&self.namespace, &Over::Components(most))),
        }
    }
}

pub(super) async fn set(
    Scoped(state): Scoped,
    Extension(subject): Extension<Subject>,
    Path(namespace): Path<Namespace>,
    headers: HeaderMap,
    body: Body,
) -> Result<Noted<QuotaSet>> {
    let quota: NamespaceQuota = read_json(body, &headers, "a quota", REQUEST_BYTES).await?;
    let most = [quota.runs, quota.submissions, quota.components].into_iter().flatten().max();
    if most.is_some_and(|most| most > LARGEST) {
        return Err(Problem::bad_request(format!("a quota is {LARGEST} at most: leave it out if there is to be none")));
    }
    subject.is(format!("{namespace}: {quota}"));
    must_be_there(&state, &namespace).await?;
    let changed = state.store.set_quota(&namespace, quota.into()).await?;
    Ok(noted(changed, QuotaSet { name: namespace, quota, changed }))
}

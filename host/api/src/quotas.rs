//! Quotas as the API keeps them: what a namespace may take is asked for once a second while it submits, and its runs that have not
//! ended are counted then, up to the quota. A namespace without one costs a row by its key a second. What it holds is measured by
//! a task of its own, while it submits or pushes, and nobody waits for that.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Extension;
use axum::http::HeaderMap;
use pawl_base::lock;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_domain::quota::{Held, Over, Quota, Tally};
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

/// Between two looks at what such a namespace holds that submits.
const MEASURED: Duration = Duration::from_secs(2);

/// For how long after it last submitted.
const SUBMITS: Duration = Duration::from_secs(60);

/// How long a submission waits for that. A store that is away is the submission's own trouble.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long one piece of measuring may take. Nobody waits for it.
const LONGEST_PIECE: Duration = Duration::from_secs(30);

/// Namespaces that are kept.
const KEPT: usize = 1_000;

/// The largest that a store keeps, and bytes: 1 PiB.
const LARGEST: u32 = i32::MAX.unsigned_abs();
const MOST_BYTES: u64 = 1 << 50;

/// A request to set one.
const REQUEST_BYTES: usize = 4 << 10;

/// What is known of namespaces that submit; bounded.
#[derive(Debug, Default)]
pub(super) struct Quotas(Mutex<HashMap<Namespace, Kept>>);

#[derive(Debug)]
struct Kept {
    tally: Tally,
    asked_at: Instant,
    /// What it holds is bounded.
    is_measured: bool,
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
        kept.insert(namespace.clone(), Kept { tally: Tally::new(now), asked_at: now, is_measured: false });
        true
    }

    fn learn(&self, namespace: &Namespace, (quota, held): (Quota, Held)) {
        if let Some(known) = lock(&self.0).get_mut(namespace) {
            known.tally.learn(quota, held, Instant::now());
            known.is_measured = quota.stored_bytes.is_some();
        }
    }

    /// Those that submit and may hold so many bytes and no more.
    fn measured(&self, now: Instant) -> Vec<Namespace> {
        let kept = lock(&self.0);
        let submits = |known: &Kept| now.saturating_duration_since(known.asked_at) < SUBMITS;
        let measured = kept.iter().filter(|(_, known)| known.is_measured && submits(known));
        measured.map(|(namespace, _)| namespace.clone()).collect()
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
            let runs = match quota.runs {
                Some(most) => self.store.runs_in_flight(&self.namespace, most).await?,
                None => 0,
            };
            let stored_bytes = match quota.stored_bytes {
                Some(_) => self.store.stored_bytes(&self.namespace).await?.unwrap_or(0),
                None => 0,
            };
            Ok((quota, Held { runs, stored_bytes }))
        };
        match store::within(PATIENCE, asked).await {
            Ok(known) => self.quotas.learn(&self.namespace, known),
            Err(error) => tracing::debug!(error = error.chain(), "a namespace's quota is what it was"),
        }
    }

    /// Refuses one more component than the namespace may have, or has room for.
    pub(super) async fn must_have_room_for(&self, component: Digest) -> Result<()> {
        let quota = self.store.quota(&self.namespace).await?;
        if quota.components.is_none() && quota.stored_bytes.is_none()
            || self.store.is_component_of(&self.namespace, component).await?
        {
            return Ok(());
        }
        let refused = |over: Over| Problem::over_quota(&self.namespace, &over);
        if let Some(most) = quota.components
            && self.store.components_of(&self.namespace).await? >= most
        {
            return Err(refused(Over::Components(most)));
        }
        if quota.stored_bytes.is_some() {
            // Who pushes and does not submit is measured as well.
            if self.quotas.is_due(&self.namespace, Instant::now(), FRESH) {
                self.learn_quota().await;
            }
            let stored_bytes = self.store.stored_bytes(&self.namespace).await?.unwrap_or(0);
            quota.has_room_beside(stored_bytes).map_err(refused)?;
        }
        Ok(())
    }
}

/// Measures what namespaces hold that submit or push and may not hold more than a quota, for ever: a piece of each in turn. As long
/// as that has taken, it rests.
pub(super) async fn measure(state: AppState) {
    let mut is_out = false;
    loop {
        let begun = Instant::now();
        let mut more = false;
        for namespace in state.quotas.measured(begun) {
            match store::within(LONGEST_PIECE, state.store.measure(&namespace)).await {
                Ok(measured) => {
                    is_out = false;
                    more |= measured.is_some_and(|measured| measured.more);
                }
                Err(error) if !std::mem::replace(&mut is_out, true) => {
                    tracing::warn!(error = error.chain(), %namespace, "what a namespace holds is measured later");
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(if more { begun.elapsed() } else { MEASURED }).await;
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
    if quota.stored_bytes.is_some_and(|most| most > MOST_BYTES) {
        return Err(Problem::bad_request(format!(
            "a quota of bytes is {MOST_BYTES} at most: leave it out if there is to be none"
        )));
    }
    subject.is(format!("{namespace}: {quota}"));
    must_be_there(&state, &namespace).await?;
    let changed = state.store.set_quota(&namespace, quota.into()).await?;
    Ok(noted(changed, QuotaSet { name: namespace, quota, changed }))
}

//! Whether and how a role sends spans: begun with the role, and ended with it, within a bound. Where attempts come from is asked
//! of the role's store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::RunId;
use pawl_store::{SharedStore, within};
use pawl_traces::{Asked, Origin, Origins, Sending};

use super::exit::usage;
use super::settings::Settings;

/// How long the end of a process waits for a collector.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long the store is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a role sends its spans with; nothing, unless a collector is named.
pub(super) struct Traces(Option<Sending>);

impl Traces {
    /// Begins. On the role's runtime.
    pub(super) fn start(settings: &Settings, store: &SharedStore) -> anyhow::Result<Self> {
        let Some(config) = settings.traces()? else { return Ok(Self(None)) };
        let origins = Arc::new(OfStore(Arc::clone(store)));
        Ok(Self(Some(pawl_traces::start(config, origins).map_err(usage)?)))
    }

    /// Sends what is left.
    pub(super) async fn finish(self) {
        if let Some(sending) = self.0 {
            sending.finish(LAST_WORDS).await;
        }
    }
}

/// Where attempts come from, as the store knows it.
struct OfStore(SharedStore);

#[async_trait]
impl Origins for OfStore {
    async fn of(&self, attempts: &[Asked]) -> Option<Vec<Origin>> {
        let mut runs: Vec<RunId> = attempts.iter().map(|attempt| attempt.step.run).collect();
        runs.sort_unstable();
        runs.dedup();
        let later: Vec<_> = attempts.iter().filter(|it| it.is_later()).map(|it| (it.step, it.fence)).collect();
        let asked = async {
            let before = if later.is_empty() { Vec::new() } else { self.0.before(&later).await? };
            Ok((self.0.submitted_in(&runs).await?, before))
        };
        let asked = within(PATIENCE, asked).await;
        let (submitted, before) = asked
            .inspect_err(|error| tracing::debug!(error = error.chain(), "attempts are told without their links"))
            .ok()?;
        let mut before = before.into_iter();
        let ns = |ms: i64| u64::try_from(ms).unwrap_or(0) * 1_000_000;
        let origin = |attempt: &Asked| {
            let before = if attempt.is_later() { before.next() } else { None }.unwrap_or_default();
            let context =
                submitted.iter().find(|(run, _)| *run == attempt.step.run).map(|(_, context)| context.clone());
            Origin {
                submitted: context,
                before: before.fence,
                lease_ended_ns: before.lease_ended_ms.map(|(ended, seen)| (ns(ended), ns(seen))),
            }
        };
        Some(attempts.iter().map(origin).collect())
    }
}

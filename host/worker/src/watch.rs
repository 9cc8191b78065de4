//! The watch over the others' sessions: who is killed is missed at once, and not only when its lease has run out.
//!
//! ```text
//!  all sessions of a worker over ──GRACE──▶ its lease is ended ──▶ takeover
//!            └─ it was cut off, and is back before that ─▶ nothing
//! ```
//!
//! Every worker asks the store to watch, on a connection of its own; the store lets one do it, and the others wait for its
//! end. As long as it waits, the worker hears at once if it is cut off itself, and comes back.

use std::time::Duration;

use pawl_store::leases::Watch;
use pawl_store::within;

use crate::heartbeat::Beating;
use crate::trust::GRACE;

/// Between two looks, and between two attempts to come back, which grows.
const PAUSE: Duration = Duration::from_millis(100);
const FIRST_RETURN: Duration = Duration::from_millis(5);
const LAST_RETURN: Duration = Duration::from_secs(1);

/// Watches for ever.
pub async fn run(beating: Beating) {
    let Beating { worker, store, lease, ended, .. } = beating;
    let watch = Watch { worker, time: lease, pause: PAUSE, grace: GRACE };
    let mut link = store.link_of(worker);
    let mut pause = FIRST_RETURN;
    loop {
        match within(watch.time + lease, link.watch(&watch)).await {
            Ok(workers) => {
                pause = FIRST_RETURN;
                if !workers.is_empty() {
                    tracing::warn!(?workers, "their sessions have ended, and so have their leases");
                    ended.notify_one();
                }
            }
            Err(error) => {
                tracing::debug!(error = error.chain(), "not watching");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_RETURN);
            }
        }
    }
}

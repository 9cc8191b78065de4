//! Wake-ups for those who read runs: a hint that saves them a poll, nothing more.

use std::time::Duration;

use futures_util::StreamExt;
use uuid::Uuid;

use super::{CHANGES, Queue};
use crate::domain::id::RunId;

/// Pause between attempts to subscribe.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

impl Queue {
    /// Calls `wake` with the runs that moved, for ever. After a loss of Redis it subscribes again; what was
    /// missed in between is for the caller's own polling.
    pub async fn run_changes(&self, wake: impl Fn(&[RunId])) {
        let mut told = false;
        loop {
            match self.listen(&wake, &mut told).await {
                Ok(()) => {}
                Err(error) if told => tracing::debug!(error = %error, "still no subscription to Redis"),
                Err(error) => {
                    told = true;
                    tracing::warn!(error = %error, "no subscription to Redis: readers of runs poll");
                }
            }
            tokio::time::sleep(RESUBSCRIBE_AFTER).await;
        }
    }

    async fn listen(&self, wake: &impl Fn(&[RunId]), told: &mut bool) -> redis::RedisResult<()> {
        let mut subscription = self.client.get_async_pubsub().await?;
        subscription.subscribe(CHANGES).await?;
        *told = false;
        let mut messages = subscription.on_message();
        while let Some(message) = messages.next().await {
            let ids: Vec<u8> = message.get_payload()?;
            let runs: Vec<RunId> = ids.chunks_exact(16).filter_map(|id| Uuid::from_slice(id).ok()).map(RunId).collect();
            wake(&runs);
        }
        Ok(())
    }
}

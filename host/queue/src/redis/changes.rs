//! Wake-ups, for those who read runs and for workers: hints that save a poll, nothing more.

use std::time::Duration;

use futures_util::StreamExt;
use pawl_domain::id::RunId;
use pawl_domain::ready::Moved;
use redis::{Client, RedisResult, Value};
use uuid::Uuid;

use super::line::{ANSWER_WITHIN, CONNECT_WITHIN, within};

/// A run in a message: its id, and a byte that says whether it has ended.
const PACKED: usize = 17;

/// Silence after which the server is asked whether it is still there.
const ASK_AFTER: Duration = Duration::from_secs(2);

/// Pause between attempts to subscribe.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

/// Calls `hear` with every message of a channel, for ever. After a loss of Redis it subscribes again; what was
/// missed in between is for the caller's own polling.
pub(super) async fn listen(client: &Client, channel: &str, hear: &(dyn Fn(&[u8]) + Send + Sync)) {
    let mut told = false;
    loop {
        match subscribe(client, channel, hear, &mut told).await {
            Ok(()) => {}
            Err(error) if told => {
                tracing::debug!(error = pawl_base::chain(&error), channel, "still no subscription to Redis")
            }
            Err(error) => {
                told = true;
                tracing::warn!(error = pawl_base::chain(&error), channel, "no subscription to Redis: readers poll");
            }
        }
        tokio::time::sleep(RESUBSCRIBE_AFTER).await;
    }
}

async fn subscribe(
    client: &Client,
    channel: &str,
    hear: &(dyn Fn(&[u8]) + Send + Sync),
    told: &mut bool,
) -> RedisResult<()> {
    let subscribing = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        Ok(subscription)
    };
    let (mut sink, mut messages) = within(CONNECT_WITHIN, subscribing).await?.split();
    *told = false;
    loop {
        match tokio::time::timeout(ASK_AFTER, messages.next()).await {
            Ok(Some(message)) => hear(&message.get_payload::<Vec<u8>>()?),
            Ok(None) => return Ok(()),
            // Whoever only listens can't tell a channel on which nothing is said from a host that is gone.
            Err(_) => drop(within(ANSWER_WITHIN, sink.ping::<Value>()).await?),
        }
    }
}

/// Runs as one message.
pub(super) fn pack(moved: &[Moved]) -> Vec<u8> {
    moved.iter().flat_map(|moved| moved.run.0.into_bytes().into_iter().chain([u8::from(moved.ended)])).collect()
}

pub(super) fn unpack(message: &[u8]) -> Vec<Moved> {
    let run = |packed: &[u8]| {
        let (ended, id) = packed.split_last()?;
        Some(Moved { run: RunId(Uuid::from_slice(id).ok()?), ended: *ended == 1 })
    };
    message.chunks_exact(PACKED).filter_map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let moved = [Moved { run: RunId::new(), ended: false }, Moved { run: RunId::new(), ended: true }];
        assert_eq!(unpack(&pack(&moved)), moved);
        assert_eq!(unpack(&[1, 2, 3]), []);
    }
}

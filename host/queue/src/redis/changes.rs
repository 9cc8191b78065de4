//! Wake-ups, for those who read runs and for workers: hints that save a poll, nothing more.

use std::time::Duration;

use futures_util::StreamExt;
use pawl_domain::id::RunId;
use pawl_domain::ready::Moved;
use redis::{RedisResult, Value};
use tokio::time::Instant;
use uuid::Uuid;

use super::keys::Keys;
use super::line::{ANSWER_WITHIN, CONNECT_WITHIN, within};
use super::servers::Servers;

/// A run in a message: its id, and a byte that says whether it has ended.
const PACKED: usize = 17;

/// Silence after which the server is asked whether it is still there.
const ASK_AFTER: Duration = Duration::from_secs(2);

/// From one attempt to subscribe to the next at least: a subscription that has lasted is made again at once.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

/// Calls `hear` with every message of a channel, for ever. After a loss of Redis it subscribes again; what was
/// missed in between is for the caller's own polling.
pub(super) async fn listen(servers: &Servers, channel: fn(&Keys) -> String, hear: &(dyn Fn(&[u8]) + Send + Sync)) {
    let mut told = false;
    loop {
        let next = Instant::now() + RESUBSCRIBE_AFTER;
        match subscribe(servers, channel, hear, &mut told).await {
            Ok(()) => {}
            Err(error) if told => tracing::debug!(error = pawl_base::chain(&error), "still no subscription to Redis"),
            Err(error) => {
                told = true;
                tracing::warn!(error = pawl_base::chain(&error), "no subscription to Redis: readers poll");
            }
        }
        tokio::time::sleep_until(next).await;
    }
}

/// Subscribes, and hears until the connection ends, or the server is not the one any more.
async fn subscribe(
    servers: &Servers,
    channel: fn(&Keys) -> String,
    hear: &(dyn Fn(&[u8]) + Send + Sync),
    told: &mut bool,
) -> RedisResult<()> {
    let mut left = servers.left();
    let channel = channel(servers.keys().await?);
    let (mut sink, mut messages) = within(CONNECT_WITHIN, servers.subscribe(&channel)).await?.split();
    *told = false;
    loop {
        let message = tokio::select! {
            message = tokio::time::timeout(ASK_AFTER, messages.next()) => message,
            // Nothing is told there any more, or only by way of another.
            _ = left.changed() => return Ok(()),
        };
        match message {
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

//! Wake-ups for those who read runs: a hint that saves them a poll, nothing more.

use std::time::Duration;

use futures_util::StreamExt;
use redis::Client;
use uuid::Uuid;

use super::CHANGES;
use crate::domain::id::RunId;
use crate::domain::ready::Moved;
use crate::queue::Wake;

/// A run in a message: its id, and a byte that says whether it has ended.
const PACKED: usize = 17;

/// Pause between attempts to subscribe.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);

/// Calls `wake` with the runs that moved, for ever. After a loss of Redis it subscribes again; what was
/// missed in between is for the caller's own polling.
pub(super) async fn run(client: &Client, wake: &Wake<'_>) {
    let mut told = false;
    loop {
        match listen(client, wake, &mut told).await {
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

async fn listen(client: &Client, wake: &Wake<'_>, told: &mut bool) -> redis::RedisResult<()> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(CHANGES).await?;
    *told = false;
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        wake(&unpack(&message.get_payload::<Vec<u8>>()?));
    }
    Ok(())
}

/// Runs as one message.
pub(super) fn pack(moved: &[Moved]) -> Vec<u8> {
    moved.iter().flat_map(|moved| moved.run.0.into_bytes().into_iter().chain([u8::from(moved.ended)])).collect()
}

fn unpack(message: &[u8]) -> Vec<Moved> {
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

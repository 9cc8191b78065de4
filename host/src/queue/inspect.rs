//! What people see of the queues.

use redis::streams::StreamInfoGroupsReply;

use super::repair::{Consumer, Watermark};
use super::{GROUP, Queue, Result, Stream};

/// One stream, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// Which.
    pub stream: Stream,
    /// Messages in it, read or not.
    pub length: usize,
    /// Messages read and not acknowledged.
    pub pending: usize,
    /// When the oldest unread message became ready (ms, database clock); `None` if all are read.
    pub oldest_unread_ms: Option<i64>,
    /// Who reads it.
    pub consumers: Vec<Consumer>,
}

impl Queue {
    /// All streams that exist, by name.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn streams(&self) -> Result<Vec<StreamState>> {
        let mut keys = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let (next, found): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg("pawl:q:*")
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut self.connection.clone())
                .await?;
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        keys.sort();
        keys.dedup();
        let mut states = Vec::new();
        for stream in keys.iter().filter_map(|key| parse_key(key)) {
            states.push(self.state(stream).await?);
        }
        Ok(states)
    }

    async fn state(&self, stream: Stream) -> Result<StreamState> {
        let mut connection = self.connection.clone();
        let length = redis::cmd("XLEN").arg(stream.key()).query_async(&mut connection).await?;
        let groups: StreamInfoGroupsReply =
            redis::cmd("XINFO").arg("GROUPS").arg(stream.key()).query_async(&mut connection).await.unwrap_or_default();
        let pending = groups.groups.iter().filter(|group| group.name == GROUP).map(|group| group.pending).sum();
        let oldest_unread_ms = match self.watermark(&stream).await? {
            Watermark::AllDelivered => None,
            Watermark::DeliveredBefore(ready_at_ms) => Some(ready_at_ms),
        };
        let consumers = self.consumers(&stream).await?;
        Ok(StreamState { stream, length, pending, oldest_unread_ms, consumers })
    }
}

fn parse_key(key: &str) -> Option<Stream> {
    let (queue, priority) = key.strip_prefix("pawl:q:")?.rsplit_once(':')?;
    Some(Stream { queue: queue.to_owned(), priority: priority.parse().ok()? })
}

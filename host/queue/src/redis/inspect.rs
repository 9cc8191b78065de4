//! What people see of the queues.

use redis::RedisResult;
use redis::streams::StreamInfoGroupsReply;

use super::line::Line;
use super::repair::{consumers, watermark};
use super::{GROUP, stream_key};
use crate::{Stream, StreamState, Watermark};

pub(super) async fn streams(connection: &mut Line) -> RedisResult<Vec<StreamState>> {
    let mut keys = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let (next, found): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg("pawl:q:*")
            .arg("COUNT")
            .arg(1000)
            .query_async(connection)
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
        states.push(state(connection, stream).await?);
    }
    Ok(states)
}

async fn state(connection: &mut Line, stream: Stream) -> RedisResult<StreamState> {
    let length = redis::cmd("XLEN").arg(stream_key(&stream)).query_async(connection).await?;
    let groups: StreamInfoGroupsReply =
        redis::cmd("XINFO").arg("GROUPS").arg(stream_key(&stream)).query_async(connection).await.unwrap_or_default();
    let pending = groups.groups.iter().filter(|group| group.name == GROUP).map(|group| group.pending).sum();
    let oldest_unread_ms = match watermark(connection, &stream).await? {
        Watermark::AllDelivered => None,
        Watermark::DeliveredBefore(ready_at_ms) => Some(ready_at_ms),
    };
    let consumers = consumers(connection, &stream).await?;
    Ok(StreamState { stream, length, pending, oldest_unread_ms, consumers })
}

fn parse_key(key: &str) -> Option<Stream> {
    let (queue, priority) = key.strip_prefix("pawl:q:")?.rsplit_once(':')?;
    Some(Stream { queue: queue.to_owned(), priority: priority.parse().ok()? })
}

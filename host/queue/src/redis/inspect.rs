//! What people see of the queues.

use redis::RedisResult;
use redis::streams::StreamInfoGroupsReply;

use super::GROUP;
use super::keys::Keys;
use super::line::Line;
use super::repair::{consumers, watermark};
use crate::{Stream, StreamState, Watermark};

pub(super) async fn streams(connection: &mut Line) -> RedisResult<Vec<StreamState>> {
    let names = connection.keys().await?.clone();
    let mut keys = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let (next, found): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(names.any_stream())
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
    for stream in keys.iter().filter_map(|key| names.parse(key)) {
        states.push(state(connection, &names, stream).await?);
    }
    Ok(states)
}

async fn state(connection: &mut Line, names: &Keys, stream: Stream) -> RedisResult<StreamState> {
    let key = names.of(&stream);
    let length = redis::cmd("XLEN").arg(&key).query_async(connection).await?;
    let groups: StreamInfoGroupsReply =
        redis::cmd("XINFO").arg("GROUPS").arg(&key).query_async(connection).await.unwrap_or_default();
    let pending = groups.groups.iter().filter(|group| group.name == GROUP).map(|group| group.pending).sum();
    let oldest_unread_ms = match watermark(connection, &stream).await? {
        Watermark::AllDelivered => None,
        Watermark::DeliveredBefore(ready_at_ms) => Some(ready_at_ms),
    };
    let consumers = consumers(connection, &stream).await?;
    Ok(StreamState { stream, length, pending, oldest_unread_ms, consumers })
}

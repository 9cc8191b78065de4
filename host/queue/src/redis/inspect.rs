//! What people see of the queues.

use std::collections::HashMap;

use redis::streams::StreamInfoGroupsReply;
use redis::{RedisResult, Value};

use super::GROUP;
use super::keys::Keys;
use super::line::Line;
use super::repair::{consumers, watermark};
use crate::{Pending, Stream, StreamState, Watermark};

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

pub(super) async fn stream(connection: &mut Line, stream: &Stream) -> RedisResult<StreamState> {
    let names = connection.keys().await?.clone();
    state(connection, &names, stream.clone()).await
}

pub(super) async fn pending(connection: &mut Line, stream: &Stream, limit: usize) -> RedisResult<Vec<Pending>> {
    let key = connection.keys().await?.of(stream);
    let reply: RedisResult<Vec<(String, String, u64, u64)>> =
        redis::cmd("XPENDING").arg(&key).arg(GROUP).arg("-").arg("+").arg(limit).query_async(connection).await;
    match reply {
        Ok(reply) => {
            Ok(reply.into_iter().map(|(entry, consumer, idle_ms, _)| Pending { entry, consumer, idle_ms }).collect())
        }
        // Nobody has read from it.
        Err(error) if error.code() == Some("NOGROUP") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn state(connection: &mut Line, names: &Keys, stream: Stream) -> RedisResult<StreamState> {
    let key = names.of(&stream);
    let length = redis::cmd("XLEN").arg(&key).query_async(connection).await?;
    // Of versions before 7, which do not count, nothing is known.
    let about: HashMap<String, Value> =
        redis::cmd("XINFO").arg("STREAM").arg(&key).query_async(connection).await.unwrap_or_default();
    let added = about.get("entries-added").and_then(|value| redis::from_redis_value_ref(value).ok()).unwrap_or(0);
    let groups: StreamInfoGroupsReply =
        redis::cmd("XINFO").arg("GROUPS").arg(&key).query_async(connection).await.unwrap_or_default();
    let pending = groups.groups.iter().filter(|group| group.name == GROUP).map(|group| group.pending).sum();
    let oldest_unread_ms = match watermark(connection, &stream).await? {
        Watermark::AllDelivered => None,
        Watermark::DeliveredBefore(ready_at_ms) => Some(ready_at_ms),
    };
    let consumers = consumers(connection, &stream).await?;
    Ok(StreamState { stream, length, pending, added, oldest_unread_ms, consumers })
}

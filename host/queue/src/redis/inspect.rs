//! What people see of the queues.

use std::collections::HashMap;

use pawl_domain::id::StepId;
use redis::streams::{StreamInfoGroupsReply, StreamRangeReply};
use redis::{RedisResult, Value};

use super::GROUP;
use super::keys::Keys;
use super::line::Line;
use super::message::step_of;
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
            let steps = steps(connection, &key, reply.iter().map(|(entry, ..)| entry.as_str())).await?;
            let told = reply.into_iter().zip(steps);
            Ok(told.map(|((entry, consumer, idle_ms, _), step)| Pending { entry, consumer, idle_ms, step }).collect())
        }
        // Nobody has read from it.
        Err(error) if error.code() == Some("NOGROUP") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Of which step each of these messages tells, in one round trip.
async fn steps<'e>(
    connection: &mut Line,
    key: &str,
    entries: impl Iterator<Item = &'e str>,
) -> RedisResult<Vec<Option<StepId>>> {
    let mut pipe = redis::pipe();
    for entry in entries {
        pipe.cmd("XRANGE").arg(key).arg(entry).arg(entry);
    }
    if pipe.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<StreamRangeReply> = pipe.query_async(connection).await?;
    Ok(found.iter().map(|found| Some(step_of(&found.ids.first()?.map)?.0)).collect())
}

/// How many of the first `ARGV[1]` messages of the stream `KEYS[1]` tell of a step that an earlier one tells of. There, since a
/// message may carry an input.
const REPEATED: &str = "
local known, again = {}, 0
for _, message in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])) do
    local fields, run, step = message[2], nil, nil
    for at = 1, #fields, 2 do
        if fields[at] == 'run' then run = fields[at + 1] end
        if fields[at] == 'step' then step = fields[at + 1] end
    end
    if run and step then
        local id = run .. '/' .. step
        if known[id] then again = again + 1 end
        known[id] = true
    end
end
return again";

pub(super) async fn repeated(connection: &mut Line, stream: &Stream, limit: usize) -> RedisResult<usize> {
    let key = connection.keys().await?.of(stream);
    redis::Script::new(REPEATED).key(key).arg(limit).invoke_async(connection).await
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

//! Finding what Redis has lost, and what dead consumers hold. Called by the scheduler.

use std::sync::Arc;

use redis::RedisResult;
use redis::streams::{StreamClaimReply, StreamInfoConsumersReply, StreamInfoGroupsReply, StreamRangeReply};

use super::GROUP;
use super::line::Line;
use super::message::step_of;
use super::read::delivery;
use crate::{Consumer, Delivery, Stream, Watermark};

pub(super) async fn watermark(connection: &mut Line, stream: &Stream) -> RedisResult<Watermark> {
    let key = connection.keys().await?.of(stream);
    let groups: RedisResult<StreamInfoGroupsReply> =
        redis::cmd("XINFO").arg("GROUPS").arg(&key).query_async(connection).await;
    let last = match groups {
        Ok(groups) => groups.groups.into_iter().find(|group| group.name == GROUP).map(|group| group.last_delivered_id),
        Err(error) if no_such_key(&error) => return Ok(Watermark::AllDelivered),
        Err(error) => return Err(error),
    };
    let after = last.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
    let oldest: StreamRangeReply =
        redis::cmd("XRANGE").arg(&key).arg(after).arg("+").arg("COUNT").arg(1).query_async(connection).await?;
    Ok(match oldest.ids.first() {
        None => Watermark::AllDelivered,
        // A message that is not ours says nothing about time: wait until it has been read.
        Some(message) => Watermark::DeliveredBefore(step_of(&message.map).map_or(0, |(_, ready_at_ms)| ready_at_ms)),
    })
}

pub(super) async fn consumers(connection: &mut Line, stream: &Stream) -> RedisResult<Vec<Consumer>> {
    let key = connection.keys().await?.of(stream);
    let reply: RedisResult<StreamInfoConsumersReply> =
        redis::cmd("XINFO").arg("CONSUMERS").arg(&key).arg(GROUP).query_async(connection).await;
    match reply {
        Ok(reply) => Ok(reply
            .consumers
            .into_iter()
            .map(|consumer| Consumer { name: consumer.name, pending: consumer.pending, idle_ms: consumer.idle as u64 })
            .collect()),
        Err(error) if no_such_key(&error) || error.code() == Some("NOGROUP") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(super) async fn adopt(
    connection: &mut Line,
    stream: &Arc<Stream>,
    dead: &str,
    adopter: &str,
    limit: usize,
) -> RedisResult<Vec<Delivery>> {
    let key = connection.keys().await?.of(stream);
    let pending: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
        .arg(&key)
        .arg(GROUP)
        .arg("-")
        .arg("+")
        .arg(limit)
        .arg(dead)
        .query_async(connection)
        .await?;
    if pending.is_empty() {
        // Decided and done at once, on the server: it may have been given a message in between.
        let delete = redis::Script::new(
            "if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
                 return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
             end
             return 0",
        );
        let _: i64 = delete.key(&key).arg(GROUP).arg(dead).invoke_async(connection).await?;
        return Ok(Vec::new());
    }
    let entries: Vec<String> = pending.into_iter().map(|(entry, ..)| entry).collect();
    let claimed: StreamClaimReply =
        redis::cmd("XCLAIM").arg(&key).arg(GROUP).arg(adopter).arg(0).arg(&entries).query_async(connection).await?;
    Ok(claimed.ids.into_iter().map(|message| delivery(stream, message)).collect())
}

fn no_such_key(error: &redis::RedisError) -> bool {
    error.code() == Some("ERR") && error.detail().is_some_and(|detail| detail.contains("no such key"))
}

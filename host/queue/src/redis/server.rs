//! How the server is, by `INFO` and `CONFIG GET`. Either may be forbidden, and often is: then what it tells is not known. Read by
//! people alone.

use std::collections::HashMap;

use redis::RedisResult;

use super::line::Line;
use super::meaning;
use crate::ServerState;

pub(super) async fn state(connection: &mut Line) -> RedisResult<ServerState> {
    let told = redis::cmd("INFO").query_async::<String>(connection).await;
    let told = allowed(told)?.unwrap_or_default();
    let set = redis::cmd("CONFIG").arg("GET").arg("save").query_async::<HashMap<String, String>>(connection).await;
    let snapshots = allowed(set)?.and_then(|mut set| set.remove("save"));
    Ok(ServerState { snapshots, ..of_info(&told) })
}

/// What was answered; none if it may not be asked for.
fn allowed<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if meaning::of(&error).ends_connection || error.is_io_error() => Err(error),
        Err(_) => Ok(None),
    }
}

/// The lines of `INFO`: `name:value`, under headings. <https://redis.io/docs/latest/commands/info/>
fn of_info(text: &str) -> ServerState {
    let told: HashMap<&str, &str> = text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let word = |name: &str| told.get(name).map(|value| (*value).to_owned());
    let number = |name: &str| told.get(name).and_then(|value| value.parse().ok());
    let failed =
        ["rdb_last_bgsave_status", "aof_last_write_status"].map(|name| told.get(name).map(|value| *value != "ok"));
    ServerState {
        version: word("redis_version"),
        used_bytes: number("used_memory"),
        limit_bytes: number("maxmemory"),
        eviction: word("maxmemory_policy"),
        evicted: number("evicted_keys"),
        logs_changes: told.get("aof_enabled").map(|value| *value == "1"),
        snapshots: None,
        disk_failed: failed.into_iter().flatten().reduce(|one, other| one || other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_describes_itself() {
        let text = "# Server\r\nredis_version:7.2.4\r\n\r\n# Memory\r\nused_memory:1048576\r\nmaxmemory:0\r\n\
                    maxmemory_policy:allkeys-lru\r\n# Persistence\r\nrdb_last_bgsave_status:ok\r\naof_enabled:1\r\n\
                    aof_last_write_status:err\r\n# Stats\r\nevicted_keys:3\r\n";
        let told = ServerState {
            version: Some("7.2.4".into()),
            used_bytes: Some(1 << 20),
            limit_bytes: Some(0),
            eviction: Some("allkeys-lru".into()),
            evicted: Some(3),
            logs_changes: Some(true),
            snapshots: None,
            disk_failed: Some(true),
        };
        assert_eq!(of_info(text), told);
        assert_eq!(of_info(""), ServerState::default(), "nothing is known of one that tells nothing");
    }
}

//! Bytes as messages in Redis: whoever reads gets steps, or what is to be acknowledged and is none, and always what comes next.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pawl_domain::id::{InstallationId, RunId, StepId, StepNo, WorkerId};
use pawl_domain::pipeline::Priority;
use pawl_domain::ready::Ready;
use pawl_queue::{FollowUp, Queue as _, Reader, RedisConfig, RedisStreams, Stream};
use pawl_rehearsal::private::PrivateRedis;
use pawl_tests::runtime::{block_on, handle};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;
use uuid::Uuid;

const NAMES: [&str; 7] = ["run", "step", "ready_at", "pipeline", "component", "input", "unknown"];

struct Queue {
    streams: RedisStreams,
    conn: MultiplexedConnection,
    reader: Mutex<Box<dyn Reader>>,
    key: String,
    _redis: PrivateRedis,
    _folder: tempfile::TempDir,
}

static QUEUE: LazyLock<Queue> = LazyLock::new(|| {
    let _runtime = handle().enter();
    let folder = tempfile::tempdir().expect("a folder");
    let redis = PrivateRedis::start(folder.path()).expect("a private Redis");
    let installation = InstallationId(Uuid::from_u128(1));
    let streams = RedisStreams::of(&RedisConfig::new(redis.url()), installation).expect("a queue");
    let mut reader =
        streams.reader(WorkerId::new(), &["default".to_owned()], Duration::from_millis(1)).expect("a reader");
    let client = redis::Client::open(redis.url()).expect("a client");
    // The machine may be busy with other targets: what takes too long is libFuzzer's to say.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let conn = block_on(client.get_multiplexed_async_connection_with_config(&config)).expect("a connection");
    block_on(reader.read(1)).expect("the first read makes the group");
    let key = format!("pawl:{{{installation}}}:q:default:normal");
    Queue { streams, conn, reader: Mutex::new(reader), key, _redis: redis, _folder: folder }
});

fuzz_target!(|bytes: &[u8]| {
    let queue = &*QUEUE;
    let stream = Stream { queue: "default".to_owned(), priority: Priority::default() };
    block_on(async {
        let mut xadd = redis::cmd("XADD");
        xadd.arg(&queue.key).arg("*");
        for (name, value) in fields(bytes) {
            xadd.arg(name).arg(value);
        }
        let mut conn = queue.conn.clone();
        xadd.exec_async(&mut conn).await.expect("Redis takes any field");
        // One of ours behind it, which must come whatever stands before it.
        let ours = StepId { run: RunId(Uuid::from_u128(7)), step: StepNo(3) };
        let queue_name = stream.queue.clone();
        let ready = Ready { id: ours, queue: queue_name, priority: stream.priority, ready_at_ms: 5, start: None };
        queue.streams.publish(&[ready]).await.expect("published");
        let mut reader = queue.reader.lock().await;
        let mut came = Vec::new();
        for _ in 0..1_000 {
            came.extend(reader.read(16).await.expect("read"));
            if came.iter().any(|delivery| delivery.step == Some(ours)) {
                break;
            }
        }
        assert_eq!(came.len(), 2, "both messages come, each once: {came:?}");
        queue.streams.follow_up(FollowUp { done: &came, ..FollowUp::default() }).await.expect("acknowledged");
        queue.streams.watermark(&stream).await.expect("a watermark");
    });
});

/// A byte for the name, one for the length of the value; at least one of them, as Redis wants it.
fn fields(mut bytes: &[u8]) -> Vec<(&'static str, &[u8])> {
    let mut fields = Vec::new();
    while let [name, length, rest @ ..] = bytes {
        let (value, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        fields.push((NAMES[usize::from(*name) % NAMES.len()], value));
        bytes = rest;
    }
    if fields.is_empty() {
        fields.push(("unknown", bytes));
    }
    fields
}

//! What a queue does: Redis Streams, and streams in memory.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_domain::id::{Digest, InstallationId, RunId, StepId, StepNo, WorkerId};
use pawl_domain::pipeline::Priority;
use pawl_domain::ready::{Moved, Ready, Start};
use pawl_queue::{Delivery, FollowUp, InProcess, Queue, RedisConfig, RedisStreams, SharedQueue, Stream, Watermark};
use pawl_rehearsal::private::PrivateRedis;

/// A read that finds nothing waits this long.
const BLOCK: Duration = Duration::from_millis(50);

/// What never comes is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn streams_in_memory_conform() {
    conforms(Arc::new(InProcess::new())).await;
}

#[tokio::test]
async fn redis_streams_conform() {
    let folder = tempfile::tempdir().expect("a folder");
    let redis = PrivateRedis::start(folder.path()).expect("a private Redis");
    conforms(Arc::new(RedisStreams::of(&RedisConfig::new(redis.url()), InstallationId::new()).expect("a queue"))).await;
}

#[tokio::test]
async fn what_is_still_a_readers_own_is_read_again_on_a_new_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let redis = PrivateRedis::start(folder.path()).expect("a private Redis");
    let queue = RedisStreams::of(&RedisConfig::new(redis.url()), InstallationId::new()).expect("a queue");
    let mut reader = queue.reader(WorkerId::new(), &["one".to_owned()], BLOCK).expect("a reader");
    let steps: Vec<Ready> = (0..3).map(|at_ms| ready("one", Priority::Normal, at_ms)).collect();
    queue.publish(&steps).await.expect("published");
    let mine = read(&mut *reader, 3).await;
    assert_eq!(mine.len(), 3);
    // The acknowledgement of the first one is what a server that was promoted has never heard of.
    queue.follow_up(FollowUp { done: &mine[1..], ..FollowUp::default() }).await.expect("acknowledged");
    cut_connections(&redis);
    let again = reader.read(3).await.expect("read");
    assert_eq!(again.iter().map(|message| &message.entry).collect::<Vec<_>>(), [&mine[0].entry]);
    assert_eq!(again[0].start, None, "it may have been begun");
    assert_eq!(reader.read(3).await.expect("read"), [], "it is told once");
}

#[tokio::test]
async fn what_a_refused_read_was_given_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let redis = PrivateRedis::start(folder.path()).expect("a private Redis");
    let installation = InstallationId::new();
    let queue = RedisStreams::of(&RedisConfig::new(redis.url()), installation).expect("a queue");
    let mut reader = queue.reader(WorkerId::new(), &["one".to_owned()], BLOCK).expect("a reader");
    let step = ready("one", Priority::Normal, 1);
    queue.publish(std::slice::from_ref(&step)).await.expect("published");
    // Another worker, new as this one, is at work on the groups: the last stream has none yet.
    for priority in ["high", "normal"] {
        let created =
            say(&redis, &format!("XGROUP CREATE pawl:{{{installation}}}:q:one:{priority} workers 0 MKSTREAM"));
        assert_eq!(created, "+OK");
    }
    let refused = reader.read(2).await.expect("read");
    assert_eq!(refused, [], "there was place for one of the last stream");
    assert_eq!(read(&mut *reader, 1).await[0].step, Some(step.id));
}

/// Ends the connections of all clients.
fn cut_connections(redis: &PrivateRedis) {
    let cut = say(redis, "CLIENT KILL TYPE normal");
    assert!(cut.starts_with(':') && cut != ":0", "{cut}");
}

/// Says something to the server, and returns the line that it answers with.
fn say(redis: &PrivateRedis, command: &str) -> String {
    let address = redis.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let mut server = TcpStream::connect(address).expect("a connection");
    server.write_all(format!("{command}\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    BufReader::new(server).read_line(&mut answer).expect("an answer");
    answer.trim_end().to_owned()
}

async fn conforms(queue: SharedQueue) {
    queue.ping().await.expect("it answers");
    most_urgent_first_and_pending_until_acknowledged(&*queue).await;
    a_read_takes_the_most_urgent_and_leaves_the_rest_to_others(&*queue).await;
    each_message_goes_to_one_reader(&*queue).await;
    messages_of_the_dead_are_adopted(&*queue).await;
    a_read_waits_for_what_is_published(&queue).await;
    readers_of_changes_are_woken(&queue).await;
    doubled_acknowledgements_change_nothing(&*queue).await;
    a_message_tells_what_its_step_starts_with(&*queue).await;
    one_stream_is_looked_at_with_what_is_pending(&*queue).await;
}

fn ready(queue: &str, priority: Priority, ready_at_ms: i64) -> Ready {
    let id = StepId { run: RunId::new(), step: StepNo(3) };
    Ready { id, queue: queue.to_owned(), priority, ready_at_ms, start: None }
}

fn stream(queue: &str, priority: Priority) -> Stream {
    Stream { queue: queue.to_owned(), priority }
}

async fn most_urgent_first_and_pending_until_acknowledged(queue: &dyn Queue) {
    let mut reader = queue.reader(WorkerId::new(), &["one".to_owned()], BLOCK).expect("a reader");
    assert_eq!(reader.streams().len(), 3, "a stream for each priority");
    let (low, high) = (ready("one", Priority::Low, 1), ready("one", Priority::High, 2));
    let elsewhere = ready("two", Priority::High, 3);
    queue.publish(&[low.clone(), high.clone(), elsewhere]).await.expect("published");
    let urgent = stream("one", Priority::High);
    assert_eq!(queue.watermark(&urgent).await.expect("a watermark"), Watermark::DeliveredBefore(2));

    let read = read(&mut *reader, 2).await;
    let found: Vec<_> = read.iter().map(|delivery| (delivery.step, delivery.ready_at_ms)).collect();
    assert_eq!(found, [(Some(high.id), 2), (Some(low.id), 1)], "most urgent first, other queues not at all");
    assert_eq!(queue.watermark(&urgent).await.expect("a watermark"), Watermark::AllDelivered);
    assert_eq!(state(queue, &urgent).await, (1, 1), "read, and pending until it is acknowledged");
    assert!(reader.read(10).await.expect("read").is_empty(), "a message is read once");

    queue.follow_up(FollowUp { done: &read, ..FollowUp::default() }).await.expect("acknowledged");
    assert_eq!(state(queue, &urgent).await, (0, 0), "nothing is left of it");
}

async fn a_read_takes_the_most_urgent_and_leaves_the_rest_to_others(queue: &dyn Queue) {
    let queues = ["east".to_owned(), "west".to_owned()];
    let mut reader = queue.reader(WorkerId::new(), &queues, BLOCK).expect("a reader");
    // The groups are made with the first read.
    assert!(reader.read(1).await.expect("read").is_empty());
    for name in &queues {
        for priority in [Priority::Low, Priority::Normal, Priority::High] {
            let two = [ready(name, priority, 1), ready(name, priority, 2)];
            queue.publish(&two).await.expect("published");
        }
    }
    let mut read = async |count| {
        let read = reader.read(count).await.expect("read");
        read.into_iter().map(|delivery| (delivery.stream.priority, delivery.stream.queue.clone())).collect::<Vec<_>>()
    };
    let (first, second) = (read(1).await, read(1).await);
    assert_eq!((first.len(), second.len()), (1, 1), "what is not wanted is left to others");
    assert!(first[0].0 == Priority::High && second[0].0 == Priority::High && first[0].1 != second[0].1, "in turn");
    let priorities: Vec<Priority> = read(4).await.into_iter().map(|(priority, _)| priority).collect();
    assert_eq!(priorities, [Priority::High, Priority::High, Priority::Normal, Priority::Normal]);
    let mut other = queue.reader(WorkerId::new(), &queues, BLOCK).expect("a reader");
    assert_eq!(other.read(100).await.expect("read").len(), 6, "all the rest");
}

async fn one_stream_is_looked_at_with_what_is_pending(queue: &dyn Queue) {
    let seen = stream("seen", Priority::Normal);
    let empty = queue.stream(&seen).await.expect("one that is not there");
    assert_eq!((empty.length, empty.pending, empty.added, empty.consumers.len()), (0, 0, 0, 0));
    assert_eq!(queue.pending(&seen, 9).await.expect("none"), []);
    assert_eq!(queue.repeated(&seen, 9).await.expect("none"), 0);
    let published: Vec<Ready> = (7..10).map(|at| ready("seen", Priority::Normal, at)).collect();
    queue.publish(&published).await.expect("published");
    assert_eq!(queue.repeated(&seen, 9).await.expect("each is another step's"), 0);
    let twice = stream("twice", Priority::Normal);
    let again = [ready("twice", Priority::Normal, 7), ready("twice", Priority::Normal, 8)];
    queue.publish(&[again[0].clone(), again[1].clone(), again[0].clone(), again[0].clone()]).await.expect("published");
    let repeated = async |limit| queue.repeated(&twice, limit).await.expect("a number");
    assert_eq!((repeated(9).await, repeated(3).await, repeated(2).await), (2, 1, 0));
    let worker = WorkerId::new();
    let mut reader = queue.reader(worker, &["seen".to_owned()], BLOCK).expect("a reader");
    let mine = read(&mut *reader, 2).await;
    let state = queue.stream(&seen).await.expect("its state");
    assert_eq!((state.length, state.pending, state.added, state.oldest_unread_ms), (3, 2, 3, Some(9)));
    let pending = queue.pending(&seen, 1).await.expect("the oldest");
    let [oldest] = &pending[..] else { panic!("no more than asked for: {pending:?}") };
    assert_eq!((&oldest.entry, &oldest.consumer), (&mine[0].entry, &worker.to_string()));
    assert!(oldest.idle_ms < 60_000, "{oldest:?}");
    assert!(oldest.step.is_some() && oldest.step == mine[0].step, "{oldest:?}");
    queue.follow_up(FollowUp { done: &mine, ..FollowUp::default() }).await.expect("acknowledged");
    let state = queue.stream(&seen).await.expect("its state");
    assert_eq!((state.length, state.pending, state.added), (1, 0, 3), "what was ever put in is counted on");
    let server = queue.server().await.expect("an answer");
    assert!(
        server.is_none_or(|server| server.used_bytes > Some(0) && server.eviction.is_some()),
        "it describes itself"
    );
}

async fn each_message_goes_to_one_reader(queue: &dyn Queue) {
    let queues = ["shared".to_owned()];
    let mut readers = [(); 2].map(|()| queue.reader(WorkerId::new(), &queues, BLOCK).expect("a reader"));
    let published: Vec<Ready> = (0..10).map(|at| ready("shared", Priority::Normal, at)).collect();
    queue.publish(&published).await.expect("published");
    let mut steps = BTreeSet::new();
    while steps.len() < published.len() {
        for reader in &mut readers {
            for delivery in reader.read(3).await.expect("read") {
                assert!(steps.insert(delivery.step), "it went to both");
            }
        }
    }
}

async fn messages_of_the_dead_are_adopted(queue: &dyn Queue) {
    let (dead, heir) = (WorkerId::new(), WorkerId::new());
    let left = Arc::new(stream("left", Priority::Normal));
    let mut reader = queue.reader(dead, &["left".to_owned()], BLOCK).expect("a reader");
    let published: Vec<Ready> = (0..3).map(|at| ready("left", Priority::Normal, at)).collect();
    queue.publish(&published).await.expect("published");
    read(&mut *reader, 3).await;
    drop(reader);
    let consumers = queue.consumers(&left).await.expect("consumers");
    assert!(consumers.iter().any(|consumer| consumer.name == dead.to_string() && consumer.pending == 3));

    let (dead, heir) = (dead.to_string(), heir.to_string());
    let mut adopted = queue.adopt(&left, &dead, &heir, 2).await.expect("adopted");
    assert_eq!(adopted.len(), 2, "at most so many");
    adopted.extend(queue.adopt(&left, &dead, &heir, 2).await.expect("adopted"));
    let steps: BTreeSet<_> = adopted.iter().filter_map(|delivery| delivery.step).collect();
    assert_eq!(steps, published.iter().map(|ready| ready.id).collect(), "all of them, once");
    assert!(queue.adopt(&left, &dead, &heir, 2).await.expect("nothing").is_empty());
    let consumers = queue.consumers(&left).await.expect("consumers");
    assert!(!consumers.iter().any(|consumer| consumer.name == dead), "with nothing pending, the dead are forgotten");
    queue.follow_up(FollowUp { done: &adopted, ..FollowUp::default() }).await.expect("acknowledged");
    assert_eq!(state(queue, &left).await, (0, 0));
}

async fn a_read_waits_for_what_is_published(queue: &SharedQueue) {
    let mut reader = queue.reader(WorkerId::new(), &["late".to_owned()], PATIENCE).expect("a reader");
    // The first read of a new stream may come back at once to make it.
    let reading = tokio::spawn(async move {
        loop {
            let read = reader.read(1).await.expect("read");
            if !read.is_empty() {
                return read;
            }
        }
    });
    let late = ready("late", Priority::Normal, 7);
    queue.publish(std::slice::from_ref(&late)).await.expect("published");
    let read = tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("no panic");
    assert_eq!(read[0].step, Some(late.id));
}

async fn readers_of_changes_are_woken(queue: &SharedQueue) {
    let moved = [Moved { run: RunId::new(), ended: false }, Moved { run: RunId::new(), ended: true }];
    let seen: Arc<Mutex<Vec<Moved>>> = Arc::default();
    let listening = tokio::spawn({
        let (queue, seen) = (Arc::clone(queue), Arc::clone(&seen));
        async move { queue.run_changes(&|moved| seen.lock().expect("no panic").extend(moved)).await }
    });
    let told = async {
        // Whoever is not listening yet misses it: that is allowed, and readers poll.
        while !seen.lock().expect("no panic").ends_with(&moved) {
            queue.follow_up(FollowUp { moved: &moved, ..FollowUp::default() }).await.expect("told");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("woken");
    listening.abort();
}

async fn doubled_acknowledgements_change_nothing(queue: &dyn Queue) {
    let twice = stream("twice", Priority::Normal);
    let mut reader = queue.reader(WorkerId::new(), &["twice".to_owned()], BLOCK).expect("a reader");
    queue
        .publish(&[ready("twice", Priority::Normal, 1), ready("twice", Priority::Normal, 2)])
        .await
        .expect("published");
    let read = read(&mut *reader, 2).await;
    for _ in 0..2 {
        queue.follow_up(FollowUp { done: &read[..1], ..FollowUp::default() }).await.expect("acknowledged");
        assert_eq!(state(queue, &twice).await, (1, 1));
    }
    queue.follow_up(FollowUp { done: &read[1..], ..FollowUp::default() }).await.expect("acknowledged");
}

/// So many messages; bounded.
async fn read(reader: &mut dyn pawl_queue::Reader, count: usize) -> Vec<Delivery> {
    let mut read = Vec::new();
    let reading = async {
        while read.len() < count {
            read.extend(reader.read(count).await.expect("read"));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("all messages come");
    read
}

/// Messages in a stream, and those of them that are pending.
async fn state(queue: &dyn Queue, stream: &Stream) -> (usize, usize) {
    let states = queue.streams().await.expect("streams");
    states.iter().find(|state| state.stream == *stream).map_or((0, 0), |state| (state.length, state.pending))
}

async fn a_message_tells_what_its_step_starts_with(queue: &dyn Queue) {
    let mut reader = queue.reader(WorkerId::new(), &["starts".to_owned()], BLOCK).expect("a reader");
    let input = (0..=255).collect();
    let start = Start { pipeline: Digest::of(b"pipeline"), component: Digest::of(b"component"), input };
    let told = Ready { start: Some(start.clone()), ..ready("starts", Priority::Normal, 1) };
    queue.publish(&[told, ready("starts", Priority::Normal, 2)]).await.expect("published");
    let read = read(&mut *reader, 2).await;
    let starts: Vec<_> = read.into_iter().map(|delivery| delivery.start).collect();
    assert_eq!(starts, [Some(start), None], "byte by byte");
}

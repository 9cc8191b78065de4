//! A message carries nothing that matters if it is lost, late, doubled or reordered.

use anyhow::Result;
use pawl_tests::{Cluster, bounds};
use serde_json::json;

use crate::pipelines;

#[test]
fn doubled_and_reordered_deliveries_change_nothing() -> Result<()> {
    let mut cluster = Cluster::start("doubled_and_reordered")?;
    pipelines::chain(&cluster, 3)?;
    let inputs: Vec<_> = (0..40).map(|number| json!({"number": number})).collect();
    let runs = cluster.client.submit_all("chain-3", &inputs)?;

    // No worker has started: the stream holds exactly the first steps.
    let stream = cluster.stream("default", "normal")?;
    let messages = cluster.redis.messages(&stream)?;
    assert_eq!(messages.len(), runs.len());
    for message in messages.iter().rev() {
        let ready_at = &message.fields["ready_at"];
        let run = message.fields["run"].parse()?;
        for _ in 0..3 {
            cluster.redis.deliver(&stream, run, 0, ready_at)?;
        }
        // Steps that are not ready yet, and a message from the far past.
        cluster.redis.deliver(&stream, run, 2, ready_at)?;
        cluster.redis.deliver(&stream, run, 1, "1")?;
        let _: i64 = cluster.redis.command(&["XDEL", &stream, &message.id])?;
    }

    cluster.worker("a").start()?;
    cluster.worker("b").start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    let repeated: i64 = cluster.database.value("select count(*) from step where attempts <> 1")?;
    assert_eq!(repeated, 0, "a doubled message had a step executed twice");
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(cluster.client.output(*run, "s2")?, json!({"number": number}));
    }
    cluster.finish()
}

#[test]
fn messages_that_make_no_sense_are_cleared_away() -> Result<()> {
    let mut cluster = Cluster::start("senseless_messages")?;
    pipelines::chain(&cluster, 1)?;
    let stream = cluster.stream("default", "normal")?;
    let add = |fields: &[&str]| {
        cluster.redis.command::<String>(&[&["XADD", stream.as_str(), "*"], fields].concat()).map(drop)
    };
    add(&["run", "not-a-run", "step", "0", "ready_at", "1"])?;
    add(&["run", "01890000-0000-7000-8000-000000000000", "step", "0", "ready_at", "1"])?;
    add(&["run", "01890000-0000-7000-8000-000000000000", "step", "-7", "ready_at", "never"])?;
    add(&["hello", "world"])?;
    let run = cluster.submit("chain-1", &json!(1))?;
    cluster.redis.deliver(&stream, run, 99, "1")?;
    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn a_step_whose_message_is_lost_is_delivered_again() -> Result<()> {
    let mut cluster = Cluster::start("lost_messages")?;
    pipelines::chain(&cluster, 2)?;
    let runs = cluster.client.submit_all("chain-2", &vec![json!(null); 10])?;
    let stream = cluster.stream("default", "normal")?;
    // Every second message gets lost; the others tell how far the stream has been read.
    for message in cluster.redis.messages(&stream)?.iter().step_by(2) {
        let _: i64 = cluster.redis.command(&["XDEL", &stream, &message.id])?;
    }
    cluster.worker("a").start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

//! Redis as people run it: behind a name that moves, with TLS and users, as a cluster, full, shared, and behind things
//! that cut connections. Delivery goes on by itself, and what it lacks is said.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::Readiness;
use pawl_rehearsal::private::PrivateRedis;
use pawl_tests::wait::Look;
use pawl_tests::{Cluster, Proxy, Redis, RedisCluster, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// What a worker says when it finds that a step was not delivered: that takes more than a lease.
pub(crate) const FOUND_AS_LOST: &str = "ready steps without a message";

/// Waits until `/ready` says this, or that all is well.
pub(crate) fn wait_until_ready_says(cluster: &Cluster, why: Option<&str>) -> Result<()> {
    wait::until(bounds::PROCESS, &format!("/ready to say {why:?}"), || {
        let answer = cluster.client.get("/ready")?;
        let Readiness { reasons, .. } = serde_json::from_slice(&answer.body)?;
        let is_so = match why {
            Some(why) => answer.status == 503 && reasons.iter().any(|reason| reason.contains(why)),
            None => answer.status == 200,
        };
        Ok(if is_so { Look::Done(()) } else { Look::NotYet(format!("{}: {reasons:?}", answer.status)) })
    })
}

pub(crate) fn said(cluster: &Cluster, process: &str) -> String {
    std::fs::read_to_string(cluster.log(process)).unwrap_or_default()
}

#[test]
fn a_redis_that_becomes_a_replica_is_left_for_the_one_that_has_its_name_now() -> Result<()> {
    let mut cluster = Cluster::start("redis_demoted")?;
    let (first, second) =
        (cluster.redis_server.port().to_string(), PrivateRedis::start(&cluster.folder().join("second"))?);
    let port = second.port().to_string();
    let hands = Redis::new(&second.url())?;
    let name = Proxy::start(format!("127.0.0.1:{first}"))?;
    cluster.set("PAWL_REDIS_URL", name.url(&second.url()));
    cluster.start_api(&[])?;
    pipelines::chain(&cluster, 2)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("chain-2", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    wait_until_ready_says(&cluster, None)?;
    // The second follows the first, then they change places. All connections stay open.
    hands.command::<String>(&["REPLICAOF", "127.0.0.1", &first])?;
    wait::until_true(bounds::PROCESS, "the replica", || {
        Ok(hands.command::<String>(&["INFO", "replication"])?.contains("master_link_status:up"))
    })?;
    hands.command::<String>(&["REPLICAOF", "NO", "ONE"])?;
    cluster.redis.command::<String>(&["REPLICAOF", "127.0.0.1", &port])?;
    wait_until_ready_says(&cluster, Some("READONLY"))?;
    let while_away = cluster.submit("chain-2", &json!(1))?;
    name.aim(format!("127.0.0.1:{port}"));
    wait_until_ready_says(&cluster, None)?;
    let after = cluster.submit("chain-2", &json!(1))?;
    cluster.succeeds(while_away, bounds::RECOVERY)?;
    cluster.succeeds(after, bounds::RECOVERY)?;
    // A worker that is connected says why it was not, once for each thing that it could not do.
    wait::until_true(bounds::PROCESS, "the worker to say why", || Ok(said(&cluster, "a").contains("READONLY")))?;
    cluster.redis = hands;
    cluster.finish()
}

#[test]
fn connections_that_were_cut_while_idle_delay_nothing() -> Result<()> {
    let mut cluster = Cluster::start("redis_idle_cut")?;
    pipelines::chain(&cluster, 2)?;
    cluster.worker("a").default_lease().start()?;
    let run = cluster.submit("chain-2", &json!(0))?;
    cluster.succeeds(run, bounds::RUN)?;
    for kinds in [&["normal"][..], &["pubsub"], &["normal", "pubsub"], &["normal"], &["normal"]] {
        for kind in kinds {
            cluster.redis.command::<i64>(&["CLIENT", "KILL", "TYPE", kind])?;
        }
        let run = cluster.submit("chain-2", &json!(0))?;
        cluster.succeeds(run, bounds::RUN)?;
    }
    // And by the server itself: the connection that the API delivers through, its last command an XADD.
    let api = {
        let clients: String = cluster.redis.command(&["CLIENT", "LIST"])?;
        let line = clients.lines().find(|line| line.contains(" cmd=xadd ")).context("nobody delivers")?;
        line.split(' ').next().context("no id")?.to_owned()
    };
    cluster.redis.command::<String>(&["CONFIG", "SET", "timeout", "1"])?;
    wait::until_true(bounds::PROCESS, "the API's connection to be cut", || {
        let clients: String = cluster.redis.command(&["CLIENT", "LIST"])?;
        Ok(!clients.lines().any(|line| line.starts_with(&format!("{api} "))))
    })?;
    let run = cluster.submit("chain-2", &json!(0))?;
    cluster.succeeds(run, bounds::RUN)?;
    let log = said(&cluster, "a");
    ensure!(!log.contains(FOUND_AS_LOST) && !log.contains("no messages are read"), "a cut was noticed:\n{log}");
    cluster.finish()
}

#[test]
fn two_installations_share_a_redis_and_never_meet() -> Result<()> {
    let mut one = Cluster::start("redis_shared_one")?;
    let mut other = Cluster::start("redis_shared_other")?;
    other.use_redis(&one.redis_server.url())?;
    other.start_api(&[])?;
    for cluster in [&mut one, &mut other] {
        pipelines::chain(cluster, 2)?;
        cluster.worker("a").default_lease().start()?;
    }
    for number in 0..20 {
        let runs = [one.submit("chain-2", &json!(number))?, other.submit("chain-2", &json!(number))?];
        one.succeeds(runs[0], bounds::RUN)?;
        other.succeeds(runs[1], bounds::RUN)?;
    }
    for cluster in [&one, &other] {
        ensure!(!said(cluster, "a").contains(FOUND_AS_LOST), "a message was taken by the other installation");
    }
    other.finish()?;
    one.finish()
}

#[test]
fn a_redis_that_is_full_is_named_as_that_and_work_goes_on_when_it_has_room() -> Result<()> {
    let mut cluster = Cluster::start("redis_full")?;
    pipelines::chain(&cluster, 2)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("chain-2", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    wait_until_ready_says(&cluster, None)?;
    cluster.redis.command::<String>(&["CONFIG", "SET", "maxmemory", "1mb"])?;
    wait_until_ready_says(&cluster, Some("(OOM)"))?;
    let run = cluster.submit("chain-2", &json!(1))?;
    wait::until_true(bounds::PROCESS, "the API to say why", || Ok(said(&cluster, "api").contains("(OOM)")))?;
    wait::until_true(bounds::PROCESS, "the worker to say why", || Ok(said(&cluster, "a").contains("(OOM)")))?;
    cluster.redis.command::<String>(&["CONFIG", "SET", "maxmemory", "0"])?;
    wait_until_ready_says(&cluster, None)?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    cluster.finish()
}

/// What `pawl doctor` says of certificates: of what, how it stands, and for how many days more.
pub(crate) fn certificates_of(cluster: &Cluster) -> Result<Vec<(String, String, i64)>> {
    let told = cluster.try_pawl(&["doctor", "--quick", "-o", "json"])?;
    let told: serde_json::Value = serde_json::from_slice(&told.stdout)?;
    let checks = told["checks"].as_array().context("a list")?.iter();
    let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let found = checks.filter(|check| check["check"] == "certificates");
    Ok(found
        .map(|check| (text(check, "subject"), text(check, "status"), check["figures"]["days"].as_i64().unwrap_or(-1)))
        .collect())
}

#[test]
fn a_cluster_of_redis_delivers_through_a_killed_master_a_failover_and_a_slot_that_moves() -> Result<()> {
    let mut cluster = Cluster::start("redis_cluster")?;
    let mut nodes = RedisCluster::start(&cluster.folder().join("nodes"))?;
    let stream = cluster.stream("default", "normal")?;
    let master = nodes.master_of(&stream, 0)?;
    // One node is named, and it is neither the master of the keys nor its replica.
    let named = (master + 1) % 3;
    cluster.use_redis(&nodes.url(named))?;
    cluster.redis = nodes.at(master)?;
    cluster.start_api(&[])?;
    wait_until_ready_says(&cluster, None)?;
    pipelines::chain(&cluster, 2)?;
    pipelines::chain_of_naps(&cluster, 5)?;
    // Queues of one worker are read together.
    cluster.worker("a").default_lease().flag("--queues=default,gpu").start()?;
    cluster.worker("b").default_lease().start()?;
    for number in 0..5 {
        let run = cluster.submit("chain-2", &json!(number))?;
        cluster.succeeds(run, bounds::RUN)?;
    }
    ensure!(!said(&cluster, "a").contains(FOUND_AS_LOST), "a step was not delivered");
    ensure!(cluster.client.queues()?.queues.iter().any(|queue| queue.queue == "gpu"));

    let mut runs = cluster.client.submit_all("naps-5", &vec![json!(null); 30])?;
    some_more_end(&cluster)?;
    nodes.nodes[master].stop();
    let replica = wait::until(bounds::PROCESS, "the replica to take over", || {
        Ok(match nodes.master_of(&stream, named) {
            Ok(number) if number != master => Look::Done(number),
            other => Look::NotYet(format!("{other:?}")),
        })
    })?;
    wait_until_ready_says(&cluster, None)?;
    runs.push(cluster.submit("chain-2", &json!(1))?);
    cluster.all_succeed(&runs, bounds::RECOVERY)?;

    // It comes back as a replica, and is made the master again. Nobody's connection is closed by that.
    nodes.nodes[master].launch()?;
    nodes.wait_until_whole()?;
    nodes.wait_until_it_follows(master)?;
    runs.extend(cluster.client.submit_all("naps-5", &vec![json!(null); 30])?);
    some_more_end(&cluster)?;
    nodes.tell(master, &["CLUSTER", "FAILOVER"])?;
    wait::until_true(bounds::PROCESS, "the failover", || Ok(nodes.master_of(&stream, replica)? == master))?;
    runs.push(cluster.submit("chain-2", &json!(1))?);
    cluster.all_succeed(&runs, bounds::RECOVERY)?;

    // The slot moves to another master, key by key.
    runs.extend(cluster.client.submit_all("naps-5", &vec![json!(null); 30])?);
    some_more_end(&cluster)?;
    move_slot(&nodes, &stream, master, named)?;
    cluster.redis = nodes.at(named)?;
    runs.push(cluster.submit("chain-2", &json!(1))?);
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    wait_until_ready_says(&cluster, None)?;
    cluster.finish()
}

fn some_more_end(cluster: &Cluster) -> Result<()> {
    let ended = || cluster.database.value::<i64>("select count(*) from run where ended_at is not null");
    let before = ended()?;
    wait::until_true(bounds::RUN, "some runs to end", || Ok(ended()? >= before + 3))
}

/// As `redis-cli --cluster reshard` does it.
fn move_slot(nodes: &RedisCluster, key: &str, from: usize, to: usize) -> Result<()> {
    let slot: u16 = nodes.at(from)?.command(&["CLUSTER", "KEYSLOT", key])?;
    let slot = slot.to_string();
    let id = |number: usize| nodes.at(number)?.command::<String>(&["CLUSTER", "MYID"]);
    nodes.tell(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)?])?;
    nodes.tell(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)?])?;
    let port = nodes.nodes[to].port().to_string();
    loop {
        let keys: Vec<String> = nodes.at(from)?.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"])?;
        let Some(key) = keys.first() else { break };
        nodes.tell(from, &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"])?;
    }
    for number in [to, from] {
        nodes.tell(number, &["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)?])?;
    }
    Ok(())
}

#[test]
fn a_redis_that_is_away_is_named_by_explain_and_doctor() -> Result<()> {
    let mut cluster = Cluster::start("redis_away_is_said")?;
    pipelines::chain(&cluster, 1)?;
    cluster.redis_server.stop();
    let run = cluster.submit("chain-1", &json!(null))?;
    // How Redis is may have been asked a second ago.
    wait::until(bounds::QUIET, "Redis to be named", || {
        let explained = cluster.pawl(&["run", "explain", &run.to_string()])?;
        let is_named = explained.contains("note: Redis ") && explained.contains("not delivered until it is back");
        Ok(if is_named { Look::Done(()) } else { Look::NotYet(explained) })
    })?;
    let output = cluster.try_pawl(&["doctor"])?;
    let found = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(1), "{found}");
    ensure!(found.contains("all invariants hold") && found.contains("Redis is not available"), "{found}");
    ensure!(found.contains("fail  redis"), "{found}");

    cluster.redis_server.launch()?;
    wait_until_ready_says(&cluster, None)?;
    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let found = cluster.pawl(&["doctor"])?;
    ensure!(found.contains("it takes deliveries"), "{found}");
    let explained = cluster.pawl(&["run", "explain", &run.to_string()])?;
    ensure!(!explained.contains("note:"), "{explained}");
    cluster.finish()
}

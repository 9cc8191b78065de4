//! The check of all promises, over the whole database, Redis and what targets saw: the invariants of `docs/protocol.md`.
//!
//! Those that the database alone can tell are the same queries as `pawl doctor`'s; the others need what a
//! test knows: the streams, the answers that its client got, and the log of its targets.

use std::time::Duration;

use pawl_store::Postgres;
use pawl_store::doctor::Invariants as _;

use crate::runtime::block_on;
use crate::wait::{self, Look};
use crate::{Cluster, Target, binary, bounds};

/// Waits until nothing moves: no step runs, no stream holds a message, no worker says that it executes
/// something.
///
/// # Errors
/// If something still moves after `bound`.
pub fn wait_until_quiet(cluster: &Cluster, bound: Duration) -> anyhow::Result<()> {
    wait::until(bound, "all to be quiet", || {
        let moving = moving(cluster)?;
        Ok(if moving.is_empty() { Look::Done(()) } else { Look::NotYet(moving.join(", ")) })
    })
}

fn moving(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let mut moving = Vec::new();
    let steps: i64 = cluster.database.value("select count(*) from step where status in ('running', 'ready')")?;
    if steps > 0 {
        moving.push(format!("{steps} steps are ready or running"));
    }
    // Invariant 3: the database says that nothing runs; so must the workers.
    let listed: i64 =
        cluster.database.value("select coalesce(sum(running), 0) from worker where expires_at > now()")?;
    if listed > 0 {
        moving.push(format!("workers list {listed} steps as running"));
    }
    // Invariant 10: whatever the streams hold now is for steps that have ended.
    for stream in cluster.redis.streams()? {
        let (messages, pending) = (cluster.redis.messages(&stream)?, cluster.redis.pending(&stream)?);
        if messages.len() + pending > 0 {
            let first = messages.first().map(|message| format!(", first {:?}", message.fields)).unwrap_or_default();
            moving.push(format!("{stream} holds {} messages, {pending} pending{first}", messages.len()));
        }
    }
    Ok(moving)
}

/// Steps that were claimed and ended by one commit: these were run before it.
pub const AHEAD: &str = "select count(*) from step where status = 'succeeded' and claimed_at = ended_at";

/// Everything that breaks a promise; for a quiet cluster.
///
/// # Errors
/// If the database or Redis can't be read.
pub fn violations(cluster: &Cluster, targets: &[&Target]) -> anyhow::Result<Vec<String>> {
    let mut violations = in_database(cluster)?;
    let answered = cluster.client.answered();
    let mut distinct = answered.clone();
    distinct.sort();
    distinct.dedup();
    if cluster.database.count_runs(&distinct)? != distinct.len() {
        violations.push(format!("10: of {} submissions that were answered, some do not exist", distinct.len()));
    }
    let ahead: i64 = cluster.database.value(AHEAD)?;
    if !binary::runs_ahead() && ahead > 0 {
        violations.push(format!("{ahead} steps were run ahead of their claims, which is switched off"));
    }
    violations.extend(targets.iter().flat_map(|target| target.violations()).map(|line| format!("8: {line}")));
    Ok(violations)
}

/// The same check as `pawl doctor`'s, over the whole database.
///
/// A worker says with its heartbeat what it runs. One that was on its way while the last step ended says so late:
/// what breaks invariant 3 alone must still do so after the next ones.
fn in_database(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let url = cluster.postgres.url();
    // A store starts its connections' housekeeping on the runtime that it is made on.
    let doctor =
        || block_on(async { Postgres::new(&url, 1, Duration::from_secs(30))?.doctor(Duration::ZERO, true).await });
    wait::until(bounds::QUIET, "workers to list what the database does", || {
        let found = doctor()?;
        let may_be_late = !found.is_empty() && found.iter().all(|violation| violation.invariant == 3);
        let lines: Vec<String> = found.iter().map(|found| format!("{}: {}", found.invariant, found.what)).collect();
        Ok(if may_be_late { Look::NotYet(lines.join("\n")) } else { Look::Done(lines) })
    })
}

//! `pawl worker list`, `pawl worker drain`: workers, as those see them who keep them running. Without a verb, `pawl worker` is one.

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Subcommand;
use pawl_api::client::Client;
use pawl_api::types::{AskedToDrain, WorkerList};
use pawl_base::tell;
use pawl_domain::id::WorkerId;
use pawl_domain::pipeline_file::parse_duration_ms;

use super::exit::{not_found, usage};
use super::outage::Outage;
use super::output::{Answer, Format, Output, Table, ago, duration, now_ms, or_dash, short};

/// Workers that went, in a table, unless somebody wants more.
const GONE: usize = 10;

/// Between two looks whether a worker has ended.
const LOOK: Duration = Duration::from_millis(300);

/// Verbs of `pawl worker`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Worker processes, their builds and leases, and those that went within a day
    List {
        /// At most so many of those that went, the latest [default: 10 in a table, else all that there are]
        #[arg(long, value_name = "N")]
        gone: Option<usize>,
        #[command(flatten)]
        output: Output,
    },
    /// Ask a worker to take nothing new, to finish or hand back what it has, and to end, as SIGTERM does
    #[command(
        after_help = "It hears of it with its next heartbeat, within a fifth of its lease, and its process ends with exit\n\
                            code 0. Whatever starts such processes may start it again.\n\n\
                            Examples:\n  pawl worker drain 2f7c9be1\n  pawl worker drain 2f7c9be1 --wait 2m"
    )]
    Drain {
        /// The worker's id, or its last digits, as `pawl worker list` shows them
        worker: String,
        /// Wait until it has ended, for so long at most; exit code 1 if it has not, or died instead
        #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
        wait: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client) -> anyhow::Result<()> {
    match verb {
        Verb::List { gone, output } => {
            let mut list = list(client).await?;
            let most = gone.unwrap_or(if output.format() == Format::Table { GONE } else { usize::MAX });
            let left = list.gone.len().saturating_sub(most);
            list.gone.truncate(most);
            output.print(&list)?;
            if left > 0 {
                tell!("there are more that went, {left}: raise --gone");
            }
        }
        Verb::Drain { worker, wait, output } => {
            let id = match worker.parse::<WorkerId>() {
                Ok(id) => id,
                Err(_) => meant(&list(client).await?, &worker)?,
            };
            let id_text = id.to_string();
            output.print(&client.post_empty::<AskedToDrain>(&["v1", "workers", &id_text, "drain"]).await?)?;
            if let Some(wait_ms) = wait {
                until_ended(client, id, Duration::from_millis(wait_ms)).await?;
            }
        }
    }
    Ok(())
}

async fn list(client: &Client) -> anyhow::Result<WorkerList> {
    Ok(client.get(&["v1", "workers"], &[]).await?)
}

/// The worker whose id ends, or begins, with these digits.
fn meant(list: &WorkerList, digits: &str) -> anyhow::Result<WorkerId> {
    let digits = digits.to_ascii_lowercase();
    let all = list.workers.iter().map(|worker| worker.id).chain(list.gone.iter().map(|gone| gone.id));
    let mut fit: Vec<WorkerId> = all
        .filter(|id| {
            let id = id.to_string();
            !digits.is_empty() && (id.ends_with(&digits) || id.starts_with(&digits))
        })
        .collect();
    fit.sort();
    fit.dedup();
    match fit[..] {
        [id] => Ok(id),
        [] => Err(not_found(format!("no worker's id begins or ends with {digits:?}: `pawl worker list` shows them"))),
        _ => Err(usage(format!("{} workers have ids that begin or end with {digits:?}: give more of it", fit.len()))),
    }
}

async fn until_ended(client: &Client, id: WorkerId, limit: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    let mut outage = Outage::default();
    loop {
        // The API may be started again meanwhile; who waits is told, and waits no longer than was said.
        let list = match client.get::<WorkerList>(&["v1", "workers"], &[]).await {
            Ok(list) => list,
            Err(error) if error.is_passing() && Instant::now() < end => {
                outage.pass(&error).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        outage.is_over();
        if let Some(gone) = list.gone.iter().find(|gone| gone.id == id) {
            if gone.said_goodbye {
                tell!("it has ended");
                return Ok(());
            }
            bail!("worker {id} died while it drained: what it had goes on elsewhere");
        }
        if Instant::now() >= end {
            let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
            bail!("worker {id} has not ended within {}: it goes on draining", duration(limit_ms));
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Answer for AskedToDrain {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn text(&self) -> String {
        match self.before {
            false => format!("worker {} drains with its next heartbeat, and ends then", self.id),
            true => format!("worker {} drains already", self.id),
        }
    }
}

impl Answer for WorkerList {
    fn ids(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.id.to_string()).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["WORKER", "HOST", "PID", "VERSION", "LEASE", "RUNNING", "QUEUES", "STARTED"]);
        for worker in &self.workers {
            let left_ms = worker.expires_at_ms - now_ms();
            let lease = match (worker.alive, worker.draining, worker.drain_asked) {
                (true, true, _) => "draining".to_owned(),
                (true, false, true) => "to drain".to_owned(),
                (true, false, false) => format!("{} left", duration(left_ms.max(0))),
                (false, ..) => format!("expired {} ago", duration((-left_ms).max(0))),
            };
            table.row([
                short(worker.id),
                worker.host.clone(),
                worker.pid.to_string(),
                or_dash(worker.version.as_deref()),
                lease,
                format!("{}/{}", worker.running, worker.slots),
                worker.queues.join(","),
                ago(worker.started_at_ms),
            ]);
        }
        let mut gone = Table::new(["GONE", "HOST", "PID", "WHEN", "HOW", "STARTED"]);
        for worker in &self.gone {
            gone.row([
                short(worker.id),
                worker.host.clone(),
                worker.pid.to_string(),
                ago(worker.gone_at_ms),
                if worker.said_goodbye { "said goodbye" } else { "its lease ended" }.to_owned(),
                ago(worker.started_at_ms),
            ]);
        }
        if self.gone.is_empty() { table.to_string() } else { format!("{table}\n{gone}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_api::types::GoneWorker;

    fn gone(id: &str) -> GoneWorker {
        GoneWorker {
            id: id.parse().expect("an id"),
            host: "h".into(),
            pid: 1,
            slots: 1,
            queues: Vec::new(),
            started_at_ms: 0,
            gone_at_ms: 0,
            said_goodbye: true,
        }
    }

    #[test]
    fn a_worker_is_meant_by_the_digits_that_are_shown() {
        let ids = ["019a3c40-0d31-7a55-8f0e-2f7c9be1d4a6", "019a3c41-0d31-7a55-8f0e-2f7c9be1d4a6"];
        let list = WorkerList { workers: Vec::new(), gone: ids.map(gone).into() };
        assert_eq!(meant(&list, "019a3c41").expect("one").to_string(), ids[1]);
        let several = meant(&list, "9BE1D4A6").expect_err("two").to_string();
        assert!(several.contains("2 workers") && several.contains("give more of it"), "{several}");
        for none in ["1234", ""] {
            assert!(meant(&list, none).expect_err("none").to_string().contains("`pawl worker list`"));
        }
    }
}

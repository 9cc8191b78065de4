//! `pawl admin`: what operators look at and set going.

use clap::Subcommand;
use pawl_api::client::Client;
use pawl_api::types::{QueueList, Requeued, WorkerList};

use super::output::{Answer, Output, Table, ago, duration, now_ms, short};

/// Verbs of `pawl admin`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Deliver steps again whose worker is gone (workers do this by themselves; this does it now)
    RequeueProcessing,
    /// Deliver ready steps again that nobody has claimed, for example after a loss of Redis
    RequeueStale,
    /// Worker processes and their leases, and those that went within a day
    Workers,
    /// Streams, their depth and pending messages
    Queues,
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client, output: Output) -> anyhow::Result<()> {
    match verb {
        Verb::RequeueProcessing => {
            output.print(&client.post_empty::<Requeued>(&["admin", "requeue_processing"]).await?)?;
        }
        Verb::RequeueStale => output.print(&client.post_empty::<Requeued>(&["admin", "requeue_stale"]).await?)?,
        Verb::Workers => output.print(&client.get::<WorkerList>(&["v1", "workers"], &[]).await?)?,
        Verb::Queues => output.print(&client.get::<QueueList>(&["v1", "queues"], &[]).await?)?,
    }
    Ok(())
}

impl Answer for Requeued {
    fn ids(&self) -> Vec<String> {
        vec![self.requeued.to_string()]
    }

    fn text(&self) -> String {
        match self.requeued {
            0 => "nothing to deliver again".to_owned(),
            1 => "delivered 1 step again".to_owned(),
            count => format!("delivered {count} steps again"),
        }
    }
}

impl Answer for WorkerList {
    fn ids(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.id.to_string()).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["WORKER", "HOST", "PID", "LEASE", "RUNNING", "QUEUES", "STARTED"]);
        for worker in &self.workers {
            let left_ms = worker.expires_at_ms - now_ms();
            let lease = match (worker.alive, worker.draining) {
                (true, false) => format!("{} left", duration(left_ms.max(0))),
                (true, true) => "draining".to_owned(),
                (false, _) => format!("expired {} ago", duration((-left_ms).max(0))),
            };
            table.row([
                short(worker.id),
                worker.host.clone(),
                worker.pid.to_string(),
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

impl Answer for QueueList {
    fn ids(&self) -> Vec<String> {
        self.queues.iter().map(|queue| format!("{}:{}", queue.queue, queue.priority.as_str())).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["QUEUE", "PRIORITY", "DEPTH", "PENDING", "CONSUMERS"]);
        for queue in &self.queues {
            table.row([
                queue.queue.clone(),
                queue.priority.as_str().to_owned(),
                queue.depth.to_string(),
                queue.pending.to_string(),
                queue.consumers.to_string(),
            ]);
        }
        table.to_string()
    }
}

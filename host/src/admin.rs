//! `pawl admin`: what operators look at and set going.

use clap::Subcommand;
use pawl_api::client::Client;
use pawl_api::types::{QueueList, Requeued};

use super::output::{Answer, Output};

/// Verbs of `pawl admin`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Deliver steps again whose worker is gone (workers do this by themselves; this does it now)
    RequeueProcessing,
    /// Deliver ready steps again that nobody has claimed, for example after a loss of Redis
    RequeueStale,
    /// The same as `pawl worker list`
    Workers,
    /// The same as `pawl queue list`, without rates
    Queues,
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client, output: Output) -> anyhow::Result<()> {
    match verb {
        Verb::RequeueProcessing => {
            output.print(&client.post_empty::<Requeued>(&["admin", "requeue_processing"]).await?)?;
        }
        Verb::RequeueStale => output.print(&client.post_empty::<Requeued>(&["admin", "requeue_stale"]).await?)?,
        Verb::Workers => super::worker::run(super::worker::Verb::List { gone: None, output }, client).await?,
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

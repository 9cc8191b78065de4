//! `pawl queue`: what waits in queues, who reads them, and how fast they drain.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Subcommand;
use pawl_api::client::Client;
use pawl_api::types::{PauseChanged, PauseRequest, QueueDetail, QueueList, Scale};
use pawl_base::tell;
use pawl_domain::pipeline_file::parse_duration_ms;

use super::outage::Outage;
use super::output::{Format, Output, print, print_json};
use rates::{Rates, alone, between};
use show::{Detail, Listed, Streams, Watched, head, line};

mod rates;
mod show;

/// Verbs of `pawl queue`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Streams: what waits, what is pending, how fast it comes and goes
    #[command(
        after_help = "Rates are those between two looks. UNREAD messages have reached no worker; PENDING ones have, and their\n\
                            steps are executed, or about to be. They are messages, not steps: one that may have been lost is\n\
                            delivered again, and of two that tell of the same step the second is dropped when it is read. How\n\
                            many there are of these, `pawl queue show` tells."
    )]
    List {
        /// How long to look, for the rates; 0s for none
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration_ms)]
        over: u64,
        #[command(flatten)]
        output: Output,
    },
    /// One queue: its streams, who reads them, and since when messages are pending
    Show {
        /// The queue
        name: String,
        /// How long to look, for the rates; 0s for none
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration_ms)]
        over: u64,
        #[command(flatten)]
        output: Output,
    },
    /// Start no step of a queue until it is unpaused, whoever serves it; what runs goes on to its end
    Pause {
        /// The queue
        name: String,
        /// Why, for whoever finds it paused
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Let the steps of a queue start again
    Unpause {
        /// The queue
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// A line for each queue, again and again: how it drains
    #[command(after_help = "Example:\n  pawl queue watch default --until-empty")]
    Watch {
        /// Only this queue
        name: Option<String>,
        /// Between two looks
        #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration_ms)]
        every: u64,
        /// End once nothing is left in it, or in any
        #[arg(long)]
        until_empty: bool,
        #[command(flatten)]
        output: Output,
    },
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client) -> anyhow::Result<()> {
    match verb {
        Verb::List { over, output } => {
            let before = if over > 0 { Some((streams(client).await?, Instant::now())) } else { None };
            tokio::time::sleep(Duration::from_millis(over)).await;
            let after = streams(client).await?;
            let (paused, remarks) = (after.paused.clone(), after.remarks.clone());
            output.print(&Streams { queues: with_rates(before, after), paused, remarks })?;
        }
        Verb::Show { name, over, output } => {
            let path = ["v1", "queues", name.as_str()];
            let before: QueueDetail = client.get(&path, &[]).await?;
            let asked = Instant::now();
            let mut after = None;
            if over > 0 {
                tokio::time::sleep(Duration::from_millis(over)).await;
                after = Some(client.get::<QueueDetail>(&path, &[]).await?);
            }
            output.print(&detail(before, after, asked.elapsed()))?;
        }
        Verb::Pause { name, reason, output } => {
            let path = ["v1", "queues", name.as_str(), "pause"];
            output.print(&client.post::<PauseChanged>(&path, &PauseRequest { reason }).await?)?;
        }
        Verb::Unpause { name, output } => {
            output.print(&client.post_empty::<PauseChanged>(&["v1", "queues", name.as_str(), "unpause"]).await?)?;
        }
        Verb::Watch { name, every, until_empty, output } => {
            watch(client, name.as_deref(), Duration::from_millis(every.max(100)), until_empty, output).await?;
        }
    }
    Ok(())
}

async fn streams(client: &Client) -> anyhow::Result<QueueList> {
    Ok(client.get(&["v1", "queues"], &[]).await?)
}

/// Each stream, with what came and went since it was looked at before.
fn with_rates(before: Option<(QueueList, Instant)>, after: QueueList) -> Vec<Listed> {
    let listed = after.queues.into_iter().map(|queue| {
        let rates = before.as_ref().map(|(list, at)| {
            let same = list.queues.iter().find(|old| old.queue == queue.queue && old.priority == queue.priority);
            between(same, &queue, at.elapsed())
        });
        Listed { rates: rates.unwrap_or_else(|| alone(&queue)), queue }
    });
    listed.collect()
}

fn detail(before: QueueDetail, after: Option<QueueDetail>, over: Duration) -> Detail {
    let Some(after) = after else { return Detail { rates: Vec::new(), queue: before } };
    let pairs = before.streams.iter().zip(&after.streams);
    let rates = pairs.map(|(before, after)| between(Some(&before.stream), &after.stream, over)).collect();
    Detail { rates, queue: after }
}

/// A queue is empty that has been for so long: what `/v1/scale` tells may be two seconds old.
const SETTLED: Duration = Duration::from_secs(3);

async fn watch(
    client: &Client,
    name: Option<&str>,
    every: Duration,
    until_empty: bool,
    output: Output,
) -> anyhow::Result<()> {
    if let Some(name) = name {
        // One that there is not would look empty.
        client.get::<QueueDetail>(&["v1", "queues", name], &[]).await?;
    }
    let is_meant = |queue: &str| name.is_none_or(|name| name == queue);
    let mut before: Option<(QueueList, Instant)> = None;
    let mut empty_since: Option<Instant> = None;
    let mut outage = Outage::default();
    // Before the first answer, an API that can't be reached is more likely a wrong address than an outage.
    let mut seen = streams(client).await?;
    if output.format() == Format::Table {
        print(&head())?;
    }
    loop {
        seen.queues.retain(|queue| is_meant(&queue.queue));
        let kept = (seen.clone(), Instant::now());
        let mut sums = BTreeMap::<String, Rates>::new();
        for Listed { queue, rates } in with_rates(before.take(), seen) {
            let sum = sums.entry(queue.queue.clone()).or_default();
            *sum = sum.and(&rates);
        }
        let mut left: u64 = kept.0.queues.iter().map(|queue| queue.depth).sum();
        match output.format() {
            Format::Ids => print(&sums.keys().cloned().collect::<Vec<_>>().join("\n"))?,
            Format::Json => {
                for (queue, sum) in &sums {
                    print_json(&serde_json::to_string(&Watched::now(queue, sum))?)?;
                }
            }
            Format::Table => {
                for (queue, sum) in &sums {
                    print(&line(queue, sum))?;
                }
            }
        }
        if until_empty && left == 0 {
            // What has no message, because the queue has lost it, waits all the same.
            let scale: Scale = outage.outlast(async || client.get(&["v1", "scale"], &[]).await).await?;
            left = scale.queues.iter().filter(|queue| is_meant(&queue.queue)).map(|queue| queue.steps).sum();
        }
        if left > 0 {
            empty_since = None;
        }
        if until_empty && left == 0 && empty_since.get_or_insert_with(Instant::now).elapsed() > SETTLED {
            for paused in kept.0.paused.iter().filter(|paused| is_meant(&paused.queue)) {
                tell!("{} is paused: what waits for that to end is not looked at", paused.queue);
            }
            return Ok(());
        }
        before = Some(kept);
        tokio::time::sleep(every).await;
        // Redis or the API may be away for a while; whoever watches sees when they are back.
        seen = outage.outlast(async || client.get(&["v1", "queues"], &[]).await).await?;
    }
}

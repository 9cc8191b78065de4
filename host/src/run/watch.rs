//! `pawl run watch`: follows a run's events to its end, over lost connections and restarts of the API.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use pawl_api::client::{Client, Error};
use pawl_api::types::{Event, EventKind, RunStatus};
use pawl_base::tell;

use super::{show, sse};
use crate::outage::Outage;
use crate::output::{Format, Output, one_line, print, print_json, utc};

/// Pause before a stream is opened again.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// The server sends a comment now and then: longer silence means that it is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// What has been seen of a run.
#[derive(Debug, Default)]
struct Seen {
    number: u32,
    start_ms: Option<i64>,
    /// How the run ended, if its end was the last that was seen of it.
    ended: Option<RunStatus>,
}

/// Shows every event once, in order; returns how the run ended. As JSON, each line is an event.
pub(super) async fn follow(client: &Client, run: &str, output: Output) -> anyhow::Result<RunStatus> {
    let mut seen = Seen::default();
    let mut outage = Outage::default();
    loop {
        let read = read(client, run, &mut seen, output).await;
        if let Some(status) = seen.ended {
            return Ok(status);
        }
        match read {
            Ok(()) => {
                outage.is_over();
                tokio::time::sleep(PAUSE).await;
            }
            // Before the first event, an API that can't be reached is more likely a wrong address than an outage.
            Err(error) => match error.downcast_ref::<Error>() {
                Some(lost) if seen.number > 0 && lost.is_passing() => outage.pass(lost).await,
                _ => return Err(error),
            },
        }
    }
}

/// Reads one stream to its end, from after the last event that was seen.
async fn read(client: &Client, run: &str, seen: &mut Seen, output: Output) -> anyhow::Result<()> {
    let stream = client.stream(&["v1", "runs", run, "events"], &[], seen.number.into()).await?;
    let Some(mut stream) = stream else { return Ok(()) };
    let mut parser = sse::Parser::default();
    while let Ok(Some(chunk)) = tokio::time::timeout(SILENCE, stream.next()).await {
        for data in parser.push(&chunk?) {
            let event: Event = serde_json::from_str(&data).context("the API sent an event that can't be read")?;
            if event.number > seen.number {
                tell(run, &event, &data, seen, output)?;
            }
        }
    }
    Ok(())
}

fn tell(run: &str, event: &Event, data: &str, seen: &mut Seen, output: Output) -> anyhow::Result<()> {
    seen.number = event.number;
    seen.ended = match event.kind.parse() {
        Ok(EventKind::RunSucceeded) => Some(RunStatus::Succeeded),
        Ok(EventKind::RunFailed) => Some(RunStatus::Failed),
        Ok(EventKind::RunCancelled) => Some(RunStatus::Cancelled),
        _ => None,
    };
    if seen.start_ms.is_none() && output.format() == Format::Table {
        tell!("times are those since {} UTC", utc(event.at_ms));
        print(&show::head())?;
    }
    let start_ms = *seen.start_ms.get_or_insert(event.at_ms);
    match output.format() {
        Format::Table => print(&show::line(event, start_ms))?,
        Format::Json => print_json(data)?,
        Format::Ids => print(&event.number.to_string())?,
    }
    // It may go on in other steps, and a person may decide: it is followed all the same.
    if event.is(EventKind::StepParked) {
        let step = one_line(event.step.as_deref().unwrap_or_default());
        tell!("step {step} waits for a person: `pawl run explain {run}` says what can be done");
    }
    Ok(())
}

//! `pawl run inbox`: signals that no step has taken, and those that a step has failed by.

use clap::{Args, Subcommand};
use pawl_api::client::Client;
use pawl_api::types::{Changed, Inbox, InboxSignal, SignalDetail};

use super::id::run_id;
use crate::input;
use crate::output::{Answer, Output, Table, ago, fields, or_dash, size, there_are_more};

/// Verbs of `pawl run inbox`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// The signals that no step has taken, and those that a step has failed by, which none takes any more
    List {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// Only signals after this number: the next page
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: u32,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One of them, with what it carries
    Get(Which),
    /// Take one away: no step will take it, and what it carries is gone
    Remove(Which),
    /// Let one carry something else; it keeps its turn, and returns to the inbox if it was rejected
    Replace {
        #[command(flatten)]
        which: Which,
        /// What it carries: JSON, @FILE, or - for standard input
        #[arg(long, value_name = "JSON|@FILE|-")]
        payload: String,
    },
    /// Put one that was rejected into the inbox again, as it is
    Return(Which),
}

impl Verb {
    /// The run that it is about, as it was given.
    pub(super) fn run_mut(&mut self) -> &mut String {
        match self {
            Self::List { run, .. } => run,
            Self::Get(which) | Self::Remove(which) | Self::Return(which) | Self::Replace { which, .. } => {
                &mut which.run
            }
        }
    }
}

/// A signal of a run.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The run's id, or its first digits
    #[arg(value_parser = run_id)]
    run: String,
    /// The signal's number, as `list` shows it
    number: u32,
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client, output: Output) -> anyhow::Result<()> {
    match verb {
        Verb::List { run, after, limit } => {
            let (after, limit) = (after.to_string(), limit.to_string());
            let query = [("after", after.as_str()), ("limit", limit.as_str())];
            let found: Inbox = client.get(&["v1", "runs", &run, "inbox"], &query).await?;
            output.print(&found)?;
            if let Some(next) = found.next {
                there_are_more("--after", next);
            }
        }
        Verb::Get(Which { run, number }) => {
            output
                .print(&client.get::<SignalDetail>(&["v1", "runs", &run, "inbox", &number.to_string()], &[]).await?)?;
        }
        Verb::Remove(Which { run, number }) => {
            output.print(&client.delete::<Changed>(&["v1", "runs", &run, "inbox", &number.to_string()]).await?)?;
        }
        Verb::Replace { which: Which { run, number }, payload } => {
            let payload = input::json("--payload", &payload)?;
            let path = ["v1", "runs", &run, "inbox", &number.to_string()];
            output.print(&client.put::<Changed>(&path, &payload).await?)?;
        }
        Verb::Return(Which { run, number }) => {
            let path = ["v1", "runs", &run, "inbox", &number.to_string(), "return"];
            output.print(&client.post_empty::<Changed>(&path).await?)?;
        }
    }
    Ok(())
}

impl Answer for Inbox {
    fn ids(&self) -> Vec<String> {
        self.signals.iter().map(|signal| signal.number.to_string()).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::with_text(["NO", "SIGNAL", "SENT", "SIZE", "KEY", "NOTE"]);
        for signal in &self.signals {
            table.row([
                signal.number.to_string(),
                signal.name.clone(),
                ago(signal.sent_at_ms),
                size(signal.size_bytes),
                or_dash(signal.idempotency_key.as_ref()),
                note(signal),
            ]);
        }
        table.to_string()
    }
}

impl Answer for SignalDetail {
    fn ids(&self) -> Vec<String> {
        vec![self.signal.number.to_string()]
    }

    fn text(&self) -> String {
        let signal = &self.signal;
        let head = fields(&[
            ("number", signal.number.to_string()),
            ("signal", signal.name.clone()),
            ("sent", ago(signal.sent_at_ms)),
            ("key", or_dash(signal.idempotency_key.as_ref())),
            ("note", note(signal)),
        ]);
        format!("{head}\npayload\n{}\n", self.payload.get())
    }
}

fn note(signal: &InboxSignal) -> String {
    let Some(rejected) = &signal.rejected else { return "in the inbox".to_owned() };
    let message = rejected.error.get("message").and_then(|message| message.as_str()).unwrap_or_default();
    format!("rejected: {} failed by it: {message}", rejected.step)
}

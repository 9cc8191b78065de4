//! `pawl run logs`: what steps have logged; with `--follow` until the run, or the step, has ended, over lost connections and
//! restarts of the API.

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt as _;
use pawl_api::client::{Client, Error};
use pawl_api::types::{LogEnd, LogLevel, LogLine, LogList};
use pawl_base::tell;
use pawl_domain::pipeline_file::parse_duration_ms;

use super::id::run_id;
use super::sse;
use super::step::Flagged;
use super::watch::{PAUSE, SILENCE};
use crate::outage::Outage;
use crate::output::{Format, Output, now_ms, one_line, print, print_json, utc};

/// Arguments of `pawl run logs`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The run's id, or its first digits
    #[arg(value_parser = run_id)]
    pub(super) run: String,
    /// Only this step
    step: Option<String>,
    #[command(flatten)]
    flagged: Flagged,
    /// Go on with new lines, until the run, or the step, has ended
    #[arg(short, long)]
    follow: bool,
    /// Only lines of this attempt
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Only lines that matter as much as this, or more: trace, debug, info, warn or error
    #[arg(long)]
    level: Option<LogLevel>,
    /// Only lines that are no older than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    since: Option<u64>,
    /// Only the last so many lines
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
}

impl Arguments {
    fn path(&self) -> Vec<&str> {
        match self.flagged.either(&self.step) {
            Some(step) => vec!["v1", "runs", &self.run, "steps", step, "logs"],
            None => vec!["v1", "runs", &self.run, "logs"],
        }
    }

    /// What is asked for, whatever page.
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.attempt.map(|attempt| ("attempt", attempt.to_string())));
        query.extend(self.level.map(|level| ("level", level.to_string())));
        query.extend(self.since.map(|ms| ("since_ms", now_ms().saturating_sub_unsigned(ms).max(0).to_string())));
        query.extend(self.tail.map(|lines| ("tail", lines.to_string())));
        query
    }
}

/// Shows the lines. As JSON, each is an object on a line of its own.
pub(super) async fn run(arguments: &Arguments, client: &Client, output: Output) -> anyhow::Result<()> {
    let query = arguments.query();
    if arguments.follow {
        return follow(arguments, &query, client, output).await;
    }
    let mut after = 0_u64;
    let mut is_empty = true;
    loop {
        let from = after.to_string();
        let query: Vec<(&str, &str)> =
            borrowed(&query).chain((after > 0).then_some(("after", from.as_str()))).collect();
        let found: LogList = client.get(&arguments.path(), &query).await?;
        show(&found.lines, output)?;
        is_empty &= found.lines.is_empty();
        match found.next {
            Some(next) => after = next,
            None => break,
        }
    }
    if is_empty {
        tell!("there are no lines: nothing that was asked for has logged any, or they are not kept any more");
    }
    Ok(())
}

fn borrowed<'a>(query: &'a [(&'static str, String)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    query.iter().map(|(name, value)| (*name, value.as_str()))
}

/// What has been seen of a log.
#[derive(Debug, Default)]
struct Seen {
    number: u64,
    ended: bool,
}

async fn follow(
    arguments: &Arguments,
    query: &[(&'static str, String)],
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let (mut seen, mut outage) = (Seen::default(), Outage::default());
    let mut is_connected = false;
    loop {
        let read = read(arguments, query, client, &mut seen, &mut is_connected, output).await;
        if seen.ended {
            return Ok(());
        }
        match read {
            Ok(()) => {
                outage.is_over();
                tokio::time::sleep(PAUSE).await;
            }
            // Before the first answer, an API that can't be reached is more likely a wrong address than an outage.
            Err(error) => match error.downcast_ref::<Error>() {
                Some(lost) if is_connected && lost.is_passing() => outage.pass(lost).await,
                _ => return Err(error),
            },
        }
    }
}

/// Reads one stream to its end, from after the last line that was seen.
async fn read(
    arguments: &Arguments,
    query: &[(&'static str, String)],
    client: &Client,
    seen: &mut Seen,
    is_connected: &mut bool,
    output: Output,
) -> anyhow::Result<()> {
    let query: Vec<(&str, &str)> = borrowed(query).collect();
    let stream = client.stream(&arguments.path(), &query, seen.number).await?;
    *is_connected = true;
    let Some(mut stream) = stream else {
        seen.ended = true;
        return Ok(());
    };
    let mut parser = sse::Parser::default();
    while let Ok(Some(chunk)) = tokio::time::timeout(SILENCE, stream.next()).await {
        let mut lines: Vec<LogLine> = Vec::new();
        for data in parser.push(&chunk?) {
            if serde_json::from_str::<LogEnd>(&data).is_ok() {
                seen.ended = true;
                continue;
            }
            let line: LogLine = serde_json::from_str(&data).context("the API sent a line that can't be read")?;
            if line.number > seen.number {
                seen.number = line.number;
                lines.push(line);
            }
        }
        show(&lines, output)?;
    }
    Ok(())
}

fn show(lines: &[LogLine], output: Output) -> anyhow::Result<()> {
    match output.format() {
        Format::Table => print(&lines.iter().map(text).collect::<Vec<_>>().join("\n"))?,
        Format::Json => {
            let lines = lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
            print_json(&lines.join("\n"))?;
        }
        Format::Ids => print(&lines.iter().map(|line| line.number.to_string()).collect::<Vec<_>>().join("\n"))?,
    }
    Ok(())
}

/// A line for people, which stays one whatever the step wrote: when, how much it matters, the step, its attempt and fence, the
/// message, and the fields as JSON.
fn text(line: &LogLine) -> String {
    let level = line.level.as_str().to_uppercase();
    let of_attempt = format!("{}/{}", line.attempt, line.fence);
    let message = line.message.replace('\n', "\\n");
    let fields = line.fields.as_ref().map(|fields| format!("  {}", fields.get())).unwrap_or_default();
    format!("{}Z  {level:<5}  {:<16} {of_attempt:<5}  {message}{fields}", utc(line.at_ms), one_line(&line.step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_base::terminal::harmless;

    #[test]
    fn what_a_step_wrote_stays_on_its_line_and_no_terminal_obeys_it() {
        let line: LogLine = serde_json::from_str(
            r#"{"number": 7, "at_ms": 1795910399125, "step": "load", "attempt": 2, "fence": 5, "level": "warn",
                "worker": "019a3c40-0d31-7a55-8f0e-2f7c9be1d4a6",
                "message": "odd\n2026-11-28 forged\u001b[2J\r\u202e", "fields": {"b": "1\n", "a": ["\u009b", "2"]}}"#,
        )
        .expect("a line");
        assert_eq!(
            harmless(&text(&line)),
            "2026-11-28 23:59:59.125Z  WARN   load             2/5    odd\\n2026-11-28 forged\\u{1b}[2J\\u{d}\\u{202e}  \
             {\"b\": \"1\\n\", \"a\": [\"\\u009b\", \"2\"]}"
        );
        assert!(!text(&line).contains('\n'));
    }
}

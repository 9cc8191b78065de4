//! `pawl run list`: runs by what somebody knows of them. Where no index tells that, the API looks at so many runs at a time, and
//! this goes on until it has as many as are wanted.

use clap::Args;
use pawl_api::client::Client;
use pawl_api::types::{ListedStatus, RunList};
use pawl_domain::pipeline_file::parse_duration_ms;

use super::id::run_id;
use crate::output::{Output, now_ms, there_are_more};

/// Arguments of `pawl run list`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only runs of this status; or those with a parked step, that nobody moves, or that are paused
    #[arg(long, value_name = "pending|running|succeeded|failed|cancelled|parked|stuck|paused")]
    status: Option<ListedStatus>,
    /// Only runs of this pipeline
    #[arg(long)]
    pipeline: Option<String>,
    /// Only runs of the version of a pipeline whose digest begins so
    #[arg(long, value_name = "DIGEST")]
    version: Option<String>,
    /// Only runs that were submitted so long ago at most
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    since: Option<u64>,
    /// Only runs that were submitted longer ago than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    until: Option<u64>,
    /// The run that was submitted under this idempotency key
    #[arg(long, value_name = "KEY", conflicts_with_all = ["status", "pipeline", "version", "since", "until", "key_prefix", "error", "before"])]
    key: Option<String>,
    /// Only runs that were submitted under a key that begins so
    #[arg(long, value_name = "TEXT")]
    key_prefix: Option<String>,
    /// Only runs of which a step was left by an error with this text in it
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only runs older than this one: the next page
    #[arg(long, value_name = "RUN", value_parser = run_or_place)]
    pub(super) before: Option<String>,
}

/// A run, or what the page before has told.
fn run_or_place(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((run, since_ms)) if since_ms.bytes().all(|digit| digit.is_ascii_digit()) => {
            Ok(format!("{}/{since_ms}", run_id(run)?))
        }
        _ => run_id(text),
    }
}

impl Arguments {
    /// What is asked for, whatever page.
    fn query(&self) -> Vec<(&'static str, String)> {
        let ago = |ms: u64| now_ms().saturating_sub_unsigned(ms).to_string();
        let given = [
            ("status", self.status.map(|status| status.as_str().to_owned())),
            ("pipeline", self.pipeline.clone()),
            ("version", self.version.clone()),
            ("since_ms", self.since.map(ago)),
            ("until_ms", self.until.map(ago)),
            ("key", self.key.clone()),
            ("key_prefix", self.key_prefix.clone()),
            ("error", self.error.clone()),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Prints those that are found.
pub(super) async fn list(arguments: &Arguments, client: &Client, output: Output) -> anyhow::Result<()> {
    let (asked, mut before) = (arguments.query(), arguments.before.clone());
    let mut found = RunList { runs: Vec::new(), next: None, looked_at: None, looked_to_ms: None };
    loop {
        let left = (arguments.limit as usize - found.runs.len()).to_string();
        let mut query: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (*name, &**value)).collect();
        query.push(("limit", &left));
        query.extend(before.as_deref().map(|before| ("before", before)));
        let page: RunList = client.get(&["v1", "runs"], &query).await?;
        found.runs.extend(page.runs);
        found.looked_at = page.looked_at.map(|looked_at| looked_at.saturating_add(found.looked_at.unwrap_or(0)));
        found.looked_to_ms = page.looked_to_ms.or(found.looked_to_ms);
        before.clone_from(&page.next);
        found.next = page.next;
        // A page of the API may be full before this one is; only where runs are looked through is it worth going on.
        if found.next.is_none() || found.looked_at.is_none() || found.runs.len() >= arguments.limit as usize {
            break;
        }
    }
    if let (true, Some(pipeline)) = (found.runs.is_empty(), &arguments.pipeline) {
        // One that there is not has no runs, either; this is an error that says what it may be.
        client.get::<serde_json::Value>(&["v1", "pipelines", pipeline], &[]).await?;
    }
    output.print(&found)?;
    if let Some(next) = found.next {
        there_are_more("--before", next);
    }
    Ok(())
}

//! `pawl audit`: who asked for which change, from where, and what came of it; with a token of one namespace, of that one.

use clap::Args;
use pawl_api::client::Client;
use pawl_api::types::ChangeList;
use pawl_base::tell;

use super::output::{Answer, Output, Table, or_dash, utc};
use super::run::{complete, run_id};

/// Arguments of `pawl audit`.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Only changes of this run: its id, or its first digits
    #[arg(long, value_parser = run_id)]
    run: Option<String>,
    /// Only changes before the one of this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

impl Audit {
    /// Prints a page, the newest first.
    pub(super) async fn run(mut self, client: &Client) -> anyhow::Result<()> {
        if let Some(run) = &mut self.run {
            complete(run, client).await?;
        }
        let (limit, before) = (self.limit.to_string(), self.before.map(|before| before.to_string()));
        let mut query = vec![("limit", limit.as_str())];
        query.extend(self.run.as_deref().map(|run| ("run", run)));
        query.extend(before.as_deref().map(|before| ("before", before)));
        let list: ChangeList = client.get(&["v1", "audit"], &query).await?;
        self.output.print(&list)?;
        if let Some(next) = list.next {
            tell!("there are more: --before {next}");
        }
        Ok(())
    }
}

impl Answer for ChangeList {
    fn ids(&self) -> Vec<String> {
        self.changes.iter().map(|change| change.id.to_string()).collect()
    }

    fn text(&self) -> String {
        if self.changes.is_empty() {
            return "nobody has asked for a change".to_owned();
        }
        let mut table =
            Table::with_text(["NUMBER", "TIME (UTC)", "WHO", "FROM", "WHAT", "ANSWER", "NAMESPACE", "ON WHAT"]);
        for change in &self.changes {
            let subject = change.subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
            table.row([
                change.id.to_string(),
                utc(change.at_ms),
                or_dash(change.who.as_ref()),
                change.source.clone(),
                change.what.clone(),
                or_dash(change.status),
                or_dash(change.namespace.as_ref()),
                format!("{}{subject}", change.target),
            ]);
        }
        table.to_string()
    }
}

//! `pawl audit`: who asked for which change, from where, and what came of it; with a token of one namespace, of that one. A page
//! of them, or as lines all that there are, which never stand in memory together.

use clap::Args;
use pawl_api::client::Client;
use pawl_api::types::{Change, ChangeList};
use pawl_domain::pipeline_file::parse_duration_ms;

use super::output::{Answer, Format, Output, Table, now_ms, one_line, or_dash, print, print_json, there_are_more, utc};
use super::run::{complete, run_id};

/// Changes that are asked for at once where all are wanted.
const PIECE: usize = 1_000;

/// Arguments of `pawl audit`.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Only changes of this run: its id, or its first digits
    #[arg(long, value_parser = run_id)]
    run: Option<String>,
    /// Only changes that were asked for with this token, as the list names it: team-a/ci for `ci` of the namespace team-a
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only changes of this kind, as the list names it, for example cancelRun
    #[arg(long, value_name = "OPERATION")]
    what: Option<String>,
    /// Only changes that were asked for so long ago at most
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    since: Option<u64>,
    /// Only changes that were asked for longer ago than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    until: Option<u64>,
    /// Only changes before the one of this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them, as lines: with -o json an object on each
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    output: Output,
}

impl Audit {
    /// Prints them, the newest first.
    pub(super) async fn run(mut self, client: &Client) -> anyhow::Result<()> {
        if let Some(run) = &mut self.run {
            complete(run, client).await?;
        }
        match self.all {
            true => self.lines(client).await,
            false => self.page(client).await,
        }
    }

    async fn page(&self, client: &Client) -> anyhow::Result<()> {
        let (asked, limit) = (self.query(), self.limit as usize);
        let mut found = ChangeList { changes: Vec::new(), next: self.before, looked_at: None, looked_to_ms: None };
        loop {
            let page = ask(client, &asked, limit - found.changes.len(), found.next).await?;
            found.changes.extend(page.changes);
            found.looked_at = page.looked_at.map(|looked_at| looked_at.saturating_add(found.looked_at.unwrap_or(0)));
            found.looked_to_ms = page.looked_to_ms.or(found.looked_to_ms);
            found.next = page.next;
            // A page of the API may be full before this one is; only where lines are looked through is it worth going on.
            if found.next.is_none() || found.looked_at.is_none() || found.changes.len() >= limit {
                break;
            }
        }
        self.output.print(&found)?;
        if let Some(next) = found.next {
            there_are_more("--before", next);
        }
        Ok(())
    }

    async fn lines(&self, client: &Client) -> anyhow::Result<()> {
        let (asked, mut before) = (self.query(), self.before);
        loop {
            let page = ask(client, &asked, PIECE, before).await?;
            show(&page.changes, self.output)?;
            before = page.next;
            if before.is_none() {
                return Ok(());
            }
        }
    }

    /// What is asked for, whatever page.
    fn query(&self) -> Vec<(&'static str, String)> {
        let ago = |ms: u64| now_ms().saturating_sub_unsigned(ms).to_string();
        let given = [
            ("run", self.run.clone()),
            ("who", self.who.clone()),
            ("what", self.what.clone()),
            ("since_ms", self.since.map(ago)),
            ("until_ms", self.until.map(ago)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

async fn ask(
    client: &Client,
    asked: &[(&'static str, String)],
    limit: usize,
    before: Option<i64>,
) -> anyhow::Result<ChangeList> {
    let (limit, before) = (limit.to_string(), before.map(|before| before.to_string()));
    let mut query: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (*name, &**value)).collect();
    query.push(("limit", &limit));
    query.extend(before.as_deref().map(|before| ("before", before)));
    Ok(client.get(&["v1", "audit"], &query).await?)
}

fn show(changes: &[Change], output: Output) -> anyhow::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    match output.format() {
        Format::Table => print(&changes.iter().map(line).collect::<Vec<_>>().join("\n"))?,
        Format::Json => {
            let lines = changes.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
            print_json(&lines.join("\n"))?;
        }
        Format::Ids => print(&changes.iter().map(|change| change.id.to_string()).collect::<Vec<_>>().join("\n"))?,
    }
    Ok(())
}

/// What a row of the table tells, which stays one line whatever stands in it.
fn line(change: &Change) -> String {
    cells(change).map(|cell| one_line(&cell)).join("  ")
}

fn cells(change: &Change) -> [String; 8] {
    let subject = change.subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
    [
        change.id.to_string(),
        utc(change.at_ms),
        or_dash(change.who.as_ref()),
        change.source.clone(),
        change.what.clone(),
        or_dash(change.status),
        or_dash(change.namespace.as_ref()),
        format!("{}{subject}", change.target),
    ]
}

impl Answer for ChangeList {
    fn ids(&self) -> Vec<String> {
        self.changes.iter().map(|change| change.id.to_string()).collect()
    }

    fn text(&self) -> String {
        if self.changes.is_empty() {
            return "nobody has asked for such a change".to_owned();
        }
        let mut table =
            Table::with_text(["NUMBER", "TIME (UTC)", "WHO", "FROM", "WHAT", "ANSWER", "NAMESPACE", "ON WHAT"]);
        self.changes.iter().for_each(|change| table.row(cells(change)));
        table.to_string()
    }
}

//! `pawl incidents`: what happened to the whole installation.

use clap::Args;
use pawl_api::client::Client;
use pawl_api::types::{Incident, IncidentKind, IncidentList};
use pawl_base::tell;
use pawl_domain::pipeline_file::parse_duration_ms;

use super::output::{Answer, Output, Table, counted, duration, now_ms, utc};

/// Arguments of `pawl incidents`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those that last, or have ended within this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    since: Option<u64>,
    /// Only those of this kind
    #[arg(long)]
    kind: Option<IncidentKind>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only those before this one: the next page
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
    #[command(flatten)]
    output: Output,
}

impl List {
    /// Lists them.
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<()> {
        let limit = self.limit.to_string();
        let (since, before) = (self.since.map(|ms| ms.to_string()), self.before.map(|id| id.to_string()));
        let mut query = vec![("limit", limit.as_str())];
        query.extend(self.kind.map(|kind| ("kind", kind.as_str())));
        query.extend(since.as_deref().map(|since| ("within_ms", since)));
        query.extend(before.as_deref().map(|before| ("before", before)));
        let found: IncidentList = client.get(&["v1", "incidents"], &query).await?;
        self.output.print(&found)?;
        if let Some(next) = found.next {
            tell!("there are more: add --before {next}");
        }
        Ok(())
    }
}

impl Answer for IncidentList {
    fn ids(&self) -> Vec<String> {
        self.incidents.iter().map(|incident| incident.id.to_string()).collect()
    }

    fn text(&self) -> String {
        if self.incidents.is_empty() {
            return "nothing has happened to the installation".to_owned();
        }
        let mut table = Table::with_text(["ID", "KIND", "SUBJECT", "BEGAN", "LASTED", "DETAIL"]);
        for incident in &self.incidents {
            table.row([
                incident.id.to_string(),
                incident.kind.to_string(),
                incident.subject.clone(),
                utc(incident.began_at_ms),
                lasted(incident, now_ms()),
                detail(incident),
            ]);
        }
        table.to_string()
    }
}

/// For how long, or since when.
fn lasted(incident: &Incident, now_ms: i64) -> String {
    match incident.ended_at_ms {
        Some(ended_at_ms) => duration((ended_at_ms - incident.began_at_ms).max(0)),
        None => format!("lasts, for {}", duration((now_ms - incident.began_at_ms).max(0))),
    }
}

fn detail(incident: &Incident) -> String {
    match incident.steps {
        Some(steps) => format!("{}, with {}", incident.detail, counted(steps.into(), "step")),
        None => incident.detail.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_lasts_says_so_and_a_dead_worker_what_it_had() {
        let over = Incident {
            id: 7,
            kind: IncidentKind::WorkerDied,
            subject: "w".to_owned(),
            detail: "pid 7 on node-1".to_owned(),
            steps: Some(1),
            began_at_ms: 1_000,
            ended_at_ms: Some(5_200),
        };
        assert_eq!((lasted(&over, 9_000).as_str(), detail(&over).as_str()), ("4.2 s", "pid 7 on node-1, with 1 step"));
        let lasts = Incident { kind: IncidentKind::QueueAway, ended_at_ms: None, steps: None, ..over };
        assert_eq!((lasted(&lasts, 9_000).as_str(), detail(&lasts).as_str()), ("lasts, for 8.0 s", "pid 7 on node-1"));
        let page = IncidentList { incidents: vec![lasts], next: None };
        let text = page.text();
        assert!(text.contains("queue.away") && text.contains("1970-01-01 00:00:01.000"), "{text}");
        let none = IncidentList { incidents: Vec::new(), next: None };
        assert_eq!((none.text().as_str(), none.ids().len()), ("nothing has happened to the installation", 0));
    }
}

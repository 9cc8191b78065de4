//! `pawl retention`: how long runs that have ended are kept, what is due to go, and a run of it now. A worker does it all the
//! time, by its own settings.

use clap::Subcommand;
use pawl_api::client::Client;
use pawl_api::types::{KeptRun, RetentionRun, RetentionStatus};
use pawl_base::tell;

use super::exit::End;
use super::output::{Answer, Output, Table, counted, duration, fields, or_dash, short};

/// Verbs of `pawl retention`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// By what runs are deleted that have ended, how many are due, and since when
    Status,
    /// Delete now what is due, instead of when a worker comes to it
    #[command(after_help = "Interrupted, it has deleted what it said, and goes on when it is run again.\n\n\
                            Examples:\n  pawl retention run --dry-run\n  pawl retention run --yes")]
    Run {
        /// Only tell what is due
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// Do it; what is deleted is gone for good
        #[arg(long)]
        yes: bool,
    },
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client, output: Output) -> anyhow::Result<()> {
    match verb {
        Verb::Status | Verb::Run { dry_run: true, .. } => output.print(&status(client).await?)?,
        Verb::Run { yes: false, .. } => {
            output.print(&status(client).await?)?;
            tell!("nothing was deleted: with --yes, what is due goes for good");
            return Err(End::Said.into());
        }
        Verb::Run { yes: true, .. } => output.print(&delete(client).await?)?,
    }
    Ok(())
}

async fn status(client: &Client) -> anyhow::Result<RetentionStatus> {
    Ok(client.get(&["v1", "retention"], &[]).await?)
}

/// Asks again until nothing is left; says in between how far it is.
async fn delete(client: &Client) -> anyhow::Result<RetentionRun> {
    let mut all = RetentionRun::default();
    loop {
        let some: RetentionRun = client.post_empty(&["v1", "retention", "run"]).await?;
        all.runs += some.runs;
        all.pipeline_versions += some.pipeline_versions;
        all.plugin_versions += some.plugin_versions;
        all.components += some.components;
        all.audit_lines += some.audit_lines;
        if !some.more {
            return Ok(all);
        }
        tell!("{} deleted so far, and there are more", counted(all.runs, "run"));
    }
}

impl Answer for RetentionStatus {
    fn ids(&self) -> Vec<String> {
        vec![self.due_runs.to_string()]
    }

    fn text(&self) -> String {
        let Some(settings) = &self.settings else {
            return "no worker has looked after retention so far: nothing is deleted".to_owned();
        };
        let worker = match self.active {
            true => or_dash(self.worker.map(short)),
            false => "none at the moment; the next one that comes".to_owned(),
        };
        let due = match self.more {
            true => format!("over {}", self.due_runs),
            false => self.due_runs.to_string(),
        };
        let late = self.late_ms.map(|ms| format!("for {}", duration(i64::try_from(ms).unwrap_or(i64::MAX))));
        let mut text = fields(&[
            ("deleted by", worker),
            ("succeeded", settings.succeeded.clone()),
            ("failed", settings.failed.clone()),
            ("cancelled", settings.cancelled.clone()),
            ("versions", format!("{} after nothing names them", settings.versions)),
            ("audit", settings.audit.clone()),
            ("due runs", due),
            ("oldest due", or_dash(late)),
        ]);
        if !self.pipelines.is_empty() {
            let mut table = Table::new(["PIPELINE", "SUCCEEDED", "FAILED", "CANCELLED"]);
            for said in &self.pipelines {
                let terms = &said.retention;
                table.row([
                    said.pipeline.clone(),
                    or_dash(terms.succeeded.clone()),
                    or_dash(terms.failed.clone()),
                    or_dash(terms.cancelled.clone()),
                ]);
            }
            text.push_str(&format!("\n{table}"));
        }
        text
    }
}

impl Answer for RetentionRun {
    fn ids(&self) -> Vec<String> {
        vec![self.runs.to_string()]
    }

    fn text(&self) -> String {
        fields(&[
            ("runs", self.runs.to_string()),
            ("pipeline versions", self.pipeline_versions.to_string()),
            ("plugin versions", self.plugin_versions.to_string()),
            ("components", self.components.to_string()),
            ("lines of the audit", self.audit_lines.to_string()),
        ])
    }
}

impl Answer for KeptRun {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn text(&self) -> String {
        match self.kept {
            true => format!("run {} is kept; `pawl run keep --undo {}` ends that", self.id, self.id),
            false => format!("run {} goes when its retention has ended", self.id),
        }
    }
}

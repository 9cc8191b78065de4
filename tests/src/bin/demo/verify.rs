//! Holds what the run says against what is known otherwise: the checkpoints as they lay in the store, the
//! tables themselves, and what the receiver of the report saw.

use std::fmt::Write as _;

use anyhow::Context as _;
use pawl_api::types::{Event, EventKind};
use pawl_domain::id::RunId;
use pawl_tests::{Client, Target, binary};
use serde_json::Value;

use crate::interruption::Interruption;

/// A table of the demo's data.
pub(crate) struct Table {
    /// Its city, as in the report.
    pub(crate) city: &'static str,
    /// Its file in `plugins/demo/data`.
    pub(crate) file: &'static str,
    /// Which column the temperature is in.
    column: usize,
}

/// Both tables.
pub(crate) const TABLES: [Table; 2] = [
    Table { city: "Seattle", file: "seattle-temps.csv", column: 1 },
    Table { city: "San Francisco", file: "sf-temps.csv", column: 0 },
];

/// What became of the interrupted steps.
pub(crate) struct Resumed(Vec<ResumedStep>);

struct ResumedStep {
    name: String,
    rows: u64,
    from_checkpoint: u64,
    /// Rows that a checkpoint held and that were done again all the same.
    saved_and_done_again: u64,
}

/// Checks that each interrupted step went on exactly where its checkpoint stood.
pub(crate) fn resumed(client: &Client, run: RunId, interruption: &Interruption) -> anyhow::Result<Resumed> {
    let mut steps = Vec::new();
    for (name, saved) in &interruption.saved_rows {
        let output = client.output(run, name)?;
        let number = |field: &str| output[field].as_u64().with_context(|| format!("{name} says no {field}"));
        let (rows, from_checkpoint) = (number("rows")?, number("rows_from_checkpoint")?);
        anyhow::ensure!(
            from_checkpoint == *saved,
            "{name} went on from row {from_checkpoint}, its checkpoint held {saved}"
        );
        let saved_and_done_again = saved.saturating_sub(from_checkpoint);
        steps.push(ResumedStep { name: name.clone(), rows, from_checkpoint, saved_and_done_again });
    }
    anyhow::ensure!(!steps.is_empty(), "no step was resumed");
    Ok(Resumed(steps))
}

impl Resumed {
    /// One line a step.
    pub(crate) fn table(&self) -> String {
        let mut text =
            "  step                 rows   from the checkpoint   of these done again   done after the restart\n"
                .to_owned();
        for step in &self.0 {
            let after = step.rows - step.from_checkpoint;
            let _ = writeln!(
                text,
                "  {:<16} {:>8} {:>21} {:>21} {after:>26}",
                step.name, step.rows, step.from_checkpoint, step.saved_and_done_again
            );
        }
        text +=
            "  (a checkpoint is taken every 50 rows: only what the dead process did after its last one is done again)";
        text
    }
}

/// The report, for a reader.
pub(crate) struct Report {
    report: Value,
    posts: usize,
}

/// Checks the report against the tables, and that it was posted once.
pub(crate) fn report(client: &Client, run: RunId, outside: &Target) -> anyhow::Result<Report> {
    let report = client.output(run, "publish")?["report"].take();
    for table in &TABLES {
        let temps = temperatures(table)?;
        let city = &report["cities"][table.city];
        let mean = temps.iter().sum::<f64>() / temps.len() as f64;
        let said = city["mean"].as_f64().with_context(|| format!("the report has no mean of {}", table.city))?;
        anyhow::ensure!(
            city["rows"] == temps.len(),
            "{}: {} rows in the table, {} in the report",
            table.city,
            temps.len(),
            city["rows"]
        );
        anyhow::ensure!((said - mean).abs() < 0.01, "{}: the mean is {mean}, the report says {said}", table.city);
    }
    let performed: usize = outside.performed("/reports").values().sum();
    anyhow::ensure!(performed == 1, "the report was stored {performed} times");
    Ok(Report { report, posts: outside.count("/reports") })
}

/// All temperatures of a table.
fn temperatures(table: &Table) -> anyhow::Result<Vec<f64>> {
    let text = std::fs::read_to_string(binary::repository().join("plugins/demo/data").join(table.file))?;
    let rows = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    rows.map(|line| Ok(line.split(',').nth(table.column).context("a row without a temperature")?.trim().parse()?))
        .collect()
}

impl Report {
    /// A few lines of it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for table in &TABLES {
            let (city, warmer) = (&self.report["cities"][table.city], &self.report["warmer_days"][table.city]);
            let unusual = &city["unusual"];
            let _ = writeln!(
                text,
                "  {:<14} mean {:.1} °F over {} hours, the warmer city on {warmer} of {} days, {} unusually warm and {} cold hours",
                table.city,
                city["mean"].as_f64().unwrap_or_default(),
                city["rows"],
                self.report["days_compared"],
                unusual["warm_hours"],
                unusual["cold_hours"],
            );
        }
        let _ = write!(
            text,
            "  posted {}, stored once; `plugins/demo/data/SOURCE.md` tells how to check it by hand",
            times(self.posts)
        );
        text
    }
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times under one key") }
}

/// Checks that the history has no gap and tells of the recovery in its order.
pub(crate) fn history(events: &[Event]) -> anyhow::Result<()> {
    anyhow::ensure!(events.iter().zip(1..).all(|(event, number)| event.number == number), "the history has a gap");
    let mut rest = events.iter();
    use EventKind::{RunSucceeded, StepLeaseExpired, StepReady, StepResumed, StepStarted, StepSucceeded};
    for stage in [StepStarted, StepLeaseExpired, StepReady, StepResumed, StepSucceeded, RunSucceeded] {
        anyhow::ensure!(rest.any(|event| event.is(stage)), "the history has no {stage} in its place");
    }
    let failed = events.iter().any(|event| event.is(EventKind::StepFailed) || event.is(EventKind::StepRetrying));
    anyhow::ensure!(!failed, "the crash used up a retry");
    Ok(())
}

//! Dead letters for people: groups, letters, and what was done about them.

use pawl_api::types::{DeadLetterGroupList, DeadLetterList, DeadLettersDone};

use crate::output::{Answer, Table, ago, counted, distinct, fields};

/// Refusals that are told one by one.
const TOLD: usize = 10;

/// What was done, or would be.
#[derive(serde::Serialize)]
pub(super) struct Done {
    #[serde(skip)]
    pub(super) is_done: bool,
    #[serde(flatten)]
    pub(super) done: DeadLettersDone,
}

impl Answer for Done {
    fn ids(&self) -> Vec<String> {
        vec![if self.is_done { self.done.done } else { self.done.met }.to_string()]
    }

    fn text(&self) -> String {
        let DeadLettersDone { met, done, refused, .. } = &self.done;
        if !self.is_done {
            return format!("this means {}; nothing was changed", amount(&self.done));
        }
        let mut text =
            fields(&[("met", met.to_string()), ("done", done.to_string()), ("refused", refused.len().to_string())]);
        for refused in refused.iter().take(TOLD) {
            text.push_str(&format!("\n{} {}: {}", refused.run, refused.step, refused.why));
        }
        text
    }
}

/// How many are meant, for people.
pub(super) fn amount(done: &DeadLettersDone) -> String {
    format!("{} of {}", counted(done.met.into(), "dead letter"), counted(done.runs.into(), "run"))
}

impl Answer for DeadLetterList {
    fn ids(&self) -> Vec<String> {
        let mut runs: Vec<String> = Vec::with_capacity(self.dead_letters.len());
        // A run is named once, however many of its steps died.
        for run in self.dead_letters.iter().map(|letter| letter.run.to_string()) {
            if !runs.contains(&run) {
                runs.push(run);
            }
        }
        runs
    }

    fn text(&self) -> String {
        if self.dead_letters.is_empty() {
            return "there are no dead letters".to_owned();
        }
        let ids: Vec<String> = self.dead_letters.iter().map(|letter| letter.run.to_string()).collect();
        let digits = distinct(&ids);
        let mut table = Table::with_text(["RUN", "STEP", "PIPELINE", "STATE", "DIED", "GROUP", "CAUSE"]);
        for (letter, id) in self.dead_letters.iter().zip(&ids) {
            table.row([
                id[..digits].to_owned(),
                letter.step.clone(),
                letter.pipeline.clone(),
                letter.state.as_str().to_owned(),
                ago(letter.died_at_ms),
                letter.group.clone(),
                letter.cause.clone(),
            ]);
        }
        table.to_string()
    }
}

impl Answer for DeadLetterGroupList {
    fn ids(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.group.clone()).collect()
    }

    fn text(&self) -> String {
        if self.groups.is_empty() {
            return "there are no dead letters".to_owned();
        }
        let mut table =
            Table::with_text(["GROUP", "PIPELINE", "STEP", "FAILED", "PARKED", "OLDEST", "NEWEST", "CAUSE"]);
        for group in &self.groups {
            let many = if group.more { "+" } else { "" };
            table.row([
                group.group.clone(),
                group.pipeline.clone(),
                group.step.clone(),
                format!("{}{many}", group.failed),
                format!("{}{many}", group.parked),
                ago(group.oldest_at_ms),
                ago(group.newest_at_ms),
                group.cause.clone(),
            ]);
        }
        table.to_string()
    }
}

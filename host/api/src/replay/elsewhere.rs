//! A replay in a process of its own: the API executes nothing itself. It is given the journal, the component and bounds; no
//! setting, no server and no secret, so that nothing of these is told, whatever the component does.

use std::sync::Arc;

use pawl_base::chain;
use pawl_domain::limits::Limits;
use pawl_domain::secret::placeholder;
use pawl_engine::apart::{Apart, Broken, Work};
use pawl_engine::{Config, Engine, Secret, Secrets};
use serde::{Deserialize, Serialize};

use super::here;
use crate::types::{Problem, StepJournal, StepReplay};

/// Calls and lines that are told, the last ones, and letters of the texts in them.
const TOLD: usize = 500;
const TEXT: usize = 2_000;

/// What these, and what is around them, may take in JSON at most, bytes.
const TOLD_BYTES: u64 = 16 << 20;

/// What the process is told before the journal, as the API's route has it, and the component's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Replaying {
    journal_bytes: usize,
    component_bytes: usize,
    to: Option<u32>,
    limit_output: usize,
    limit_entry: usize,
    limit_checkpoint: usize,
    limit_memory: usize,
    limit_log: usize,
}

/// Has a step replayed, up to the entry `to`, if there is one.
pub(super) async fn replay(
    apart: &Apart,
    limits: &Limits,
    journal: &StepJournal,
    component: &[u8],
    to: Option<u32>,
) -> Result<StepReplay, Problem> {
    let packed = serde_json::to_vec(journal).map_err(|error| Problem::internal(&error))?;
    let asked = Replaying {
        journal_bytes: packed.len(),
        component_bytes: component.len(),
        to,
        limit_output: limits.output_bytes,
        limit_entry: limits.entry_bytes,
        limit_checkpoint: limits.checkpoint_bytes,
        limit_memory: limits.memory_bytes,
        limit_log: limits.log_bytes,
    };
    // A text may have six letters for one in JSON; an output is JSON.
    let answer_bytes = limits.output_bytes as u64 + TOLD_BYTES;
    apart.ask(&asked, &[&packed, component], answer_bytes).await.map_err(|broken| match broken {
        Broken::NotStarted(_) => Problem::internal(&broken),
        broken => Problem::not_replayed(&broken.to_string()),
    })
}

impl Work for Replaying {
    const WORD: &'static str = "replay-step";
    type Done = StepReplay;

    fn sizes(&self) -> Vec<usize> {
        vec![self.journal_bytes, self.component_bytes]
    }

    fn carry_out(self, parts: Vec<Vec<u8>>) -> Result<StepReplay, String> {
        let [journal, component] = parts.as_slice() else {
            return Err("the journal or the component is missing".into());
        };
        let journal: StepJournal = serde_json::from_slice(journal).map_err(|error| chain(&error))?;
        let limits = Limits {
            output_bytes: self.limit_output,
            entry_bytes: self.limit_entry,
            checkpoint_bytes: self.limit_checkpoint,
            memory_bytes: self.limit_memory,
            log_bytes: self.limit_log,
            ..Limits::default()
        };
        let config = Config { limits, cache_dir: None, slots: 1, images: false, ..Config::default() };
        let engine = Engine::new(config).map_err(|error| chain(&error))?;
        // WASI's library would start one of its own, with a thread for each processor.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| chain(&error))?;
        let _entered = runtime.enter();
        let replayed = here::replay(Arc::new(engine), &journal, component, without_values(&journal.secrets), self.to);
        Ok(bounded(replayed.map_err(|error| chain(&error))?, &journal.secrets))
    }
}

/// In place of each value its placeholder: what a step does by one may differ, and is a remark's matter.
fn without_values(names: &[String]) -> Secrets {
    Secrets::of(names.iter().map(|name| (name.clone(), Secret::Given(placeholder::of(name)))))
}

/// As much of it as is told.
fn bounded(mut replay: StepReplay, secrets: &[String]) -> StepReplay {
    replay.calls_left_out = keep_last(&mut replay.calls);
    replay.lines_left_out = keep_last(&mut replay.lines);
    for call in &mut replay.calls {
        cut(&mut call.call);
        cut(&mut call.answer);
    }
    for line in &mut replay.lines {
        cut(&mut line.message);
        if line.fields.as_ref().is_some_and(|fields| fields.get().len() > TEXT) {
            line.fields = None;
        }
    }
    if !secrets.is_empty() {
        replay.remarks.push(format!(
            "the values of secrets are not here ({}): a step that puts one into a URL or a body seems to leave its journal there",
            secrets.join(", ")
        ));
    }
    replay
}

/// Keeps the last ones of many, and says how many are left out.
fn keep_last<T>(all: &mut Vec<T>) -> u32 {
    let left_out = all.len().saturating_sub(TOLD);
    all.drain(..left_out);
    u32::try_from(left_out).unwrap_or(u32::MAX)
}

fn cut(text: &mut String) {
    let end = text.floor_char_boundary(TEXT);
    if end < text.len() {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_last_are_told_and_long_texts_are_cut_at_a_letter() {
        let mut many: Vec<usize> = (0..TOLD + 3).collect();
        assert_eq!((keep_last(&mut many), many.len(), many[0]), (3, TOLD, 3));
        assert_eq!((keep_last(&mut many), many.len()), (0, TOLD));
        let mut text = "é".repeat(TEXT);
        cut(&mut text);
        assert_eq!(text.chars().count(), TEXT / 2 + 1);
        let mut short = "short".to_owned();
        cut(&mut short);
        assert_eq!(short, "short");
    }
}

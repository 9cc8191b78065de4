//! How runs, steps, events and explanations look to people.

use pawl_api::types::{
    Changed, ErasedRun, Event, EventList, Explanation, Run, RunList, RunStatus, RunSummary, SentSignal, Step,
    StepDetail, StepStatus, SubmittedRun, WayOut,
};
use pawl_domain::attempt::Divergence;
use serde_json::Value;

use super::submit::Succeeded;
use crate::output::{Answer, Table, ago, distinct, duration, entries, fields, now_ms, one_line, or_dash, short};
use crate::pause::since_when;

impl Answer for SubmittedRun {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn text(&self) -> String {
        let what = if self.created { "submitted" } else { "was there before (same idempotency key)" };
        let next = match self.status {
            RunStatus::Failed | RunStatus::Cancelled => "open it again with: pawl run retry",
            _ => "follow it with: pawl run watch",
        };
        format!("run {} {what}, {}\n{next} {}{}", self.id, self.status, self.id, remarks(&self.remarks))
    }
}

impl Answer for RunList {
    fn ids(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.id.to_string()).collect()
    }

    fn text(&self) -> String {
        let ids: Vec<String> = self.runs.iter().map(|run| run.id.to_string()).collect();
        let digits = distinct(&ids);
        let mut table = Table::new(["RUN", "PIPELINE", "STATUS", "STEPS", "SUBMITTED", "TOOK"]);
        for (run, id) in self.runs.iter().zip(&ids) {
            table.row([
                id[..digits].to_owned(),
                run.pipeline.clone(),
                status(run).to_owned(),
                ended(run),
                ago(run.created_at_ms),
                took(run),
            ]);
        }
        table.to_string()
    }
}

impl Answer for Run {
    fn ids(&self) -> Vec<String> {
        vec![self.summary.id.to_string()]
    }

    fn text(&self) -> String {
        let run = &self.summary;
        let mut head = vec![
            ("run", run.id.to_string()),
            ("pipeline", format!("{} (version {})", run.pipeline, run.pipeline_digest.short())),
            ("status", status(run).to_owned()),
            ("submitted", ago(run.created_at_ms)),
            ("took", took(run)),
        ];
        head.extend(run.idempotency_key.as_ref().map(|key| ("key", key.clone())));
        head.extend(run.paused.as_ref().map(|pause| ("paused", since_when(pause))));
        head.extend(run.kept.then(|| ("kept", "however long ago it has ended".to_owned())));
        let mut table =
            Table::with_text(["STEP", "STATUS", "PLUGIN", "ATTEMPTS", "TOOK", "CHECKPOINT", "WORKER", "NOTE"]);
        for step in &self.steps {
            table.row([
                step.name.clone(),
                step.status.to_string(),
                plugin(step),
                attempts(step),
                step_took(step),
                or_dash(step.checkpoint_position.map(|position| format!("at entry {position}"))),
                or_dash(step.worker.map(short)),
                note(step),
            ]);
        }
        format!("{}\n{table}", fields(&head))
    }
}

impl Answer for Succeeded {
    fn ids(&self) -> Vec<String> {
        self.run.ids()
    }

    fn text(&self) -> String {
        format!("{}\noutput\n{}\n", self.run.text(), self.output.get())
    }
}

impl Answer for StepDetail {
    fn ids(&self) -> Vec<String> {
        vec![self.step.name.clone()]
    }

    fn text(&self) -> String {
        let step = &self.step;
        let mut text = fields(&[
            ("step", step.name.clone()),
            ("status", step.status.to_string()),
            ("plugin", plugin(step)),
            ("component", or_dash(step.component)),
            ("needs", or_dash((!step.needs.is_empty()).then(|| step.needs.join(", ")))),
            ("queue", format!("{}, priority {}", step.queue, step.priority.as_str())),
            ("attempts", attempts(step)),
            ("claims", step.attempts.to_string()),
            ("took", step_took(step)),
            ("worker", or_dash(step.worker)),
            ("fence", step.fence.to_string()),
            ("trace", or_dash(step.trace_id.as_ref())),
            ("journal", entries(step.journal_length)),
            ("checkpoint", or_dash(step.checkpoint_position.map(|position| format!("at entry {position}")))),
            ("note", note(step)),
        ]);
        if let Some(error) = &step.error {
            let before = if stands_by_error(step) { "" } else { " before, since which it goes on" };
            match serde_json::from_value::<Divergence>(error.clone()) {
                Ok(divergence) => text.push_str(&format!("\ndivergence{before}\n{}\n", report(&divergence))),
                Err(_) => text.push_str(&format!("\nerror{before}\n{}\n", failure(error))),
            }
        }
        text.push_str(&ways(&self.ways_out));
        if let Some(output) = &self.output {
            text.push_str(&format!("\noutput\n{}\n", output.get()));
        }
        text
    }
}

impl Answer for EventList {
    fn ids(&self) -> Vec<String> {
        self.events.iter().map(|event| event.number.to_string()).collect()
    }

    fn text(&self) -> String {
        let start_ms = self.events.first().map_or(0, |event| event.at_ms);
        let mut table = Table::with_text(["NO", "AFTER", "EVENT", "STEP", "WORKER", "NOTE"]);
        for event in &self.events {
            table.row([
                event.number.to_string(),
                since(start_ms, event.at_ms),
                event.kind.clone(),
                or_dash(event.step.as_ref()),
                or_dash(event.worker.map(short)),
                event.note.clone().unwrap_or_default(),
            ]);
        }
        table.to_string()
    }
}

/// The headings of [`line()`].
pub(super) fn head() -> String {
    format!("{:>11}  {:<18} {:<16}  WORKER, NOTE", "AFTER", "EVENT", "STEP")
}

/// An event on one line, for reading along: columns are as wide as names usually are.
pub(super) fn line(event: &Event, start_ms: i64) -> String {
    let step = event.step.as_deref().unwrap_or("");
    let mut line = format!("{:>11}  {:<18} {step:<16}", since(start_ms, event.at_ms), event.kind);
    if let Some(worker) = event.worker {
        line.push_str(&format!("  worker {}", short(worker)));
    }
    if let Some(note) = event.note.as_deref().filter(|note| !note.is_empty()) {
        line.push_str(&format!("  {}", one_line(note)));
    }
    line.trim_end().to_owned()
}

impl Answer for Explanation {
    fn ids(&self) -> Vec<String> {
        self.reasons.iter().map(|reason| reason.step.clone()).collect()
    }

    fn text(&self) -> String {
        let head = one_line(&format!("run {} is {}: {}", self.id, self.status, self.summary));
        let besides = remarks(&self.remarks);
        if self.reasons.is_empty() {
            return format!("{head}{besides}");
        }
        let mut table = Table::with_text(["STEP", "STATUS", "WORKER", "UNTIL", "WHY"]);
        for reason in &self.reasons {
            let until = reason.until_ms.map(|until_ms| match until_ms - now_ms() {
                left_ms @ 0.. => format!("in {}", duration(left_ms)),
                over_ms => format!("{} ago", duration(-over_ms)),
            });
            table.row([
                reason.step.clone(),
                reason.status.to_string(),
                or_dash(reason.worker.map(short)),
                or_dash(until),
                reason.message.clone(),
            ]);
        }
        let all: Vec<WayOut> = self.reasons.iter().flat_map(|reason| reason.ways_out.clone()).collect();
        format!("{head}\n\n{table}{}{besides}", ways(&all))
    }
}

/// Where and how a replay left its journal.
pub(super) fn report(divergence: &Divergence) -> String {
    let mut rows = vec![
        ("position", divergence.position.to_string()),
        ("recorded", or_dash(divergence.expected.as_ref())),
        ("called", divergence.actual.clone()),
    ];
    rows.extend(divergence.difference.as_ref().map(|difference| ("differs in", difference.clone())));
    rows.extend(divergence.restored.map(|restored| ("which was", restored.since())));
    rows.extend(divergence.why().map(|why| ("most likely", why.to_owned())));
    rows.extend(divergence.recorded_by.map(|digest| ("recorded by", digest.to_string())));
    rows.extend(divergence.component.map(|digest| ("executed", digest.to_string())));
    rows.extend(divergence.backtrace.as_ref().map(|frames| ("called from", format!("\n{frames}"))));
    fields(&rows)
}

/// Why an attempt has failed: fields, and what a trap came through as a list.
pub(super) fn failure(error: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| format!("{value:#}"), str::to_owned);
    let Some(members) = error.as_object() else { return text(error) };
    let mut rows = Vec::new();
    for (name, value) in members {
        match (name.as_str(), value.get("backtrace").and_then(Value::as_array)) {
            ("details", Some(frames)) if value.as_object().is_some_and(|details| details.len() == 1) => {
                let frames: Vec<String> = frames.iter().map(|frame| one_line(&text(frame))).collect();
                rows.push(("backtrace", format!("\n{}", frames.join("\n"))));
            }
            (name, _) => rows.push((name, text(value))),
        }
    }
    fields(&rows)
}

/// What to know besides, each on a line of its own.
fn remarks(remarks: &[String]) -> String {
    remarks.iter().map(|remark| format!("\nnote: {}", one_line(remark))).collect()
}

fn ways(ways: &[WayOut]) -> String {
    if ways.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = ways.iter().map(|way| format!("  {}\n      {}", way.command, way.what)).collect();
    format!("\nways out\n{}\n", lines.join("\n"))
}

impl Answer for Changed {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn text(&self) -> String {
        let steps = match self.steps.as_slice() {
            [] => String::new(),
            steps => format!("; ready again: {}", steps.join(", ")),
        };
        format!("run {} is {}{steps}{}", self.id, self.status, remarks(&self.remarks))
    }
}

impl Answer for ErasedRun {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn text(&self) -> String {
        match self.changed {
            true => format!("run {}: its key is erased; its payloads are unreadable for good", self.id),
            false => format!("run {}: its key was erased before", self.id),
        }
    }
}

impl Answer for SentSignal {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn text(&self) -> String {
        let what = match (self.created, self.steps.as_slice()) {
            (false, _) => "was sent before (same idempotency key)".to_owned(),
            (true, []) => "is in the run's inbox: the next step that waits for it takes it".to_owned(),
            (true, steps) => format!("was taken by {}", steps.join(", ")),
        };
        format!("signal {:?} to run {} {what}{}", self.name, self.id, remarks(&self.remarks))
    }
}

/// How long after the first one: to the millisecond within a minute, in which many follow each other.
fn since(start_ms: i64, at_ms: i64) -> String {
    match (at_ms - start_ms).max(0) {
        ms @ ..60_000 => format!("+{}.{:03} s", ms / 1_000, ms % 1_000),
        ms => format!("+{}", duration(ms)),
    }
}

/// Where it stands, as people call it.
fn status(run: &RunSummary) -> &'static str {
    match (run.paused.is_some(), run.parked) {
        (true, _) => "paused",
        (_, true) => "parked",
        _ => run.status.as_str(),
    }
}

/// How many steps have ended, of how many. Those of a run that was stopped have, too, whatever they did.
fn ended(run: &RunSummary) -> String {
    match run.status {
        RunStatus::Failed | RunStatus::Cancelled => format!("-/{}", run.step_count),
        _ => format!("{}/{}", run.step_count - run.live_steps.min(run.step_count), run.step_count),
    }
}

fn took(run: &RunSummary) -> String {
    match (run.started_at_ms, run.ended_at_ms) {
        (_, Some(end_ms)) => duration((end_ms - run.created_at_ms).max(0)),
        (Some(_), None) => format!("{} so far", duration((now_ms() - run.created_at_ms).max(0))),
        (None, None) => "-".to_owned(),
    }
}

/// How long a step took, or takes. Of one that waits the time since its first start is told as such: nobody executes it.
pub(super) fn step_took(step: &Step) -> String {
    let since = |at_ms: i64| duration((now_ms() - at_ms).max(0));
    match (step.status, step.started_at_ms, step.ended_at_ms) {
        (_, Some(start_ms), Some(end_ms)) => duration((end_ms - start_ms).max(0)),
        // A retry by a person begins long after the first start: what counts then is this attempt.
        (StepStatus::Running, start_ms, None) => {
            let begun = step.claimed_at_ms.or(start_ms);
            begun.map_or_else(|| "-".to_owned(), |at_ms| format!("{} so far", since(at_ms)))
        }
        (_, Some(start_ms), None) => format!("began {} ago", since(start_ms)),
        (_, None, _) => "-".to_owned(),
    }
}

fn plugin(step: &Step) -> String {
    match &step.version {
        Some(version) => format!("{}@{version}", step.plugin),
        None => step.plugin.clone(),
    }
}

/// What the retry policy counts: attempts that have failed, and one that has not. For example `2 (1 failed, 1 crashed)`.
pub(super) fn attempts(step: &Step) -> String {
    let waits_after_failure = step.status == StepStatus::Waiting && step.error.is_some();
    let goes_on = match step.status {
        StepStatus::Failed => false,
        // A person's output is no attempt; what was parked without a failure was one.
        StepStatus::Skipped => step.failures == 0 && step.attempts > 0,
        _ => step.started_at_ms.is_some() && !waits_after_failure,
    };
    let attempts = step.failures + u32::from(goes_on);
    let parts: Vec<String> = [(step.failures, "failed"), (step.crashes, "crashed")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if parts.is_empty() { attempts.to_string() } else { format!("{attempts} ({})", parts.join(", ")) }
}

/// Whether its error says why it stands where it does. What is executed, or waits for its turn, still has that of the attempt
/// before, or what it was parked or deferred by.
pub(super) fn stands_by_error(step: &Step) -> bool {
    let stands = matches!(step.status, StepStatus::Failed | StepStatus::Parked | StepStatus::Cancelled);
    stands || step.status == StepStatus::Waiting && step.awaits.is_none()
}

/// What to know of a step besides.
pub(super) fn note(step: &Step) -> String {
    let left = |due_ms: i64| duration((due_ms - now_ms()).max(0));
    let message = step.error.as_ref().and_then(|error| error.get("message")?.as_str());
    match (step.status, message.filter(|_| stands_by_error(step)), step.due_at_ms) {
        (StepStatus::Waiting, Some(message), Some(due_ms)) => format!("wakes in {} after: {message}", left(due_ms)),
        (_, Some(message), _) => message.to_owned(),
        (StepStatus::Waiting, None, due_ms) => match (&step.awaits, due_ms) {
            (Some(signal), None) => format!("waits for the signal {signal:?}"),
            (Some(signal), Some(due_ms)) => format!("waits for the signal {signal:?} for {} more", left(due_ms)),
            (None, Some(due_ms)) => format!("wakes in {}", left(due_ms)),
            (None, None) => String::new(),
        },
        (StepStatus::Running, None, _) => progress(step).unwrap_or_default(),
        _ => String::new(),
    }
}

/// How far a step says it is.
pub(super) fn progress(step: &Step) -> Option<String> {
    let said = step.progress_message.as_deref().unwrap_or("");
    let progress = step.progress.map(|progress| format!("{:.0} %", progress * 100.0));
    let parts: Vec<&str> = progress.as_deref().into_iter().chain([said]).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

#[cfg(test)]
mod tests;

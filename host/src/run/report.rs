//! `pawl run report`: a run on one page, as Markdown. What guests and others wrote stands in it as code ([`markdown`]).
//!
//! [`markdown`]: super::markdown

use pawl_api::types::{ReportedStep, RunReport, RunSummary, Step, WayOut};

use super::markdown::{block, cell, code};
use super::show::{attempts, progress, stands_by_error};
use crate::output::{Answer, duration, entries, short, utc};

impl Answer for RunReport {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn text(&self) -> String {
        let mut page = format!("# Run {}\n\n{}\n\n", self.id, code(&self.summary));
        page.push_str(&facts(self));
        page.push_str(&reasons(self));
        for step in &self.steps {
            page.push_str(&of_step(step));
        }
        if self.steps_left_out > 0 {
            page.push_str(&format!(
                "{} more steps have failed or not ended: `pawl run get {}`\n\n",
                self.steps_left_out, self.id
            ));
        }
        page.push_str(&recoveries(self));
        page.push_str(&events(self));
        page.push_str(&commands(&self.commands));
        page
    }
}

fn facts(report: &RunReport) -> String {
    let RunSummary { pipeline, pipeline_digest, status, step_count, live_steps, .. } = &report.run;
    let run = &report.run;
    let mut facts = vec![
        ("state", if run.parked { format!("{status}, parked") } else { status.to_string() }),
        ("pipeline", format!("{}, version {}", code(pipeline), pipeline_digest.short())),
        ("steps", format!("{} of {step_count} have ended", step_count - live_steps)),
        ("submitted", format!("{} UTC", utc(run.created_at_ms))),
    ];
    facts.extend(run.started_at_ms.map(|at_ms| ("started", format!("{} UTC", utc(at_ms)))));
    facts.extend(run.ended_at_ms.map(|at_ms| ("ended", format!("{} UTC", utc(at_ms)))));
    facts.extend(run.idempotency_key.as_ref().map(|key| ("idempotency key", code(key))));
    facts.push(("told", format!("{} UTC, by pawl {}", utc(report.told_at_ms), report.pawl)));
    let lines = facts.iter().map(|(name, value)| format!("- {name}: {value}\n"));
    format!("{}\n", lines.collect::<String>())
}

fn reasons(report: &RunReport) -> String {
    if report.reasons.is_empty() {
        return String::new();
    }
    let lines = report.reasons.iter().map(|reason| format!("- {}: {}\n", code(&reason.step), code(&reason.message)));
    format!("## Why\n\n{}\n", lines.collect::<String>())
}

fn of_step(reported: &ReportedStep) -> String {
    let step = &reported.step;
    let mut text = format!("## Step {}\n\n{}\n", code(&step.name), step_facts(reported));
    if let Some(error) = &step.error {
        let head = if stands_by_error(step) { "Error:" } else { "The last error, since which it goes on:" };
        text.push_str(&format!("{head}\n\n{}\n", block([error.to_string()])));
    }
    if !reported.journal.is_empty() {
        let line = |line: &pawl_api::types::JournalLine| match line.answer.is_empty() {
            true => format!("{:>6}  {}", line.position, line.call),
            false => format!("{:>6}  {} -> {}", line.position, line.call, line.answer),
        };
        text.push_str(&format!("The end of its journal:\n\n{}\n", block(reported.journal.iter().map(line))));
    }
    if !reported.logs.is_empty() {
        let line = |line: &pawl_api::types::LogLine| {
            let fields = line.fields.as_ref().map(|fields| format!(" {}", fields.get())).unwrap_or_default();
            let (at, level) = (utc(line.at_ms), line.level.as_str());
            format!("{at}Z  attempt {}  {level:5}  {}{fields}", line.attempt, line.message)
        };
        text.push_str(&format!("The end of its log:\n\n{}\n", block(reported.logs.iter().map(line))));
    }
    text
}

fn step_facts(reported: &ReportedStep) -> String {
    let step = &reported.step;
    let mut facts = vec![
        ("state", step.status.to_string()),
        ("attempts", attempts(step)),
        ("claims", step.attempts.to_string()),
        ("plugin", plugin(reported)),
        ("queue", format!("{}, {}", code(&step.queue), step.priority.as_str())),
        ("fence", step.fence.to_string()),
        ("journal", journal(step)),
    ];
    facts.extend(step.worker.map(|worker| ("worker", worker.to_string())));
    facts.extend(step.trace_id.as_ref().map(|trace| ("trace", code(trace))));
    facts.extend(step.claimed_at_ms.map(|at_ms| ("last claimed", format!("{} UTC", utc(at_ms)))));
    facts.extend(step.due_at_ms.map(|at_ms| ("wakes", format!("{} UTC", utc(at_ms)))));
    facts.extend(step.awaits.as_ref().map(|signal| ("waits for the signal", code(signal))));
    facts.extend(progress(step).map(|said| ("last said", code(&said))));
    facts.extend(step.ended_at_ms.map(|at_ms| ("ended", format!("{} UTC", utc(at_ms)))));
    facts.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect()
}

fn plugin(reported: &ReportedStep) -> String {
    let step = &reported.step;
    let component = step
        .component
        .map_or_else(|| "no component so far".to_owned(), |digest| format!("component {}", digest.short()));
    let pushed = reported.component_version.as_ref().map(|version| format!(", version {}", code(version)));
    let active = reported.active_version.as_ref().filter(|active| reported.component_version.as_ref() != Some(active));
    let active = active.map(|active| format!("; {} is active now", code(active)));
    format!("{}, {component}{}{}", code(&step.plugin), pushed.unwrap_or_default(), active.unwrap_or_default())
}

fn journal(step: &Step) -> String {
    match step.checkpoint_position {
        Some(position) => format!("{}, the last checkpoint at {position}", entries(step.journal_length)),
        None => format!("{}, no checkpoint", entries(step.journal_length)),
    }
}

fn recoveries(report: &RunReport) -> String {
    if report.recoveries.is_empty() {
        return String::new();
    }
    let mut text =
        "## Takeovers\n\n| when (UTC) | step | of worker | replay | ready after | outcome |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for recovery in &report.recoveries {
        let ready = recovery
            .ready_at_ms
            .zip(recovery.lease_ended_at_ms)
            .map(|(ready_ms, ended_ms)| duration((ready_ms - ended_ms).max(0)));
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            utc(recovery.taken_over_at_ms),
            cell(&recovery.step),
            short(recovery.worker),
            entries(recovery.replayed.unwrap_or(recovery.to_replay)),
            ready.unwrap_or_else(|| "-".to_owned()),
            recovery.outcome.map_or("open", |outcome| outcome.as_str()),
        ));
    }
    text.push('\n');
    text
}

fn events(report: &RunReport) -> String {
    let lines = report.events.iter().map(|event| {
        let mut line = format!("{:>5}  {}Z  {}", event.number, utc(event.at_ms), event.kind);
        for part in [
            event.step.clone(),
            event.fence.map(|fence| format!("fence {fence}")),
            event.worker.map(|worker| format!("worker {}", short(worker))),
            event.note.clone(),
        ] {
            line.extend(part.map(|part| format!("  {part}")));
        }
        line
    });
    format!("## The end of its history\n\n{}\n", block(lines))
}

fn commands(ways: &[WayOut]) -> String {
    if ways.is_empty() {
        return String::new();
    }
    let lines = ways.iter().map(|way| format!("- {}: {}\n", code(&way.command), way.what));
    format!("## What would move it\n\n{}", lines.collect::<String>())
}

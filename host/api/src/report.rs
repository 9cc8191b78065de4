//! A run's report over HTTP: it puts together what other routes tell one by one, and bounds it. What it comes to as a page is the
//! reader's.

use axum::Json;
use pawl_domain::id::{StepId, StepNo};
use pawl_domain::journal::Entry;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::replay::{is_open_wait, tell};
use pawl_domain::status::StepStatus;
use pawl_store as store;
use pawl_store::history::{Row, entries_of, opened};
use pawl_store::live::LiveStep;
use pawl_store::logs::Wanted;
use pawl_store::plugins::PluginRow;
use pawl_store::recoveries::RecoveryFilter;
use pawl_store::runs::{RunRow, StepRow};
use pawl_store::seal::{Place, Seal};
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::events::event_of;
use super::explain::EXPLAINED_STEPS;
use super::logs::line_of;
use super::problem::Result;
use super::recoveries::named;
use super::request::{Path, run_id};
use super::runs::{explained, step_of};
use super::state::AppState;
use super::types::{Explanation, JournalLine, LogLine, ReportedStep, RunReport, RunStatus, WayOut};
use super::whose::Scoped;

/// What a report has at most of each.
const REASONS: usize = 20;
const STEPS: usize = 8;
const ENTRIES: u32 = 10;
const LINES: usize = 10;
const RECOVERIES: u32 = 10;
const EVENTS: u32 = 30;

/// Bytes of a text that others wrote, and of an error.
const TEXT_BYTES: usize = 1 << 10;
const ERROR_BYTES: usize = 4 << 10;

pub(super) async fn show(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Json<RunReport>> {
    let id = run_id(&run)?;
    let Explanation { summary, mut reasons, .. } = explained(&state, id).await?;
    let live = state.store.live_steps(id, EXPLAINED_STEPS).await?;
    let row = state.store.run_alone(id).await?;
    let pipeline = state.pipeline(row.pipeline_digest).await?;
    let failed = if row.failing { state.store.failed_steps(id, EXPLAINED_STEPS).await? } else { Vec::new() };
    let wanted = in_order(&failed, &live);
    let plugins = state.store.plugins(&state.namespace, None).await?;
    let mut steps = Vec::new();
    for no in wanted.iter().take(STEPS) {
        steps.extend(step(&state, &pipeline, &plugins, StepId { run: id, step: *no }).await?);
    }
    let filter = RecoveryFilter { namespace: &state.namespace, run: Some(id), before: None, limit: RECOVERIES };
    let recoveries = named(&state, state.store.recoveries(&filter).await?).await?;
    let events = state.store.events(id, row.event_count.saturating_sub(EVENTS), EVENTS).await?;
    let mut events: Vec<_> = events.into_iter().map(|event| event_of(&pipeline, event)).collect();
    for note in events.iter_mut().filter_map(|event| event.note.as_mut()) {
        cut(note, TEXT_BYTES);
    }
    let commands = commands(&row, reasons.iter().flat_map(|reason| &reason.ways_out));
    reasons.truncate(REASONS);
    for reason in &mut reasons {
        cut(&mut reason.message, TEXT_BYTES);
    }
    Ok(Json(RunReport {
        id,
        told_at_ms: live.first().map_or_else(now_ms, |step| step.now_ms),
        pawl: env!("CARGO_PKG_VERSION").to_owned(),
        run: row.into(),
        summary,
        reasons,
        steps_left_out: u32::try_from(wanted.len().saturating_sub(STEPS)).unwrap_or(u32::MAX),
        steps,
        recoveries,
        events,
        commands,
    }))
}

/// Which steps are told, those that matter most first.
fn in_order(failed: &[StepRow], live: &[LiveStep]) -> Vec<StepNo> {
    let parked = |step: &&LiveStep| step.status == StepStatus::Parked;
    let first = failed.iter().map(|step| step.no).chain(live.iter().filter(parked).map(|step| step.no));
    first.chain(live.iter().filter(|step| !parked(step)).map(|step| step.no)).collect()
}

async fn step(
    state: &AppState,
    pipeline: &Pipeline,
    plugins: &[PluginRow],
    id: StepId,
) -> Result<Option<ReportedStep>> {
    let (_, rows) = state.store.run(id.run, Some(id.step)).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let journal = journal(state, id, &row).await?;
    let wanted = Wanted { step: Some(id.step), ..Wanted::all(id.run) };
    let page = state.store.log_tail(&wanted, 0, LINES).await?;
    let mut logs: Vec<LogLine> = page.lines.into_iter().map(|line| line_of(pipeline, line)).collect();
    for line in &mut logs {
        cut(&mut line.message, TEXT_BYTES);
        if line.fields.as_ref().is_some_and(|fields| fields.get().len() > TEXT_BYTES) {
            let mut fields = line.fields.take().map(|fields| fields.get().to_owned()).unwrap_or_default();
            cut(&mut fields, TEXT_BYTES);
            line.fields = to_raw_value(&fields).ok();
        }
    }
    let mut step = step_of(id.run, pipeline, row);
    if let Some(error) = &mut step.error {
        cut_error(error);
    }
    let plugin = plugins.iter().find(|plugin| plugin.name == step.plugin);
    let pushed = plugin.into_iter().flat_map(|plugin| &plugin.versions);
    let component_version = pushed.into_iter().find(|version| step.component == Some(version.digest));
    Ok(Some(ReportedStep {
        component_version: component_version.map(|version| version.version.clone()),
        active_version: plugin.and_then(|plugin| plugin.active_version.clone()),
        step,
        journal,
        logs,
    }))
}

/// The last entries. What is too large to be read in one go, or can't be read, is told as such: a report must not fail by what it
/// reports.
async fn journal(state: &AppState, id: StepId, step: &StepRow) -> Result<Vec<JournalLine>> {
    let length = step.journal_length;
    let seal = match state.seals.of(&*state.store, id.run).await {
        Ok(seal) => seal,
        Err(error) => return Ok(vec![note(0, &error.to_string())]),
    };
    let mut told = Vec::new();
    let mut next = length.saturating_sub(ENTRIES);
    while next < length {
        let rows = state.store.rows(id, next, length).await?;
        let Some(last) = rows.last() else { break };
        let after = last.first + last.length;
        for row in rows {
            match read(id, &row, &seal) {
                Some(Ok(entries)) => told.extend(lines(state, id, step, row.first, &entries, next, &seal).await?),
                Some(Err(error)) => told.push(note(row.first, &error.to_string())),
                None => told.push(note(row.first, &format!("{} entries, more than 1 MiB", row.length))),
            }
        }
        next = after.max(next + 1);
    }
    Ok(told)
}

fn read(id: StepId, row: &Row, seal: &Seal) -> Option<store::Result<Vec<Entry>>> {
    row.bytes.clone().map(|bytes| entries_of(id, row, bytes, seal))
}

async fn lines(
    state: &AppState,
    id: StepId,
    step: &StepRow,
    first: u32,
    entries: &[Entry],
    from: u32,
    seal: &Seal,
) -> Result<Vec<JournalLine>> {
    let mut lines = Vec::new();
    for (position, entry) in (first..).zip(entries).filter(|(position, _)| *position >= from) {
        let signal = match entry {
            Entry::Awaited { .. } => match state.store.signal_at(id, position).await? {
                Some(kept) => Some(opened(seal, Place::Signal, kept)?),
                None => None,
            },
            _ => None,
        };
        let told = tell(entry, signal.as_deref());
        let (mut call, mut answer) = (told.call, told.answer);
        if position + 1 == step.journal_length && is_open_wait(entry, step.awaits.as_deref()) {
            answer = "no answer yet: the step waits for it".to_owned();
        }
        cut(&mut call, TEXT_BYTES);
        cut(&mut answer, TEXT_BYTES);
        lines.push(JournalLine { position, call, answer });
    }
    Ok(lines)
}

fn note(position: u32, what: &str) -> JournalLine {
    JournalLine { position, call: format!("note: {what}"), answer: String::new() }
}

/// What would move the run, or stop it.
fn commands<'a>(run: &RunRow, of_steps: impl Iterator<Item = &'a WayOut>) -> Vec<WayOut> {
    let id = run.id;
    let way = |command: String, what: &str| WayOut { command, what: what.to_owned() };
    let of_run = match run.status {
        RunStatus::Succeeded => Vec::new(),
        RunStatus::Failed | RunStatus::Cancelled => vec![
            way(format!("pawl run retry {id}"), "open it again, on the components that its steps have"),
            way(format!("pawl run retry {id} --latest"), "the same on the versions that are active now"),
        ],
        RunStatus::Pending | RunStatus::Running => {
            let unpause = || way(format!("pawl run unpause {id}"), "let start what is ready");
            let others = [
                way(format!("pawl run resume {id}"), "let it go on, if nobody moves it"),
                way(format!("pawl run fail {id} --message WHY"), "end it as failed"),
                way(format!("pawl run cancel {id}"), "stop it"),
            ];
            run.paused_at_ms.map(|_| unpause()).into_iter().chain(others).collect()
        }
    };
    let mut all: Vec<WayOut> = Vec::new();
    for out in of_steps.take(STEPS * 4).cloned().chain(of_run) {
        if all.iter().all(|known| known.command != out.command) {
            all.push(out);
        }
    }
    all
}

/// Cuts a text that is longer.
fn cut(text: &mut String, most_bytes: usize) {
    if text.len() > most_bytes {
        text.truncate(text.floor_char_boundary(most_bytes));
        text.push('…');
    }
}

fn cut_error(error: &mut Value) {
    let mut text = error.to_string();
    if text.len() > ERROR_BYTES {
        cut(&mut text, ERROR_BYTES);
        *error = Value::String(text);
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(status: RunStatus) -> RunRow {
        RunRow { failing: true, ..RunRow::example(status) }
    }

    #[test]
    fn commands_fit_the_state_and_come_once() {
        let failed = run(RunStatus::Failed);
        let again = WayOut { command: format!("pawl run retry {} a", failed.id), what: "again".into() };
        let told = commands(&failed, [&again, &again].into_iter());
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[0], again);
        assert!(told[2].command.ends_with("--latest"), "{told:?}");
        let latest = WayOut { what: "after a bad version".into(), ..told[2].clone() };
        let told = commands(&failed, [&again, &latest].into_iter());
        assert_eq!((told.len(), &told[1]), (3, &latest), "what a step says goes first: {told:?}");
        assert_eq!(commands(&run(RunStatus::Succeeded), std::iter::empty()), []);
        let verbs = commands(&run(RunStatus::Running), std::iter::empty());
        assert!(verbs[0].command.starts_with("pawl run resume "), "{verbs:?}");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        let mut text = "é".repeat(1_000);
        cut(&mut text, 1_001);
        assert_eq!((text.chars().count(), text.ends_with("é…")), (501, true));
        let mut error = serde_json::json!({"message": "x".repeat(10_000)});
        cut_error(&mut error);
        assert!(error.as_str().is_some_and(|text| text.len() < ERROR_BYTES + 8), "{error}");
        let mut short = serde_json::json!({"message": "x"});
        cut_error(&mut short);
        assert!(short.is_object());
    }
}

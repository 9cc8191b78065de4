//! Pausing: of runs, pipelines, queues. What is paused starts nothing new; what runs goes on to its end. And what a pause is
//! to a run's steps, in words.

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use pawl_base::duration;
use pawl_dispatch::pauses::end;
use pawl_domain::decision::check_reason;
use pawl_domain::name::Name;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline_file::closest;
use pawl_domain::status::StepStatus;
use pawl_store::live::LiveStep;
use pawl_store::pauses::{self as store, Pausable, Shelf};
use pawl_store::runs::RunRow;

use super::problem::Result;
use super::recorded::{Noted, noted};
use super::request::{Path, pipeline_name, read_body, require_media_type, run_id};
use super::state::AppState;
use super::types::{Changed, Pause, PauseChanged, PauseRequest, PausedQueue, PausedSteps, Problem, WayOut};
use super::whose::Scoped;

/// A request to pause something, with its reason in whatever escapes; one that is too long is told so, not how large a body may be.
const REQUEST_BYTES: usize = 64 << 10;

/// Why something is paused; the body may be left out.
async fn reason(headers: &HeaderMap, body: Body) -> Result<Option<String>> {
    let bytes = read_body(body, headers, "a request to pause", REQUEST_BYTES).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    require_media_type(headers, &["application/json"])?;
    // Else a list would do, of the members' values in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::bad_request("the body is not what this route takes: it is an object, not a list"));
    }
    let request: PauseRequest = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad_request(format!("the body is not what this route takes: {error}")))?;
    if let Some(reason) = &request.reason {
        check_reason(reason).map_err(|rule| Problem::bad_request(format!("the reason {rule}")))?;
    }
    Ok(request.reason)
}

pub(super) async fn pause_run(
    Scoped(state): Scoped,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Noted<Changed>> {
    let reason = reason(&headers, body).await?;
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let is_new = state.store.pause_run(id, reason).await?;
    let remark = match is_new {
        true => format!("nothing of it starts until `pawl run unpause {id}`; what runs goes on to its end"),
        false => "it was paused before, and keeps the reason of then".to_owned(),
    };
    let answer = Changed { remarks: vec![remark], ..state.changed(id, &pipeline, &[]).await? };
    Ok(noted(is_new, answer))
}

pub(super) async fn unpause_run(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Json<Changed>> {
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let ready = state.store.unpause_run(id).await?;
    state.goes_on(id, &pipeline, &ready).await.map(Json)
}

pub(super) async fn pause_pipeline(
    Scoped(state): Scoped,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Noted<PauseChanged>> {
    let reason = reason(&headers, body).await?;
    let what = pipeline(&state, &name).await?;
    begin(&state, name, &what, reason).await
}

pub(super) async fn unpause_pipeline(Scoped(state): Scoped, Path(name): Path<String>) -> Result<Noted<PauseChanged>> {
    let what = pipeline(&state, &name).await?;
    let changed = end(&*state.store, &*state.queue, &what).await?;
    Ok(noted(changed, PauseChanged { name, paused: None, changed }))
}

pub(super) async fn pause_queue(
    Scoped(state): Scoped,
    Path(queue): Path<Name>,
    headers: HeaderMap,
    body: Body,
) -> Result<Noted<PauseChanged>> {
    let reason = reason(&headers, body).await?;
    let name = queue.as_str().to_owned();
    must_be_known(&state, &name).await?;
    begin(&state, name.clone(), &Pausable::Queue(name), reason).await
}

pub(super) async fn unpause_queue(Scoped(state): Scoped, Path(queue): Path<Name>) -> Result<Noted<PauseChanged>> {
    let name = queue.as_str().to_owned();
    let changed = end(&*state.store, &*state.queue, &Pausable::Queue(name.clone())).await?;
    if !changed {
        must_be_known(&state, &name).await?;
    }
    Ok(noted(changed, PauseChanged { name, paused: None, changed }))
}

async fn begin(state: &AppState, name: String, what: &Pausable, reason: Option<String>) -> Result<Noted<PauseChanged>> {
    let changed = state.store.pause(what, reason.as_deref()).await?;
    let paused = state.store.pauses().await?.into_iter().find(|pause| pause.what == *what).map(Pause::from);
    Ok(noted(changed, PauseChanged { name, paused, changed }))
}

async fn pipeline(state: &AppState, name: &str) -> Result<Pausable> {
    let name = pipeline_name(name)?;
    state.store.pipeline(&state.namespace, name.as_str()).await.map_err(|error| match error {
        pawl_store::Error::NotFound(detail) => Problem::unknown_pipeline(&detail),
        error => error.into(),
    })?;
    Ok(Pausable::Pipeline(state.namespace.clone(), name.as_str().to_owned()))
}

/// A queue that no pipeline names and no worker serves is one that was misspelt.
async fn must_be_known(state: &AppState, queue: &str) -> Result<()> {
    let workers = state.store.workers().await?;
    if workers.iter().any(|worker| worker.queues.iter().any(|served| served == queue)) {
        return Ok(());
    }
    let named = state.store.named_queues().await?;
    if named.iter().any(|named| named == queue) {
        return Ok(());
    }
    let meant = closest(queue, named.iter().map(String::as_str));
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    Err(Problem::not_found(format!(
        "there is no queue {queue:?}: no pipeline names it, and no worker serves it{meant}"
    )))
}

fn is_pipeline(what: &Pausable, namespace: &Namespace, pipeline: &str) -> bool {
    matches!(what, Pausable::Pipeline(whose, name) if whose == namespace && name == pipeline)
}

/// The pause of a pipeline of this namespace.
fn of_pipeline(pauses: &[store::Pause], namespace: &Namespace, pipeline: &str) -> Option<Pause> {
    pauses.iter().find(|pause| is_pipeline(&pause.what, namespace, pipeline)).cloned().map(Pause::from)
}

/// The pause of a queue.
fn of_queue(pauses: &[store::Pause], queue: &str) -> Option<Pause> {
    let is_it = |what: &Pausable| matches!(what, Pausable::Queue(name) if name == queue);
    pauses.iter().find(|pause| is_it(&pause.what)).cloned().map(Pause::from)
}

/// The pause of a pipeline of this namespace, with what waits for its end.
pub(super) fn shelf_of_pipeline(shelves: &[Shelf], namespace: &Namespace, pipeline: &str) -> Option<Pause> {
    shelves.iter().find(|shelf| is_pipeline(&shelf.pause.what, namespace, pipeline)).cloned().map(Pause::from)
}

/// The queues that are paused, by name, with what waits for that to end.
pub(super) fn shelves_of_queues(shelves: Vec<Shelf>) -> Vec<PausedQueue> {
    let queue = |shelf: Shelf| match &shelf.pause.what {
        Pausable::Queue(queue) => Some(PausedQueue { queue: queue.clone(), pause: shelf.into() }),
        Pausable::Pipeline(..) => None,
    };
    let mut queues: Vec<PausedQueue> = shelves.into_iter().filter_map(queue).collect();
    queues.sort_by(|one, other| one.queue.cmp(&other.queue));
    queues
}

impl From<store::Pause> for Pause {
    fn from(pause: store::Pause) -> Self {
        Self { since_ms: pause.paused_at_ms, reason: pause.reason, waiting: None }
    }
}

impl From<Shelf> for Pause {
    fn from(shelf: Shelf) -> Self {
        let Shelf { pause, steps, more, oldest_ms } = shelf;
        Self { waiting: Some(PausedSteps { steps, more, since_ms: oldest_ms }), ..pause.into() }
    }
}

/// The pause of a run that has not ended.
pub(super) fn of_run(run: &RunRow) -> Option<Pause> {
    let since_ms = run.paused_at_ms.filter(|_| !run.status.is_ended())?;
    Some(Pause { since_ms, reason: run.pause_reason.clone(), waiting: None })
}

/// Why a step does not start that is ready, if it is paused; and what ends that. Of several pauses that of the run first.
pub(super) fn why_not(
    run: &RunRow,
    step: &LiveStep,
    pauses: &[store::Pause],
    namespace: &Namespace,
) -> Option<(String, WayOut)> {
    if step.status != StepStatus::Ready {
        return None;
    }
    let own = of_run(run).map(|pause| ("its run".to_owned(), format!("pawl run unpause {}", run.id), pause));
    let pipeline = || {
        let pause = of_pipeline(pauses, namespace, &run.pipeline)?;
        Some((format!("the pipeline `{0}`", run.pipeline), format!("pawl pipeline unpause {}", run.pipeline), pause))
    };
    let queue = || {
        let pause = of_queue(pauses, &step.queue)?;
        Some((format!("the queue `{0}`", step.queue), format!("pawl queue unpause {}", step.queue), pause))
    };
    let (what, command, pause) = own.or_else(pipeline).or_else(queue)?;
    let since = (step.now_ms - pause.since_ms).max(0);
    let why = pause.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let since = duration(since);
    let message = format!("it is ready, and {what} has been paused for {since}{why}; unpause it with `{command}`");
    Some((message, WayOut { command, what: "let start what is ready".to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::{RunId, StepNo};
    use pawl_domain::pipeline::Priority;
    use pawl_domain::status::RunStatus;

    fn run(paused_at_ms: Option<i64>) -> RunRow {
        RunRow {
            id: RunId(uuid::Uuid::nil()),
            pipeline: "orders".into(),
            paused_at_ms,
            pause_reason: Some("the bank is down".into()),
            ..RunRow::example(RunStatus::Running)
        }
    }

    fn step(status: StepStatus) -> LiveStep {
        LiveStep {
            no: StepNo(0),
            status,
            worker: None,
            lease_end_ms: None,
            due_at_ms: None,
            awaits: None,
            ready_at_ms: None,
            queue: "gpu".into(),
            priority: Priority::Normal,
            queue_workers: 1,
            ready_before: 0,
            error: None,
            down: None,
            doing: None,
            now_ms: 10_000,
        }
    }

    #[test]
    fn a_ready_step_says_what_is_paused_why_and_what_ends_it() {
        let here = Namespace::default();
        let pause = |what: Pausable| store::Pause { what, reason: None, paused_at_ms: 8_500 };
        let pipeline = pause(Pausable::Pipeline(here.clone(), "orders".into()));
        let (other, queue) =
            (pause(Pausable::Pipeline(here.clone(), "mails".into())), pause(Pausable::Queue("gpu".into())));
        let id = RunId(uuid::Uuid::nil());
        for (paused_at_ms, pauses, expected) in [
            (Some(9_000), vec![pipeline.clone()], format!("it is ready, and its run has been paused for 1.0 s (the bank is down); unpause it with `pawl run unpause {id}`")),
            (None, vec![other.clone(), pipeline, queue.clone()], "it is ready, and the pipeline `orders` has been paused for 1.5 s; unpause it with `pawl pipeline unpause orders`".into()),
            (None, vec![other.clone(), queue], "it is ready, and the queue `gpu` has been paused for 1.5 s; unpause it with `pawl queue unpause gpu`".into()),
        ] {
            let (message, _) = why_not(&run(paused_at_ms), &step(StepStatus::Ready), &pauses, &here).unwrap();
            assert_eq!(message, expected);
        }
        assert!(why_not(&run(None), &step(StepStatus::Ready), &[other], &here).is_none());
        assert!(why_not(&run(Some(1)), &step(StepStatus::Waiting), &[], &here).is_none(), "it waits for its time");
    }
}

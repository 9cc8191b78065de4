//! Logs of steps over HTTP: page by page, or as server-sent events that follow a run, or a step, to its end. A line's number is
//! the `id`, so a reader that lost its connection goes on where it was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use pawl_domain::id::{RunId, StepNo};
use pawl_domain::log::Level;
use pawl_domain::pipeline::Pipeline;
use pawl_store as store;
use pawl_store::logs::{LogPage, LoggedLine, Wanted};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::events::{KEEP_ALIVE, RETRY_AFTER, last_event_id, wants_stream};
use super::problem::Result;
use super::request::{Params, Path, run_id};
use super::state::{AppState, step_name, step_named};
use super::types::{LogEnd, LogLine, LogList};
use super::watch::LogSubscription;
use super::whose::Scoped;

/// Lines of a page, unless the reader says otherwise, and at most.
const PAGE: u32 = 1_000;
const LONGEST_PAGE: u32 = 10_000;

/// Lines that are read at once for a stream.
const CHUNK: usize = 500;

/// A stream reads no more often than this, however much moves.
const PAUSE: Duration = Duration::from_millis(100);

/// For so long after the end of a run, or a step, lines of its last moments are waited for: its worker has gathered them, and the
/// hub looks once a second.
const SETTLES: Duration = Duration::from_secs(2);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogParams {
    /// Only lines after this number: the `next` of the page before, or the number of the last line that the reader has.
    after: Option<u64>,
    /// Only those of this attempt.
    attempt: Option<u32>,
    /// Only those that matter as much as this, or more.
    level: Option<Level>,
    /// At most so many; 1,000, if nothing is said, and never more than 10,000.
    limit: Option<u32>,
    /// Only those that were said then or later, ms since 1970.
    since_ms: Option<u64>,
    /// Only the last so many of them, and never more than 10,000; a stream begins with these.
    tail: Option<u32>,
}

pub(super) async fn of_run(
    Scoped(state): Scoped,
    Path(run): Path<String>,
    Params(params): Params<LogParams>,
    headers: HeaderMap,
) -> Result<Response> {
    let run = run_id(&run)?;
    let pipeline = state.pipeline_of(run).await?;
    answer(state, Wanted::all(run), pipeline, params, &headers).await
}

pub(super) async fn of_step(
    Scoped(state): Scoped,
    Path((run, step)): Path<(String, String)>,
    Params(params): Params<LogParams>,
    headers: HeaderMap,
) -> Result<Response> {
    let run = run_id(&run)?;
    let pipeline = state.pipeline_of(run).await?;
    let step = Some(step_named(&pipeline, &step)?);
    answer(state, Wanted { step, ..Wanted::all(run) }, pipeline, params, &headers).await
}

async fn answer(
    state: AppState,
    all: Wanted,
    pipeline: Arc<Pipeline>,
    params: LogParams,
    headers: &HeaderMap,
) -> Result<Response> {
    let last = last_event_id::<u64>(headers)?;
    let wanted = Wanted {
        attempt: params.attempt,
        level: params.level.unwrap_or(all.level),
        since_ms: params.since_ms.map_or(all.since_ms, signed),
        ..all
    };
    let tail = params.tail.map(|lines| lines.min(LONGEST_PAGE) as usize);
    let after = signed(params.after.unwrap_or(0));
    if !wants_stream(headers) {
        // The end first: lines that come in between are more than it says, never fewer.
        let ended = end_of(&state, &wanted).await?.is_some();
        let page = match tail {
            Some(lines) => state.store.log_tail(&wanted, after, lines).await?,
            None => {
                let most = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE) as usize;
                state.store.log_page(&wanted, after, most).await?
            }
        };
        return Ok(Json(list(&pipeline, page, ended)).into_response());
    }
    let (after, tail) = match last.map(signed) {
        // A reader that has come to the end and lost its connection by that asks again, and would for ever.
        Some(last) if has_ended_with(&state, &wanted, last).await? => return Ok(StatusCode::NO_CONTENT.into_response()),
        // It has begun before.
        Some(last) if last > 0 => (last, None),
        _ => (after, tail),
    };
    let (_place, subscription) = (state.reader()?, state.watch.follow_log(wanted.run));
    let (read, ended_at, is_over) = (VecDeque::new(), None, false);
    let follower = Follower { state, wanted, pipeline, subscription, after, tail, read, ended_at, is_over, _place };
    Ok(Sse::new(follower.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Numbers of the store have a sign; what is larger is beyond all of them.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How what is asked for has ended, if it has: the step, or the run.
async fn end_of(state: &AppState, wanted: &Wanted) -> store::Result<Option<&'static str>> {
    let mark = state.store.run_marks(&[wanted.run]).await?;
    // One that is gone says nothing more.
    let Some(run) = mark.first().map(|mark| mark.status) else { return Ok(Some("gone")) };
    let of_run = run.is_ended().then_some(run.as_str());
    let Some(step) = wanted.step.filter(|_| of_run.is_none()) else { return Ok(of_run) };
    step_end(state, wanted.run, step).await
}

async fn step_end(state: &AppState, run: RunId, step: StepNo) -> store::Result<Option<&'static str>> {
    let (_, steps) = state.store.run(run, Some(step)).await?;
    Ok(steps.first().map(|step| step.status).filter(|status| status.is_ended()).map(|status| status.as_str()))
}

/// Whether there is an end, and no line after this one.
async fn has_ended_with(state: &AppState, wanted: &Wanted, last: i64) -> Result<bool> {
    if end_of(state, wanted).await?.is_none() {
        return Ok(false);
    }
    let page = state.store.log_page(wanted, last, 1).await?;
    Ok(page.lines.is_empty() && !page.more)
}

fn list(pipeline: &Pipeline, page: LogPage, ended: bool) -> LogList {
    let next = page.more.then_some(page.seen.cast_unsigned());
    let lines = page.lines.into_iter().map(|line| line_of(pipeline, line)).collect();
    LogList { lines, next, ended: ended && next.is_none() }
}

pub(super) fn line_of(pipeline: &Pipeline, told: LoggedLine) -> LogLine {
    let LoggedLine { number, step, fence, worker, attempt, line } = told;
    LogLine {
        number: number.cast_unsigned(),
        at_ms: line.at_ms,
        step: step_name(pipeline, step),
        attempt,
        fence: fence.0,
        worker,
        level: line.level,
        message: line.message,
        fields: line.fields,
    }
}

/// One reader of a log.
struct Follower {
    state: AppState,
    wanted: Wanted,
    pipeline: Arc<Pipeline>,
    subscription: LogSubscription,
    /// The number up to which all was read.
    after: i64,
    /// It begins with so many of the last lines.
    tail: Option<usize>,
    /// Lines that were read and not yet sent.
    read: VecDeque<LogLine>,
    /// When the end was first seen.
    ended_at: Option<Instant>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

/// What a reader is told.
enum Told {
    Line(LogLine),
    End(&'static str),
}

impl Follower {
    /// Ends after the last line, with a word; or with the server, without one: then the reader comes back.
    fn into_stream(self) -> impl Stream<Item = std::result::Result<sse::Event, axum::Error>> {
        futures_util::stream::unfold(self, |mut follower| async move {
            let sent = match follower.next().await? {
                Told::Line(line) => sse::Event::default().id(line.number.to_string()).event("line").json_data(&line),
                Told::End(ended) => sse::Event::default().event("end").json_data(LogEnd { ended: ended.to_owned() }),
            };
            Some((sent, follower))
        })
    }

    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(line) = self.read.pop_front() {
                return Some(Told::Line(line));
            }
            if self.is_over {
                return None;
            }
            let marked = self.subscription.last_line();
            let looked = self.look().await.inspect_err(|error| {
                tracing::debug!(error = error.chain(), run.id = %self.wanted.run, "a stream of lines has to wait");
            });
            let Ok((end, more)) = looked else {
                // An outage is waited out: the reader's connection is worth more than its time.
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            };
            if more || !self.read.is_empty() {
                continue;
            }
            let Some(end) = end else {
                self.ended_at = None;
                if !self.subscription.moved_after(marked).await {
                    return None;
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let left = SETTLES.saturating_sub(self.ended_at.get_or_insert_with(Instant::now).elapsed());
            if left.is_zero() {
                self.is_over = true;
                return Some(Told::End(end));
            }
            if tokio::time::timeout(left, self.subscription.moved_after(marked)).await == Ok(false) {
                return None;
            }
        }
    }

    /// Reads the next lines: the end, if it was there before them, and whether there are more.
    async fn look(&mut self) -> store::Result<(Option<&'static str>, bool)> {
        let end = end_of(&self.state, &self.wanted).await?;
        let page = match self.tail {
            Some(lines) => self.state.store.log_tail(&self.wanted, self.after, lines).await?,
            None => self.state.store.log_page(&self.wanted, self.after, CHUNK).await?,
        };
        (self.tail, self.after) = (None, page.seen);
        self.read.extend(page.lines.into_iter().map(|line| line_of(&self.pipeline, line)));
        Ok((end, page.more))
    }
}

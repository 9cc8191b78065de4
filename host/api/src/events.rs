//! A run's history over HTTP: as a list, or as server-sent events that follow the run to its end. The
//! event's number is the `id`, so a reader that lost its connection goes on where it was. Who only shows how a run stands asks for
//! [marks].
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use pawl_domain::event::EventKind;
use pawl_domain::id::RunId;
use pawl_domain::pipeline::Pipeline;
use pawl_store::events::EventRow;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::problem::Result;
use super::request::{Params, Path, run_id};
use super::routes::{EVENT_STREAM, LAST_EVENT_ID};
use super::state::{AppState, step_name};
use super::types::{Event, EventList, Problem};
use super::watch::{Seen, Subscription};
use super::whose::Scoped;

mod marks;

/// Events that are read at once for a stream.
const CHUNK: u32 = 500;

/// Events in one list; the reader asks again with `after`.
const LIST: u32 = 10_000;

/// Silence after which a comment is sent, so that both sides notice a dead connection.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Pause after a failed read.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A larger number means the end of the history, whatever it is.
const LAST_NUMBER: u32 = i32::MAX as u32;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventParams {
    /// The number of the last event that the reader has.
    after: Option<u32>,
    /// As a stream: in the place of the events, at most once in so many ms, the number of the last one.
    marks_every_ms: Option<u32>,
}

pub(super) async fn events(
    Scoped(state): Scoped,
    Path(run): Path<String>,
    Params(params): Params<EventParams>,
    headers: HeaderMap,
) -> Result<Response> {
    let id = run_id(&run)?;
    let last = last_event_id::<u32>(&headers)?.map(|number| number.min(LAST_NUMBER));
    let pipeline = state.pipeline_of(id).await?;
    let after = params.after.unwrap_or(0).min(LAST_NUMBER);
    if !wants_stream(&headers) {
        return Ok(Json(list(&state, id, &pipeline, after).await?).into_response());
    }
    let after = match last {
        // A reader that has come to the end and lost its connection by that asks again, and would for ever.
        Some(last) if ended_with(&state, id, last).await? => return Ok(StatusCode::NO_CONTENT.into_response()),
        last => last.unwrap_or(after),
    };
    let (_place, subscription) = (state.reader()?, state.watch.follow(id));
    if let Some(every_ms) = params.marks_every_ms {
        let marks = marks::stream(subscription, after, every_ms, _place);
        return Ok(Sse::new(marks).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response());
    }
    let follower = Follower { subscription, state, run: id, pipeline, after, read: VecDeque::new(), _place };
    Ok(Sse::new(follower.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Whether the run has ended, and nothing has happened to it since this event.
async fn ended_with(state: &AppState, run: RunId, last: u32) -> Result<bool> {
    let marks = state.store.run_marks(&[run]).await?;
    Ok(marks.first().is_some_and(|mark| mark.status.is_ended() && mark.event_count <= last))
}

/// Whether the reader wants a stream in the place of a list.
pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with(EVENT_STREAM)))
}

/// The number of the last event that the reader of a stream has.
pub(super) fn last_event_id<N: FromStr>(headers: &HeaderMap) -> Result<Option<N>> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse::<N>().ok());
    number.map(Some).ok_or_else(|| Problem::bad_request("`Last-Event-ID` is the number of the last event received"))
}

async fn list(state: &AppState, run: RunId, pipeline: &Pipeline, after: u32) -> Result<EventList> {
    // The mark first: events that come in between are more than it says, never fewer.
    let marks = state.store.run_marks(&[run]).await?;
    let rows = state.store.events(run, after, LIST).await?;
    let last = rows.last().map_or(after, |row| row.number);
    let ended = marks.first().is_some_and(|mark| mark.status.is_ended() && mark.event_count <= last);
    Ok(EventList { events: rows.into_iter().map(|row| event_of(pipeline, row)).collect(), ended })
}

pub(super) fn event_of(pipeline: &Pipeline, row: EventRow) -> Event {
    Event {
        number: row.number,
        at_ms: row.at_ms,
        kind: row.kind.to_string(),
        step: row.step.map(|step| step_name(pipeline, step)),
        fence: row.fence,
        worker: row.worker,
        note: row.note.or_else(|| why(row.kind)),
    }
}

/// A takeover leaves no note: there is one reason why it parks a step.
fn why(kind: EventKind) -> Option<String> {
    (kind == EventKind::StepParked).then(|| "its workers died while they executed it".to_owned())
}

/// One reader of a run's history.
struct Follower {
    state: AppState,
    run: RunId,
    pipeline: Arc<Pipeline>,
    subscription: Subscription,
    /// The number of the last event that was read.
    after: u32,
    /// Events that were read and not yet sent.
    read: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// Ends after the run's last event, or with the server; then the reader comes back.
    fn into_stream(self) -> impl Stream<Item = std::result::Result<sse::Event, axum::Error>> {
        futures_util::stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            let sent = sse::Event::default().id(event.number.to_string()).event(&event.kind).json_data(&event);
            Some((sent, follower))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Some(event);
            }
            let after = self.after;
            let seen = self.subscription.until(|mark| mark.event_count > after || mark.status.is_ended()).await;
            let Seen::At(mark) = seen else { return None };
            if mark.event_count <= after {
                return None;
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Reads the next events; false: the run is gone, its retention has ended. An outage is waited out: the reader's
    /// connection is worth more than its time.
    async fn read_more(&mut self) -> bool {
        match self.state.store.events(self.run, self.after, CHUNK).await {
            Ok(rows) if !rows.is_empty() => {
                self.after = rows.last().map_or(self.after, |row| row.number);
                self.read.extend(rows.into_iter().map(|row| event_of(&self.pipeline, row)));
                return true;
            }
            Ok(_) if self.state.store.run_marks(&[self.run]).await.is_ok_and(|marks| marks.is_empty()) => return false,
            Ok(_) => tracing::error!(run.id = %self.run, after = self.after, "a run has fewer events than it says"),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, run.id = %self.run, "an event stream has to wait");
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
        true
    }
}

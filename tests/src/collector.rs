//! A collector of OpenTelemetry as small as can be: it takes spans by OTLP over HTTP, as protobuf, and keeps them to be looked
//! at. On demand it refuses them, or does not answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pawl_base::lock;
use pawl_traces::otlp::{Any, ExportTraceServiceRequest, FAILED, KeyValue};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::runtime::{block_on, handle};
use crate::wait::{self, Look};

/// How it treats requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// Takes spans.
    #[default]
    Takes,
    /// Answers with this status.
    Refuses(u16),
    /// Never answers.
    Hangs,
}

/// A link of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTo {
    /// 32 digits.
    pub trace: String,
    /// 16 digits.
    pub span: String,
    /// As in `tracestate`.
    pub state: String,
    /// What it says of itself in `pawl.link`.
    pub what: String,
}

/// A span, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What its process is called.
    pub service: String,
    /// 32 digits.
    pub trace: String,
    /// 16 digits.
    pub id: String,
    /// 16 digits, or none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// A number of the protocol.
    pub kind: i32,
    /// ns since 1970.
    pub begun_ns: u64,
    /// ns since 1970.
    pub ended_ns: u64,
    /// As text.
    pub attributes: BTreeMap<String, String>,
    /// In their order.
    pub links: Vec<LinkTo>,
    /// Whether it says that it has failed.
    pub failed: bool,
}

impl Seen {
    /// An attribute, as text; empty if there is none.
    #[must_use]
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// What it is linked to under that word.
    #[must_use]
    pub fn link(&self, what: &str) -> Option<&LinkTo> {
        self.links.iter().find(|link| link.what == what)
    }
}

/// A running collector; it ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    listening: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    /// Requests that came, taken or not.
    requests: usize,
    seen: Vec<Seen>,
    /// What came that was no such request.
    wrong: Vec<String>,
}

impl Collector {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> anyhow::Result<Self> {
        let listener = block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let listening = handle().spawn(listen(listener, Arc::clone(&state))).abort_handle();
        Ok(Self { address, state, listening })
    }

    /// Its address, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it treats requests like this.
    pub fn be(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// How many requests have come, whatever became of them.
    #[must_use]
    pub fn requests(&self) -> usize {
        lock(&self.state).requests
    }

    /// All spans that it has.
    ///
    /// # Errors
    /// If something has come that was none.
    pub fn seen(&self) -> anyhow::Result<Vec<Seen>> {
        let state = lock(&self.state);
        anyhow::ensure!(state.wrong.is_empty(), "{:?}", state.wrong);
        Ok(state.seen.clone())
    }

    /// The spans of attempts of a run, in the order of their fences; waits until there are so many.
    ///
    /// # Errors
    /// If there are not within `bound`.
    pub fn attempts(&self, run: &str, count: usize, bound: Duration) -> anyhow::Result<Vec<Seen>> {
        wait::until(bound, &format!("{count} attempts of run {run} at the collector"), || {
            let mut all = self.seen()?;
            all.retain(|span| span.attribute("pawl.run.id") == run);
            all.sort_by_key(|span| span.attribute("pawl.fence").parse::<i64>().unwrap_or(0));
            Ok(if all.len() >= count { Look::Done(all) } else { Look::NotYet(format!("{all:?}")) })
        })
    }

    /// The parts of an attempt, in the order in which they began.
    ///
    /// # Errors
    /// If something has come that is no span.
    pub fn parts(&self, attempt: &Seen) -> anyhow::Result<Vec<Seen>> {
        let mut parts = self.seen()?;
        parts.retain(|span| span.trace == attempt.trace && span.parent == attempt.id);
        parts.sort_by_key(|span| (span.begun_ns, span.ended_ns));
        Ok(parts)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (path, content_type) = (request.uri().path().to_owned(), request.headers().get("content-type").cloned());
    let body = request.into_body().collect().await?.to_bytes();
    let mood = {
        let mut state = lock(&state);
        state.requests += 1;
        state.mood
    };
    let mut response = Response::new(Full::new(Bytes::new()));
    match mood {
        Mood::Hangs => std::future::pending::<()>().await,
        Mood::Refuses(status) => {
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        }
        Mood::Takes => {
            let is_otlp = path == "/v1/traces" && content_type.is_some_and(|it| it == "application/x-protobuf");
            let mut state = lock(&state);
            match ExportTraceServiceRequest::decode(body) {
                Ok(request) if is_otlp => state.seen.extend(spans(request)),
                Ok(_) => state.wrong.push(format!("a request at {path}")),
                Err(error) => state.wrong.push(format!("{path}: {error}")),
            }
        }
    }
    Ok(response)
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut all = Vec::new();
    for of_process in request.resource_spans {
        let resource = texts(&of_process.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let link = |link: &pawl_traces::otlp::Link| LinkTo {
                trace: digits(&link.trace_id),
                span: digits(&link.span_id),
                state: link.trace_state.clone(),
                what: texts(&link.attributes).remove("pawl.link").unwrap_or_default(),
            };
            all.push(Seen {
                service: service.clone(),
                trace: digits(&span.trace_id),
                id: digits(&span.span_id),
                parent: digits(&span.parent_span_id),
                name: span.name,
                kind: span.kind,
                begun_ns: span.start_time_unix_nano,
                ended_ns: span.end_time_unix_nano,
                attributes: texts(&span.attributes),
                links: span.links.iter().map(link).collect(),
                failed: span.status.is_some_and(|status| status.code == FAILED),
            });
        }
    }
    all
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
        Any::Text(text) => Some(text.clone()),
        Any::Bool(is) => Some(is.to_string()),
        Any::Int(number) => Some(number.to_string()),
    };
    attributes.iter().filter_map(|pair| Some((pair.key.clone(), text(pair)?))).collect()
}

//! Brings spans to the collector: what has gathered in a moment goes as one request. A collector that is away is asked again
//! for a while, then its spans are dropped, and meanwhile those for which the buffer has no room: all of that is counted. It is
//! told in the log once, and once more when it takes spans again.

use std::sync::Arc;
use std::time::Duration;

use pawl_base::chain;
use pawl_metrics::figures;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::attempt::{Asked, Origins};
use crate::config::Config;
use crate::otlp::{self, ExportTraceServiceResponse, KeyValue, Resource};
use crate::span::Span;
use crate::tracer::Told;

/// How long spans gather, and how many go at once.
const GATHER: Duration = Duration::from_secs(1);
const TOGETHER: usize = 512;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it is waited for what links attempts to others: without it, they go unlinked.
const ORIGINS_PATIENCE: Duration = Duration::from_secs(2);

/// How often a request is sent, and the pauses in between, which double.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What sends the spans of a process, until it is [finished](Self::finish).
#[derive(Debug)]
pub struct Sending {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Sending {
    /// Sends what is there, and ends; after `at_most` in any case.
    pub async fn finish(self, at_most: Duration) {
        let abort = self.task.abort_handle();
        let _ = self.stop.send(true);
        if timeout(at_most, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Why spans were not taken.
enum Refusal {
    /// Somebody is not there, or has too much to do: it may take them later.
    Passing(String),
    /// It will never take them.
    Final(String),
}

struct Sender {
    client: Client,
    url: Url,
    resource: Resource,
    origins: Arc<dyn Origins>,
    stop: watch::Receiver<bool>,
    /// The log says that the collector is away.
    is_told: bool,
}

/// Starts it.
pub(crate) fn start(config: Config, origins: Arc<dyn Origins>, waiting: Receiver<Told>) -> Result<Sending, String> {
    let (stop, stopped) = watch::channel(false);
    let url = Url::parse(&config.url).map_err(|error| format!("the collector's address is no URL: {error}"))?;
    let resource = resource_of(&config);
    let client = client(&config.headers)?;
    let sender = Sender { client, url, resource, origins, stop: stopped, is_told: false };
    Ok(Sending { task: tokio::spawn(sender.run(waiting)), stop })
}

fn client(headers: &[(String, String)]) -> Result<Client, String> {
    pawl_base::use_ring();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header's name"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| format!("the value of the header {name} is none"))?;
        value.set_sensitive(true);
        map.append(parsed, value);
    }
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let builder = Client::builder().user_agent(concat!("pawl/", env!("CARGO_PKG_VERSION"))).default_headers(map);
    builder.timeout(PATIENCE).build().map_err(|error| format!("there is no way to the collector: {error}"))
}

fn resource_of(config: &Config) -> Resource {
    let own = [("service.name", config.service.as_str()), ("service.version", env!("CARGO_PKG_VERSION"))];
    let own = own.into_iter().map(|(key, value)| KeyValue::text(key, value));
    let given = config.resource.iter().filter(|(key, _)| !key.starts_with("service.name"));
    Resource { attributes: own.chain(given.map(|(key, value)| KeyValue::text(key, value))).collect() }
}

impl Sender {
    async fn run(mut self, mut waiting: Receiver<Told>) {
        let mut batch = Vec::new();
        loop {
            let is_stopping = *self.stop.borrow();
            if !is_stopping {
                tokio::select! {
                    more = waiting.recv_many(&mut batch, TOGETHER) => if more == 0 { return },
                    _ = self.stop.wait_for(|stop| *stop) => {}
                }
            }
            if batch.len() < TOGETHER {
                let _ = timeout(GATHER, self.stop.wait_for(|stop| *stop)).await;
            }
            while batch.len() < TOGETHER
                && let Ok(told) = waiting.try_recv()
            {
                batch.push(told);
            }
            if !batch.is_empty() {
                let spans = self.linked(std::mem::take(&mut batch)).await;
                self.send(spans).await;
            } else if is_stopping {
                return;
            }
        }
    }

    /// With the links of attempts, as far as they can be known now.
    async fn linked(&self, batch: Vec<Told>) -> Vec<Span> {
        let of_attempt = |told: &Told| match told {
            Told::Attempt(attempt) => Some(attempt.asked),
            Told::Span(_) => None,
        };
        let asked: Vec<Asked> = batch.iter().filter_map(of_attempt).collect();
        let mut origins = match asked.is_empty() {
            true => Vec::new(),
            false => timeout(ORIGINS_PATIENCE, self.origins.of(&asked)).await.ok().flatten().unwrap_or_default(),
        }
        .into_iter();
        let mut spans = Vec::with_capacity(batch.len());
        for told in batch {
            match told {
                Told::Span(span) => spans.push(*span),
                Told::Attempt(attempt) => spans.extend(attempt.linked(origins.next().unwrap_or_default())),
            }
        }
        spans
    }

    /// Sends them, again and again if need be; or counts them as dropped.
    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let body = otlp::request(&self.resource, spans).encode_to_vec();
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.post(body.clone()).await {
                Ok(rejected) => {
                    if std::mem::take(&mut self.is_told) {
                        tracing::info!("the collector takes spans again");
                    }
                    figures().spans_dropped.of(&["refused"]).add(rejected.min(count));
                    return figures().spans_sent.add(count - rejected.min(count));
                }
                Err(Refusal::Passing(why)) => {
                    self.tell(&why);
                    if attempt == ATTEMPTS || *self.stop.borrow() {
                        return figures().spans_dropped.of(&["away"]).add(count);
                    }
                    let _ = timeout(pause, self.stop.wait_for(|stop| *stop)).await;
                    pause *= 2;
                }
                Err(Refusal::Final(why)) => {
                    self.tell(&why);
                    return figures().spans_dropped.of(&["refused"]).add(count);
                }
            }
        }
    }

    /// Says once that there is no way for spans; until there is one.
    fn tell(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(reason = why, "the collector does not take spans: they are dropped, steps go on");
        }
    }

    /// Sends a request; how many of its spans were not taken.
    async fn post(&self, body: Vec<u8>) -> Result<u64, Refusal> {
        let sent = self.client.post(self.url.clone()).body(body).send().await;
        // Its address stands in the settings, perhaps with a password.
        let response = sent.map_err(|error| Refusal::Passing(chain(&error.without_url())))?;
        let status = response.status();
        if status.is_success() {
            let answer = response.bytes().await.unwrap_or_default();
            let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
            return Ok(partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0)));
        }
        let why = format!("it answers with {status}");
        let may_pass = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(if may_pass { Refusal::Passing(why) } else { Refusal::Final(why) })
    }
}

//! The outside world of the tests: a small HTTP server that honours `idempotency-key`, keeps a log of
//! every request, and misbehaves on demand.
//!
//! A request with a key that it has answered with success before gets that answer again and is *performed*
//! only once: the log tells the two apart. Requests are told apart by their path, so a test gives each
//! logical item a path of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::runtime::{block_on, handle};
use crate::wait::now_ms;

/// How it treats a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Performs it and answers.
    Answer,
    /// Answers with this status, without performing it.
    Fail(u16),
    /// Answers with 503 and this `retry-after`, without performing it.
    Busy(&'static str),
    /// Performs it and answers this much later.
    Slow(Duration),
    /// Performs it and never answers.
    Hang,
    /// Performs it and closes the connection without an answer.
    Drop,
}

/// One request, as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Upper case.
    pub method: String,
    /// With the query: the logical item.
    pub path: String,
    /// The header `idempotency-key`.
    pub key: Option<String>,
    /// The header `traceparent`.
    pub traceparent: Option<String>,
    /// Of the body's bytes.
    pub body_digest: String,
    /// How it was treated.
    pub manner: Manner,
    /// Whether it had its effect; a repetition of a performed key doesn't.
    pub performed: bool,
    /// When it arrived, ms since 1970.
    pub at_ms: i64,
}

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    listening: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<Received>,
    /// Answers to performed requests, by key.
    answers: HashMap<String, Bytes>,
    files: HashMap<String, Bytes>,
    /// What to do with the next requests whose path begins with the name.
    manners: Vec<(String, VecDeque<Manner>)>,
    always: Vec<(String, Manner)>,
}

impl Target {
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

    /// The URL of a path that begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers `GET path` with these bytes.
    pub fn serve(&self, path: &str, bytes: impl Into<Bytes>) {
        self.lock().files.insert(path.to_owned(), bytes.into());
    }

    /// Treats the next requests whose path begins with `prefix` like this, one each; those after them are
    /// answered.
    pub fn next(&self, prefix: &str, manners: impl IntoIterator<Item = Manner>) {
        self.lock().manners.push((prefix.to_owned(), manners.into_iter().collect()));
    }

    /// Treats all requests whose path begins with `prefix` like this, until told otherwise.
    pub fn always(&self, prefix: &str, manner: Manner) {
        let mut state = self.lock();
        state.always.retain(|(known, _)| known != prefix);
        state.always.push((prefix.to_owned(), manner));
    }

    /// Everything that arrived, in order.
    #[must_use]
    pub fn log(&self) -> Vec<Received> {
        self.lock().log.clone()
    }

    /// How many requests arrived whose path begins with `prefix`.
    #[must_use]
    pub fn count(&self, prefix: &str) -> usize {
        self.lock().log.iter().filter(|received| received.path.starts_with(prefix)).count()
    }

    /// How often each path that begins with `prefix` was performed.
    #[must_use]
    pub fn performed(&self, prefix: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for received in self.lock().log.iter().filter(|received| received.path.starts_with(prefix)) {
            *counts.entry(received.path.clone()).or_default() += usize::from(received.performed);
        }
        counts
    }

    /// Invariant 8: one key with two bodies, one logical item under two keys, an effect without a key.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let log = self.log();
        let mut bodies: BTreeMap<&str, BTreeSet<(&str, &str, &str)>> = BTreeMap::new();
        let mut keys: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        let mut violations = Vec::new();
        for received in log.iter().filter(|received| !is_safe(&received.method)) {
            let Some(key) = &received.key else {
                violations.push(format!("{} {} came without a key", received.method, received.path));
                continue;
            };
            bodies.entry(key).or_default().insert((&received.method, &received.path, &received.body_digest));
            keys.entry((&received.method, &received.path)).or_default().insert(key);
        }
        let with_several = bodies.iter().filter(|(_, requests)| requests.len() > 1);
        violations
            .extend(with_several.map(|(key, requests)| format!("key {key} came with several requests: {requests:?}")));
        let under_several = keys.iter().filter(|(_, keys)| keys.len() > 1);
        violations.extend(under_several.map(|(item, keys)| format!("{item:?} came under several keys: {keys:?}")));
        violations
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

async fn listen(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        // An error is a connection that broke, often because it was told to.
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Told to close the connection.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Closed {}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Closed> {
    let method = request.method().as_str().to_owned();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (key, traceparent) = (header("idempotency-key"), header("traceparent"));
    let body = request.into_body().collect().await.map_err(|_| Closed)?.to_bytes();
    let (manner, response) = receive(&state, method, path, (key, traceparent), &body);
    match manner {
        Manner::Hang => std::future::pending().await,
        Manner::Drop => Err(Closed),
        Manner::Slow(time) => {
            tokio::time::sleep(time).await;
            Ok(response)
        }
        Manner::Answer | Manner::Fail(_) | Manner::Busy(_) => Ok(response),
    }
}

/// Decides, performs and logs, all at once: what arrives later sees all of it.
fn receive(
    state: &Mutex<State>,
    method: String,
    path: String,
    (key, traceparent): (Option<String>, Option<String>),
    body: &Bytes,
) -> (Manner, Response<Full<Bytes>>) {
    let mut state = state.lock().expect("no holder panics");
    let manner = state.manner(&path);
    let known = key.as_ref().and_then(|key| state.answers.get(key)).cloned();
    let performed = known.is_none() && !matches!(manner, Manner::Fail(_) | Manner::Busy(_));
    let (status, content) = match (manner, known, state.files.get(&path)) {
        (Manner::Fail(status), ..) => (status, Bytes::from_static(b"{\"ok\":false}")),
        (Manner::Busy(_), ..) => (503, Bytes::from_static(b"{\"ok\":false}")),
        (_, Some(answer), _) => (200, answer),
        (_, None, Some(file)) if is_safe(&method) => (200, file.clone()),
        (_, None, _) => {
            // The number tells whether a caller got the first answer or one of its own.
            let number = state.log.iter().filter(|received| received.performed).count();
            (200, Bytes::from(format!("{{\"ok\":true,\"number\":{number},\"path\":{path:?}}}")))
        }
    };
    if let (true, Some(key)) = (performed, &key) {
        state.answers.insert(key.clone(), content.clone());
    }
    let body_digest = blake3::hash(body).to_hex().to_string();
    state.log.push(Received { method, path, key, traceparent, body_digest, manner, performed, at_ms: now_ms() });
    let mut response = Response::new(Full::new(content));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    if let Manner::Busy(retry_after) = manner {
        response.headers_mut().insert(hyper::header::RETRY_AFTER, hyper::header::HeaderValue::from_static(retry_after));
    }
    (manner, response)
}

impl State {
    fn manner(&mut self, path: &str) -> Manner {
        let planned = self.manners.iter_mut().filter(|(prefix, _)| path.starts_with(prefix.as_str()));
        if let Some(manner) = planned.filter_map(|(_, manners)| manners.pop_front()).next() {
            return manner;
        }
        let always = self.always.iter().find(|(prefix, _)| path.starts_with(prefix.as_str()));
        always.map_or(Manner::Answer, |(_, manner)| *manner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(target: &Target, path: &str, key: &str, body: &'static str) -> Result<(u16, String), reqwest::Error> {
        block_on(async {
            let client = reqwest::Client::builder().timeout(Duration::from_millis(300)).build()?;
            let request = client.post(target.url(path)).header("idempotency-key", key).body(body);
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        })
    }

    #[test]
    fn a_key_is_performed_once_and_gets_the_first_answer_again() -> anyhow::Result<()> {
        let target = Target::start()?;
        let first = post(&target, "/items/1", "k", "a")?;
        assert_eq!(post(&target, "/items/1", "k", "a")?, first);
        assert_eq!(target.performed("/items"), BTreeMap::from([("/items/1".to_owned(), 1)]));
        assert_eq!(target.count("/items"), 2);
        assert_eq!(target.violations(), Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn it_fails_hangs_and_drops_as_told_and_then_answers() -> anyhow::Result<()> {
        let target = Target::start()?;
        target.next("/items", [Manner::Fail(503), Manner::Hang, Manner::Drop]);
        assert_eq!(post(&target, "/items/1", "k", "a")?.0, 503);
        assert!(post(&target, "/items/1", "k", "a").is_err_and(|error| error.is_timeout()));
        assert!(post(&target, "/items/1", "k", "a").is_err_and(|error| !error.is_timeout()));
        assert_eq!(post(&target, "/items/1", "k", "a")?.0, 200);
        assert_eq!(target.performed("/items"), BTreeMap::from([("/items/1".to_owned(), 1)]));
        Ok(())
    }

    #[test]
    fn it_sees_a_key_with_two_bodies_and_an_item_under_two_keys() -> anyhow::Result<()> {
        let target = Target::start()?;
        post(&target, "/items/1", "k", "a")?;
        post(&target, "/items/1", "k", "b")?;
        post(&target, "/items/2", "l", "a")?;
        post(&target, "/items/2", "m", "a")?;
        assert_eq!(target.violations().len(), 2, "{:?}", target.violations());
        Ok(())
    }

    #[test]
    fn files_are_served_as_they_are() -> anyhow::Result<()> {
        let target = Target::start()?;
        target.serve("/data.csv", "a,b\n1,2\n");
        let text = block_on(async { reqwest::get(target.url("/data.csv")).await?.text().await })?;
        assert_eq!(text, "a,b\n1,2\n");
        Ok(())
    }
}

//! The HTTP client behind `pawl:step/http`. Guests wait for it on their own threads; its sockets live on a
//! runtime of its own with one thread, so that no answer, however large, delays a heartbeat or a commit.
//!
//! It knows nothing of journals and keys. It never follows the redirect of an effect: that would be
//! another effect, without an intent.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use pawl_domain::journal::HttpAnswer;
use reqwest::{Client, redirect};
use tokio::runtime::Runtime;

use super::gate::{AtGate, Gate};
use crate::guest::Halt;

/// How often a waiting guest is asked whether it must stop.
const HALT_CHECK: Duration = Duration::from_millis(50);

/// Who asks.
const AGENT: &str = concat!("pawl/", env!("CARGO_PKG_VERSION"));

/// Headers that an answer may have.
const HEADERS: usize = 1_000;

/// Whether a request only reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fetch,
    Effect,
}

/// The client, made when a guest first needs it.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    ready: OnceLock<Result<Ready, String>>,
}

#[derive(Debug)]
struct Ready {
    runtime: Runtime,
    fetches: Client,
    effects: Client,
}

impl Outgoing {
    /// Sends a request and reads its answer of at most `limit` bytes; an effect goes through its gate. `halt` is asked
    /// again and again whether the guest must stop.
    pub(super) fn send(
        &self,
        mut request: reqwest::Request,
        gate: Option<&Arc<Gate>>,
        timeout: Duration,
        limit: usize,
        halt: impl Fn() -> Option<Halt>,
    ) -> Result<HttpAnswer, Halt> {
        let ready = match self.ready.get_or_init(Ready::new) {
            Ok(ready) => ready,
            Err(reason) => return Ok(HttpAnswer::Connect(reason.clone())),
        };
        let client = if gate.is_some() { &ready.effects } else { &ready.fetches };
        if let (Some(gate), Some(body)) = (gate, request.body_mut()) {
            *body = gate.body(Bytes::copy_from_slice(body.as_bytes().unwrap_or_default()));
        }
        ready.runtime.block_on(async {
            let exchange = exchange(client, request, limit);
            let exchange = async {
                match gate {
                    Some(gate) => Arc::clone(gate).watch(exchange).await,
                    None => exchange.await,
                }
            };
            let mut exchange = Box::pin(tokio::time::timeout(timeout, exchange));
            loop {
                tokio::select! {
                    answer = &mut exchange => return Ok(answer.unwrap_or(HttpAnswer::Timeout)),
                    () = tokio::time::sleep(HALT_CHECK) => {}
                }
                if let Some(halt) = halt() {
                    return Err(halt);
                }
            }
        })
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // A runtime may not be dropped from inside another one, which is where an engine may end.
        if let Some(Ok(ready)) = self.ready.take() {
            ready.runtime.shutdown_background();
        }
    }
}

impl Ready {
    fn new() -> Result<Self, String> {
        // Somebody else may have installed a provider: then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("guest-http")
            .enable_all()
            .build()
            .map_err(|error| format!("the HTTP client can't start: {error}"))?;
        let fetches = client(redirect::Policy::default)?;
        let effects = client(redirect::Policy::none)?;
        Ok(Self { runtime, fetches, effects })
    }
}

/// A client that takes nothing from the environment, so that a step does the same on every worker.
fn client(redirects: fn() -> redirect::Policy) -> Result<Client, String> {
    let builder = || {
        Client::builder()
            .no_proxy()
            .user_agent(AGENT)
            .redirect(redirects())
            .http1_max_headers(HEADERS)
            .connector_layer(AtGate)
    };
    builder().build().or_else(|error| {
        tracing::warn!(error = %Chain(&error), "no certificates to trust were found: guests can't use https");
        builder().tls_certs_only([]).build().map_err(|error| format!("the HTTP client can't start: {}", Chain(&error)))
    })
}

async fn exchange(client: &Client, request: reqwest::Request, limit: usize) -> HttpAnswer {
    match receive(client, request, limit).await {
        Ok(answer) => answer,
        Err(error) if has_large_head(&error) => {
            let why = format!("it is answered with more than {HEADERS} headers, or larger ones, than a step is given");
            HttpAnswer::Invalid(why)
        }
        Err(error) if error.is_connect() => HttpAnswer::Connect(Chain(&error).to_string()),
        Err(error) => HttpAnswer::Broken(Chain(&error).to_string()),
    }
}

/// Whether the answer's head is more than is read. It would be so again: asked for once more, nothing is won.
fn has_large_head(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref().is_some_and(hyper::Error::is_parse_too_large) {
            return true;
        }
        source = cause.source();
    }
    false
}

async fn receive(client: &Client, request: reqwest::Request, limit: usize) -> reqwest::Result<HttpAnswer> {
    let mut response = client.execute(request).await?;
    let status = response.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Vec<_> = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let headers_size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let too_large = |body_size: u64| HttpAnswer::TooLarge(body_size.saturating_add(headers_size as u64));
    if let Some(announced) = response.content_length()
        && announced.saturating_add(headers_size as u64) > limit as u64
    {
        return Ok(too_large(announced));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if headers_size + body.len() > limit {
            return Ok(too_large(body.len() as u64));
        }
    }
    Ok(HttpAnswer::Response { status, headers, body })
}

/// An error with its causes; reqwest's own text leaves out what went wrong.
struct Chain<'a>(&'a reqwest::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = std::error::Error::source(self.0);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

//! The HTTP client behind `pawl:step/http`. Guests wait for it on their own threads; its sockets live on a
//! runtime of its own with one thread, so that no answer, however large, delays a heartbeat or a commit.
//!
//! It knows nothing of journals and keys. It never follows the redirect of an effect: that would be
//! another effect, without an intent. One of a request that only reads it follows, and each is a [hop](super::way) of its own.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use pawl_domain::journal::HttpAnswer;
use reqwest::{Certificate, Client, Request, redirect};
use tokio::runtime::Runtime;

use super::filling;
use super::gate::{AtGate, Gate};
use super::redirect::{MOST, next};
use super::way::{Checked, OnHop, Way};
use crate::guest::Halt;
use crate::outside::Outside;
use crate::secrets::Secrets;

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
#[derive(Debug)]
pub(crate) struct Outgoing {
    outside: Outside,
    /// In place of the system's.
    certificates: Option<Vec<Certificate>>,
    ready: OnceLock<Result<Ready, String>>,
}

#[derive(Debug)]
struct Ready {
    runtime: Runtime,
    /// For hops to public addresses alone, whose connections are never those of others.
    public: Client,
    granted: Client,
}

impl Outgoing {
    /// Reads the certificates that hosts are to have, if those are not the system's.
    pub(crate) fn new(outside: Outside) -> Result<Self, CertificatesError> {
        let certificates = outside.certificates.as_deref().map(certificates_in).transpose()?;
        Ok(Self { outside, certificates, ready: OnceLock::new() })
    }

    /// What the installation says.
    pub(crate) fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Sends a request and reads its answer of at most `limit` bytes; an effect goes through its gate. `halt` is asked
    /// again and again whether the guest must stop.
    pub(super) fn send(
        &self,
        request: Request,
        sending: &Sending<'_>,
        halt: impl Fn() -> Option<Halt>,
    ) -> Result<HttpAnswer, Halt> {
        let ready = match self.ready.get_or_init(|| Ready::new(self.certificates.clone())) {
            Ok(ready) => ready,
            Err(reason) => return Ok(HttpAnswer::Connect(reason.clone())),
        };
        ready.runtime.block_on(async {
            let exchange = async {
                match sending.gate {
                    Some(gate) => Arc::clone(gate).watch(ready.exchange(request, sending)).await,
                    None => ready.exchange(request, sending).await,
                }
            };
            let mut exchange = Box::pin(tokio::time::timeout(sending.timeout, exchange));
            loop {
                tokio::select! {
                    answer = &mut exchange => return answer.unwrap_or(Ok(HttpAnswer::Timeout)),
                    () = tokio::time::sleep(HALT_CHECK) => {}
                }
                if let Some(halt) = halt() {
                    return Err(halt);
                }
            }
        })
    }
}

/// How a request is sent.
pub(super) struct Sending<'a> {
    pub(super) way: &'a Arc<Way>,
    /// That of an effect.
    pub(super) gate: Option<&'a Arc<Gate>>,
    pub(super) secrets: &'a Secrets,
    pub(super) timeout: Duration,
    /// The largest answer, bytes.
    pub(super) limit: usize,
}

/// The certificates of `outside_certificates` can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificates in {file} (`outside_certificates`) can't be used: {why}")]
pub(crate) struct CertificatesError {
    file: String,
    why: String,
}

fn certificates_in(file: &Path) -> Result<Vec<Certificate>, CertificatesError> {
    let unusable = |why: String| CertificatesError { file: file.display().to_string(), why };
    let bytes = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    match Certificate::from_pem_bundle(&bytes) {
        Ok(certificates) if certificates.is_empty() => Err(unusable("it has none in PEM".to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(Chain(&error).to_string())),
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
    fn new(certificates: Option<Vec<Certificate>>) -> Result<Self, String> {
        pawl_base::use_ring();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("guest-http")
            .enable_all()
            .build()
            .map_err(|error| format!("the HTTP client can't start: {error}"))?;
        let public = client(certificates.clone())?;
        let granted = client(certificates)?;
        Ok(Self { runtime, public, granted })
    }

    /// One request, with those that it is redirected to. It has its secrets only where it leaves: what it is redirected as is made
    /// of placeholders.
    async fn exchange(&self, mut request: Request, sending: &Sending<'_>) -> Result<HttpAnswer, Halt> {
        for _ in 0..=MOST {
            let hop = sending.way.hop(request.url())?;
            let client = if hop.is_public { &self.public } else { &self.granted };
            // What an effect is redirected to would be another effect.
            let again = request.try_clone().filter(|_| sending.gate.is_none());
            let mut leaving = filling::leaving(&request, sending.secrets)?.unwrap_or(request);
            hop.has_moved(leaving.body().and_then(|body| body.as_bytes()).map_or(0, <[u8]>::len));
            if let (Some(gate), Some(body)) = (sending.gate, leaving.body_mut()) {
                *body = gate.body(Bytes::copy_from_slice(body.as_bytes().unwrap_or_default()));
            }
            let received = hop.watch(receive(client, leaving, again.as_ref(), sending)).await?;
            match received.map_err(|error| told(&error)) {
                Ok(Received::Answer(answer)) => {
                    hop.has_moved(size(&answer));
                    return Ok(within(sending.limit, sending.secrets.scrub(answer)));
                }
                Ok(Received::Moved(next)) => request = *next,
                Err(answer) => return Ok(sending.secrets.scrub(answer)),
            }
        }
        let why = format!("it was redirected more than {MOST} times, at last to {}", request.url());
        Ok(sending.secrets.scrub(HttpAnswer::Broken(why)))
    }
}

/// What came back.
enum Received {
    Answer(HttpAnswer),
    Moved(Box<Request>),
}

/// A client that takes nothing from the environment, so that a step does the same on every worker.
fn client(certificates: Option<Vec<Certificate>>) -> Result<Client, String> {
    let builder = || {
        Client::builder()
            .no_proxy()
            .user_agent(AGENT)
            .redirect(redirect::Policy::none())
            .http1_max_headers(HEADERS)
            .dns_resolver(Checked)
            .connector_layer(AtGate)
            .connector_layer(OnHop)
    };
    let cant_start = |error: reqwest::Error| format!("the HTTP client can't start: {}", Chain(&error));
    if let Some(certificates) = certificates {
        return builder().tls_certs_only(certificates).build().map_err(cant_start);
    }
    builder().build().or_else(|error| {
        tracing::warn!(error = %Chain(&error), "no certificates to trust were found: guests can't use https");
        builder().tls_certs_only([]).build().map_err(cant_start)
    })
}

/// What was put in place of a secret may be longer than it.
fn within(limit: usize, answer: HttpAnswer) -> HttpAnswer {
    match size(&answer) {
        size if size > limit => HttpAnswer::TooLarge(size as u64),
        _ => answer,
    }
}

fn size(answer: &HttpAnswer) -> usize {
    match answer {
        HttpAnswer::Response { headers, body, .. } => {
            body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        }
        // It was not read on, but for its beginning.
        _ => 0,
    }
}

/// Why there is no answer, as the guest is told.
fn told(error: &reqwest::Error) -> HttpAnswer {
    if has_large_head(error) {
        let why = format!("it is answered with more than {HEADERS} headers, or larger ones, than a step is given");
        return HttpAnswer::Invalid(why);
    }
    let why = Chain(error).to_string();
    if error.is_connect() { HttpAnswer::Connect(why) } else { HttpAnswer::Broken(why) }
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

/// `again` is the request anew, if it may be redirected.
async fn receive(
    client: &Client,
    request: Request,
    again: Option<&Request>,
    sending: &Sending<'_>,
) -> reqwest::Result<Received> {
    let limit = sending.limit;
    let mut response = client.execute(request).await?;
    let moved = again.and_then(|asked| next(asked, response.status(), response.headers(), sending.secrets));
    if let Some(next) = moved {
        return Ok(Received::Moved(Box::new(next)));
    }
    let status = response.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Vec<_> = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let headers_size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let too_large =
        |body_size: u64| Received::Answer(HttpAnswer::TooLarge(body_size.saturating_add(headers_size as u64)));
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
    Ok(Received::Answer(HttpAnswer::Response { status, headers, body }))
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

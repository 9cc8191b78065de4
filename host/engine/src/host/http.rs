//! `pawl:step/http`: outgoing requests whose answers are journaled.
//!
//! ```text
//!  safe method                              clear to leave, send ──▶ record Fetched
//!  effect         record Intent, barrier,   clear to leave, send ──▶ record Answered
//! ```
//!
//! An effect may leave more than once (a crash between sending and recording the answer), always under
//! the same key. A request that is not valid is answered without an entry: that answer depends on the
//! request alone, so a replay gives it again.

use std::time::Duration;

use pawl_base::fault;
use pawl_domain::id::Digest;
use pawl_domain::journal::{Entry, HttpAnswer, RequestSummary};
use pawl_domain::replay::{EffectStep, Step};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::bindings::pawl::step::http::{Error, Host, Request, Response};
use super::durable::check_name;
use super::outgoing::Kind;
use crate::guest::{Guest, Halt};

/// How long the whole answer may take if the guest does not say.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A URL stands in the journal, so it has a size.
const URL_BYTES: usize = 8 << 10;

/// The header that carries an effect's key. The host's alone: a guest that could set it could break the
/// promise that it is always the same.
const KEY_HEADER: &str = "idempotency-key";

/// Headers that belong to the connection or that follow from the request.
const FORBIDDEN_HEADERS: [&str; 9] =
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

impl Host for Guest {
    fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.recorder()?;
        let request = match Outbound::new(request) {
            Ok(request) => request,
            Err(reason) => return Ok(Err(Error::Invalid(reason))),
        };
        let answer = if request.is_safe() { fetch(self, request)? } else { effect(self, request)? };
        Ok(seen(answer))
    }
}

fn fetch(guest: &mut Guest, request: Outbound) -> Result<HttpAnswer, Halt> {
    match guest.replay.fetch(&request.summary)? {
        Step::Recorded(answer) => Ok(answer),
        Step::Live => {
            let answer = send(guest, request.wire, Kind::Fetch, request.timeout)?;
            let entry = Entry::Fetched { request: request.summary, answer };
            guest.record(&entry)?;
            let Entry::Fetched { answer, .. } = entry else { unreachable!("it was just made") };
            Ok(answer)
        }
    }
}

fn effect(guest: &mut Guest, mut request: Outbound) -> Result<HttpAnswer, Halt> {
    if let Some(name) = &request.effect {
        check_name(name)?;
    }
    let key = match guest.replay.effect(request.effect.as_deref(), &request.summary)? {
        EffectStep::Recorded(answer) => return Ok(answer),
        EffectStep::Resend(key) => key,
        EffectStep::Live(key) => {
            guest.record(&Entry::Intent { key, request: request.summary })?;
            key
        }
    };
    let value = HeaderValue::from_str(&key.to_string()).expect("hexadecimal digits are a header value");
    request.wire.headers_mut().insert(HeaderName::from_static(KEY_HEADER), value);
    guest.barrier()?;
    fault::point("effect.intent_durable.before_send");
    let answer = send(guest, request.wire, Kind::Effect, request.timeout)?;
    fault::point("effect.answered.before_journal");
    let entry = Entry::Answered { key, answer };
    guest.record(&entry)?;
    let Entry::Answered { answer, .. } = entry else { unreachable!("it was just made") };
    Ok(answer)
}

/// The one way out.
fn send(guest: &Guest, wire: reqwest::Request, kind: Kind, timeout: Duration) -> Result<HttpAnswer, Halt> {
    guest.clear_to_leave()?;
    let limit = guest.limits.entry_bytes;
    guest.sign.away(|| guest.http.send(wire, kind, timeout, limit, || guest.halt()))
}

/// A request that can be sent.
struct Outbound {
    summary: RequestSummary,
    wire: reqwest::Request,
    effect: Option<String>,
    timeout: Duration,
}

impl Outbound {
    fn new(request: Request) -> Result<Self, String> {
        let Request { method, url, headers, body, effect, timeout_ms } = request;
        let parsed_method = Method::from_bytes(method.as_bytes())
            .ok()
            .filter(|_| !method.bytes().any(|byte| byte.is_ascii_lowercase()))
            .ok_or_else(|| format!("{method:?} is no HTTP method; methods are upper case"))?;
        if parsed_method == Method::CONNECT {
            return Err("the method CONNECT is not for steps".into());
        }
        let mut wire = reqwest::Request::new(parsed_method, parse_url(&url)?);
        *wire.headers_mut() = parse_headers(&headers)?;
        let summary = RequestSummary { method, url, body: Digest::of(&body) };
        if !body.is_empty() {
            *wire.body_mut() = Some(body.into());
        }
        let timeout = timeout_ms.map_or(TIMEOUT, |ms| Duration::from_millis(ms.into()));
        Ok(Self { summary, wire, effect, timeout })
    }

    /// Safe methods only read: <https://www.rfc-editor.org/rfc/rfc9110.html#name-safe-methods>
    fn is_safe(&self) -> bool {
        self.wire.method().is_safe()
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    if text.len() > URL_BYTES {
        return Err(format!("a URL may have {URL_BYTES} bytes, this one has {}", text.len()));
    }
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme of {text:?} is neither http nor https"));
    }
    Ok(url)
}

fn parse_headers(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))?;
        if parsed == KEY_HEADER {
            return Err(format!("the header {KEY_HEADER} is set by the host: name the effect instead"));
        }
        if FORBIDDEN_HEADERS.contains(&parsed.as_str()) {
            return Err(format!("the header {parsed} is set by the host"));
        }
        let value = HeaderValue::from_str(value).map_err(|_| format!("the value of header {name:?} is not valid"))?;
        if map.try_append(parsed, value).is_err() {
            return Err("the request has too many headers".into());
        }
    }
    Ok(map)
}

/// What the guest sees of an answer.
fn seen(answer: HttpAnswer) -> Result<Response, Error> {
    match answer {
        HttpAnswer::Response { status, headers, body } => Ok(Response { status, headers, body }),
        HttpAnswer::Connect(reason) => Err(Error::Connect(reason)),
        HttpAnswer::Timeout => Err(Error::Timeout),
        HttpAnswer::Broken(reason) => Err(Error::Broken(reason)),
        HttpAnswer::TooLarge(size) => Err(Error::TooLarge(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            method: method.into(),
            url: url.into(),
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: Vec::new(),
            effect: None,
            timeout_ms: None,
        }
    }

    #[test]
    fn requests_that_are_not_valid_say_why() {
        let url = "http://localhost/";
        for (asked, why) in [
            (request("get", url, &[]), "upper case"),
            (request("G T", url, &[]), "no HTTP method"),
            (request("CONNECT", url, &[]), "not for steps"),
            (request("GET", "localhost", &[]), "no URL"),
            (request("GET", "file:///etc/passwd", &[]), "neither http nor https"),
            (request("GET", &format!("{url}{}", "x".repeat(URL_BYTES)), &[]), "8192 bytes"),
            (request("POST", url, &[("Idempotency-Key", "mine")]), "name the effect"),
            (request("POST", url, &[("Host", "elsewhere")]), "set by the host"),
            (request("POST", url, &[("a b", "c")]), "no header name"),
            (request("POST", url, &[("a", "b\r\nc: d")]), "not valid"),
        ] {
            let method = asked.method.clone();
            let reason = Outbound::new(asked).err().unwrap_or_default();
            assert!(reason.contains(why), "{method}: {reason:?} should say {why:?}");
        }
    }

    #[test]
    fn only_reading_methods_are_safe() {
        for (method, safe) in [
            ("GET", true),
            ("HEAD", true),
            ("OPTIONS", true),
            ("TRACE", true),
            ("POST", false),
            ("PUT", false),
            ("BREW", false),
        ] {
            let outbound = Outbound::new(request(method, "https://example.org", &[])).unwrap();
            assert_eq!(outbound.is_safe(), safe, "{method}");
        }
    }
}

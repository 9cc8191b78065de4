//! `pawl:step/http`: outgoing requests whose answers are journaled.
//!
//! ```text
//!  safe method                              clear to leave, send ──▶ record Fetched
//!  effect         record Intent, barrier,   clear to leave, send ──▶ record Answered
//! ```
//!
//! An effect may leave more than once (a crash between sending and recording the answer), always under
//! the same key. A request of which the host can make none is answered by an entry as well: what is valid, and the text
//! that says why not, changes with the libraries of the host. So the journal is asked before the request is looked at.

use std::sync::Arc;
use std::time::Duration;

use pawl_base::fault;
use pawl_domain::id::Digest;
use pawl_domain::journal::{Entry, HttpAnswer, RequestSummary};
use pawl_domain::replay::{EffectStep, Step};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::bindings::pawl::step::http::{Error, Host, Request, Response};
use super::calling::Calling;
use super::context::lacks;
use super::counted;
use super::durable::check_name;
use super::filling::{self, Unfilled};
use super::gate::Gate;
use super::leaving::Leaving;
use super::outgoing::{Kind, Sending};
use crate::guest::{Guest, Halt};

#[cfg(test)]
mod tests;

/// How long the whole answer may take if the guest does not say.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A URL stands in the journal, so it has a size.
const URL_BYTES: usize = 8 << 10;

/// A method as well.
const METHOD_BYTES: usize = 64;

/// So has the reason why something is no request.
const REASON_BYTES: usize = 1 << 10;

/// The header that carries an effect's key. The host's alone: a guest that could set it could break the
/// promise that it is always the same.
const KEY_HEADER: &str = "idempotency-key";

/// Headers that belong to the connection or that follow from the request.
const FORBIDDEN_HEADERS: [&str; 9] =
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

impl Host for Guest {
    fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.recorder()?;
        // Held while the request is under way.
        let _charged = self.charge(size(&request))?;
        let request = match Outbound::new(request) {
            Ok(request) => request,
            Err(rule) => return Ok(Err(Error::Invalid(rule))),
        };
        Ok(seen(answer(self, request)?))
    }
}

fn answer(guest: &mut Guest, request: Outbound) -> Result<HttpAnswer, Halt> {
    if let Some(why) = guest.replay.refused(&request.summary)? {
        return Ok(HttpAnswer::Invalid(why));
    }
    match request.wire {
        // A journal that was made by an older Pawl has no entry here.
        Err(why) if !guest.replay.is_live() && !guest.replay.expects(&request.summary) => Ok(HttpAnswer::Invalid(why)),
        // What nobody may read is not recorded either: the same is said in every replay.
        Err(why) if guest.replay.is_live() && request.is_confidential => Ok(HttpAnswer::Invalid(why)),
        // Nothing will leave, so that it is no effect.
        Err(why) if guest.replay.is_live() => fetched(guest, request.summary, HttpAnswer::Invalid(why)),
        _ if request.is_safe() => fetch(guest, request),
        _ => effect(guest, request),
    }
}

fn fetch(guest: &mut Guest, request: Outbound) -> Result<HttpAnswer, Halt> {
    match guest.replay.fetch(&request.summary)? {
        Step::Recorded(answer) => {
            guest.has_replayed();
            Ok(answer)
        }
        Step::Live => {
            check(guest, &request)?;
            guest.dispatches();
            let calling = Calling::begin(guest, &request.wire, request.timeout, TIMEOUT)?;
            let answer = send(guest, request.wire, Kind::Fetch, request.timeout, false)?;
            was_answered(guest, calling, &answer)?;
            fetched(guest, request.summary, answer)
        }
    }
}

fn fetched(guest: &mut Guest, request: RequestSummary, answer: HttpAnswer) -> Result<HttpAnswer, Halt> {
    let entry = Entry::Fetched { request, answer };
    guest.record(&entry)?;
    let Entry::Fetched { answer, .. } = entry else { unreachable!("it was just made") };
    Ok(answer)
}

fn effect(guest: &mut Guest, mut request: Outbound) -> Result<HttpAnswer, Halt> {
    if let Some(name) = &request.effect {
        check_name(name)?;
    }
    let (key, again, calling) = match guest.replay.effect(request.effect.as_deref(), &request.summary)? {
        EffectStep::Recorded(answer) => {
            guest.has_replayed();
            return Ok(answer);
        }
        EffectStep::Resend(key) => {
            guest.has_replayed();
            check(guest, &request)?;
            guest.dispatches();
            (key, true, Calling::begin(guest, &request.wire, request.timeout, TIMEOUT)?)
        }
        EffectStep::Live(key) => {
            // Before anything of it is recorded.
            check(guest, &request)?;
            let calling = Calling::begin(guest, &request.wire, request.timeout, TIMEOUT)?;
            guest.record(&Entry::Intent { key, request: request.summary })?;
            (key, false, calling)
        }
    };
    let value = HeaderValue::from_str(&key.to_string()).expect("hexadecimal digits are a header value");
    if let Ok(wire) = &mut request.wire {
        wire.headers_mut().insert(HeaderName::from_static(KEY_HEADER), value);
    }
    guest.barrier()?;
    fault::point("effect.intent_durable.before_send");
    let answer = send(guest, request.wire, Kind::Effect, request.timeout, again)?;
    // Without a connection, nothing has left.
    if !matches!(answer, HttpAnswer::Connect(_) | HttpAnswer::Invalid(_)) {
        counted::left(counted::Kind::Request, again);
    }
    was_answered(guest, calling, &answer)?;
    fault::point("effect.answered.before_journal");
    let entry = Entry::Answered { key, answer };
    guest.record(&entry)?;
    let Entry::Answered { answer, .. } = entry else { unreachable!("it was just made") };
    Ok(answer)
}

/// Whether the step may call that host at all, and with the secrets that the request is to have. Nobody is asked, and nothing
/// recorded, if not.
fn check(guest: &Guest, request: &Outbound) -> Result<(), Halt> {
    match &request.wire {
        Ok(wire) if guest.recorder()?.sends() => {
            guest.way.check(wire.url())?;
            filling::check(wire, guest.secrets()).map_err(|unfilled| match unfilled {
                Unfilled::Refused(why) => Halt::Withheld(why),
                Unfilled::Lacking(name, why) => lacks(guest, name, why),
            })
        }
        _ => Ok(()),
    }
}

/// What the answer says of the host that was asked: while that is down, the attempt ends here.
fn was_answered(guest: &Guest, calling: Option<Calling>, answer: &HttpAnswer) -> Result<(), Halt> {
    calling.map_or(Ok(()), |calling| calling.was_answered(guest, answer))
}

/// The one way out. A request that was sent by another version of the host, and is none to this one, stays here.
fn send(
    guest: &Guest,
    wire: Result<reqwest::Request, String>,
    kind: Kind,
    timeout: Duration,
    again: bool,
) -> Result<HttpAnswer, Halt> {
    let mut wire = match wire {
        Ok(wire) => wire,
        Err(why) => return Ok(HttpAnswer::Invalid(why)),
    };
    let leaving = Leaving::of(guest, &mut wire, again)?;
    let answer = leave(guest, wire, kind, timeout);
    if let Some(leaving) = leaving {
        leaving.came_to(guest, &answer);
    }
    answer
}

fn leave(guest: &Guest, wire: reqwest::Request, kind: Kind, timeout: Duration) -> Result<HttpAnswer, Halt> {
    let limit = guest.limits.entry_bytes;
    // Before the lease is looked at, since it may take its time.
    let _room_for_answer = guest.memory.budget().take_outlasting(limit)?;
    let sending = |gate: Option<&Arc<Gate>>, wire| {
        let sending = Sending { way: &guest.way, gate, secrets: guest.secrets(), timeout, limit };
        guest.sign.away(|| guest.way.http().send(wire, &sending, || guest.halt()))
    };
    if matches!(kind, Kind::Fetch) {
        guest.clear_to_ask()?;
        return sending(None, wire);
    }
    loop {
        guest.clear_to_leave()?;
        let gate = guest.gate()?;
        let copy = wire.try_clone().expect("its body is in memory");
        let answer = sending(Some(&gate), copy)?;
        // Held back at the last moment, nothing has left: whoever has lost the step hears so now, others begin again.
        if !gate.was_shut() {
            return Ok(answer);
        }
    }
}

/// What a request takes.
fn size(request: &Request) -> usize {
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    request.method.len() + request.url.len() + headers + request.body.len()
}

/// What the guest asks, and the request that can be sent, or why there is none.
struct Outbound {
    summary: RequestSummary,
    wire: Result<reqwest::Request, String>,
    /// Its URL has a password in it.
    is_confidential: bool,
    effect: Option<String>,
    timeout: Duration,
}

impl Outbound {
    /// The error is a rule of Pawl's own, by which what is asked does not even stand in the journal.
    fn new(request: Request) -> Result<Self, String> {
        let Request { method, url, headers, body, effect, timeout_ms } = request;
        if url.len() > URL_BYTES {
            return Err(format!("a URL may have {URL_BYTES} bytes, this one has {}", url.len()));
        }
        if method.len() > METHOD_BYTES {
            return Err(format!("a method may have {METHOD_BYTES} bytes, this one has {}", method.len()));
        }
        let summary = RequestSummary { method, url, body: Digest::of(&body) };
        let mut wire = wire(&summary, &headers, body);
        if let Err(why) = &mut wire {
            why.truncate(why.floor_char_boundary(REASON_BYTES));
        }
        let timeout = timeout_ms.map_or(TIMEOUT, |ms| Duration::from_millis(ms.into()));
        let is_confidential = Url::parse(&summary.url).is_ok_and(|url| has_credentials(&url));
        Ok(Self { summary, wire, is_confidential, effect, timeout })
    }

    /// Safe methods only read: <https://www.rfc-editor.org/rfc/rfc9110.html#name-safe-methods>
    fn is_safe(&self) -> bool {
        matches!(self.summary.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}

fn wire(summary: &RequestSummary, headers: &[(String, String)], body: Vec<u8>) -> Result<reqwest::Request, String> {
    let RequestSummary { method, url, .. } = summary;
    let parsed_method = Method::from_bytes(method.as_bytes())
        .ok()
        .filter(|_| !method.bytes().any(|byte| byte.is_ascii_lowercase()))
        .ok_or_else(|| format!("{method:?} is no HTTP method; methods are upper case"))?;
    if parsed_method == Method::CONNECT {
        return Err("the method CONNECT is not for steps".into());
    }
    let mut wire = reqwest::Request::new(parsed_method, parse_url(url)?);
    *wire.headers_mut() = parse_headers(headers)?;
    if !body.is_empty() {
        *wire.body_mut() = Some(body.into());
    }
    Ok(wire)
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme of {text:?} is neither http nor https"));
    }
    if has_credentials(&url) {
        return Err(
            "the URL has a user or a password in it, and would stand in the journal with them: send them in the \
                    header `authorization`, from a secret"
                .into(),
        );
    }
    Ok(url)
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
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
        HttpAnswer::Invalid(why) => Err(Error::Invalid(why)),
    }
}

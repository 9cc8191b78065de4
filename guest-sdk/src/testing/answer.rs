//! The outside world of a test: which requests get which answers.

use std::cell::Cell;
use std::rc::Rc;

use serde::Serialize;

use crate::host::{HttpError, HttpRequest, HttpResponse};

/// A request that left, as the world outside got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In upper case, for example `POST`.
    pub method: String,
    /// As the step gave it.
    pub url: String,
    /// Without those that the host adds.
    pub headers: Vec<(String, String)>,
    /// As it left; empty if there was none.
    pub body: Vec<u8>,
    /// The idempotency key of an effect; none for safe methods, which only read. In words here, a digest on a
    /// worker: `effect "charge"`, `effect 0` by its place, `once "pay", effect 0`.
    pub key: Option<String>,
}

impl Request {
    /// The body as JSON; `null` if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What the world answers to a request.
#[derive(Debug, Clone)]
pub struct Answer {
    reply: Reply,
}

/// What a journal keeps of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Response { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    Invalid(String),
    Connect(String),
    Timeout,
    Broken(String),
}

impl Answer {
    /// A response with that status and nothing else.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { reply: Reply::Response { status, headers: Vec::new(), body: Vec::new() } }
    }

    /// A response of 200 with a JSON body.
    ///
    /// # Panics
    /// If the body can't be written as JSON.
    #[must_use]
    pub fn json(body: impl Serialize) -> Self {
        let body = serde_json::to_vec(&body).expect("the answer can be written as JSON");
        Self::status(200).header("content-type", "application/json").body(body)
    }

    /// A response of 200 with a text body.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self::status(200).body(body.into())
    }

    /// No connection: the request does not reach anybody.
    #[must_use]
    pub fn no_connection() -> Self {
        Self { reply: Reply::Connect("refused by the test".to_owned()) }
    }

    /// No answer in time.
    #[must_use]
    pub fn timeout() -> Self {
        Self { reply: Reply::Timeout }
    }

    /// The connection breaks before the answer is whole.
    #[must_use]
    pub fn broken() -> Self {
        Self { reply: Reply::Broken("broken by the test".to_owned()) }
    }

    /// The same response with this body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Reply::Response { body, .. } = &mut self.reply {
            *body = bytes.into();
        }
        self
    }

    /// The same response with one header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Reply::Response { headers, .. } = &mut self.reply {
            headers.push((name.into(), value.into()));
        }
        self
    }
}

impl Reply {
    /// Whether the target accepted the request.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Response { status, .. } if *status < 400)
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        answer.reply
    }
}

impl From<Reply> for Result<HttpResponse, HttpError> {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Response { status, headers, body } => Ok(HttpResponse { status, headers, body }),
            Reply::Invalid(why) => Err(HttpError::Invalid(why)),
            Reply::Connect(why) => Err(HttpError::Connect(why)),
            Reply::Timeout => Err(HttpError::Timeout),
            Reply::Broken(why) => Err(HttpError::Broken(why)),
        }
    }
}

/// Answers what it knows.
pub(super) type Responds = dyn Fn(&Request) -> Option<Answer>;

/// Who answers, and to what.
#[derive(Clone)]
pub(super) enum Rule {
    Fixed { method: String, url: String, answers: Vec<Answer> },
    Free(Rc<Responds>),
}

/// A rule in use: answers are given in turn, the last one for ever.
pub(super) struct Responder {
    rule: Rule,
    given: Cell<usize>,
}

impl Responder {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, given: Cell::new(0) }
    }

    pub(super) fn answer(&self, request: &Request) -> Option<Reply> {
        match &self.rule {
            Rule::Free(answer) => answer(request).map(Reply::from),
            Rule::Fixed { method, url, answers } => {
                if *method != request.method || !fits(url, &request.url) {
                    return None;
                }
                let given = self.given.replace(self.given.get() + 1);
                answers.get(given).or(answers.last()).cloned().map(Reply::from)
            }
        }
    }
}

/// A pattern is a whole URL, or the beginning of one before a `*`.
pub(super) fn fits(pattern: &str, url: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == url, |beginning| url.starts_with(beginning))
}

/// The host's rules for requests, as far as a test needs them.
pub(super) fn check(request: &HttpRequest) -> Result<(), String> {
    let HttpRequest { method, url, headers, .. } = request;
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("{method:?} is no HTTP method; methods are upper case"));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(format!("{url:?} is no URL of http or https"));
    }
    if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key")) {
        return Err("the header idempotency-key is set by the host: name the effect instead".to_owned());
    }
    Ok(())
}

/// Safe methods only read: <https://www.rfc-editor.org/rfc/rfc9110.html#name-safe-methods>
pub(super) fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

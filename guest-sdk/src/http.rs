//! Outgoing HTTP. Answers are recorded: a request that was answered is not sent again when the step is
//! resumed. Requests with an unsafe method (all but GET, HEAD, OPTIONS, TRACE) are effects and carry the
//! header `idempotency-key`, the same whenever and wherever the step runs again.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::host::{self, HttpError, HttpRequest, HttpResponse};

/// Begins requests; got from [`Context::http`](crate::Context::http).
pub struct Http<'a> {
    context: PhantomData<&'a crate::Context>,
}

impl<'a> Http<'a> {
    pub(crate) fn new() -> Self {
        Self { context: PhantomData }
    }

    /// A question: it may be asked again, and has no key.
    pub fn get(self, url: impl Into<String>) -> Request<'a> {
        self.request("GET", url)
    }

    /// An effect: sent at least once, always under the same key; see [`Request::effect`].
    pub fn post(self, url: impl Into<String>) -> Request<'a> {
        self.request("POST", url)
    }

    /// An effect, as [`post`](Self::post) is.
    pub fn put(self, url: impl Into<String>) -> Request<'a> {
        self.request("PUT", url)
    }

    /// An effect, as [`post`](Self::post) is.
    pub fn delete(self, url: impl Into<String>) -> Request<'a> {
        self.request("DELETE", url)
    }

    /// A request with any method, in upper case.
    pub fn request(self, method: impl Into<String>, url: impl Into<String>) -> Request<'a> {
        let wire = HttpRequest {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            effect: None,
            timeout_ms: None,
        };
        Request { wire, refused: None, context: PhantomData }
    }
}

/// A request under construction.
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    wire: HttpRequest,
    /// What was wrong while it was built; told by `send`, so that building stays one expression.
    refused: Option<Error>,
    context: PhantomData<&'a crate::Context>,
}

impl Request<'_> {
    /// Adds a header; one of the same name stays beside it.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.wire.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body, in place of one that was set before. Its type is for the caller to say.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.wire.body = body.into();
        self
    }

    /// Sets the body to a JSON document, with its content type.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.wire.body = bytes,
            Err(error) => self.refused = Some(Error::Invalid(format!("the body can't be written as JSON: {error}"))),
        }
        self.header("content-type", "application/json")
    }

    /// Names the effect, so that its idempotency key does not depend on its place among the step's effects.
    /// A name is unique in the step. Without one, adding an effect before this one in a new version of the
    /// step changes its key.
    pub fn effect(mut self, name: impl Into<String>) -> Self {
        self.wire.effect = Some(name.into());
        self
    }

    /// How long to wait for the whole answer; 30 seconds without it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.wire.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends it and waits for the answer, whatever its status.
    ///
    /// # Errors
    /// See [`Error`]. In a step, `?` makes the [`Failure`] of it that fits.
    pub fn send(self) -> Result<Response, Error> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        match host::send(&self.wire) {
            Ok(wire) => Ok(Response { url: self.wire.url, wire }),
            Err(error) => Err(error.into()),
        }
    }
}

/// An answer.
pub struct Response {
    url: String,
    wire: HttpResponse,
}

impl Response {
    /// The status, for example 200.
    pub fn status(&self) -> u16 {
        self.wire.status
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.wire.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The answer itself if its status is below 400.
    ///
    /// # Errors
    /// [`Error::Status`] otherwise.
    pub fn ok(self) -> Result<Self, Error> {
        if self.status() < 400 {
            return Ok(self);
        }
        let retry_after = self.retry_after();
        Err(Error::Status { url: self.url, status: self.wire.status, retry_after })
    }

    /// How long the server asks to be left alone: seconds, or a date by its own clock, which stands in `date`.
    /// <https://www.rfc-editor.org/rfc/rfc9110.html#name-retry-after>
    fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // More than fits is as good as the most that does: the host has a bound of its own.
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let until = httpdate::parse_http_date(value).ok()?;
        let now = self.header("date").and_then(|date| httpdate::parse_http_date(date.trim()).ok());
        let now = now.unwrap_or_else(|| UNIX_EPOCH + Duration::from_nanos(host::now_ns()));
        Some(until.duration_since(now).unwrap_or_default())
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.wire.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`Error::Body`] if it is not UTF-8.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.wire.body).map_err(|error| self.unreadable(&error))
    }

    /// The body as a JSON document.
    ///
    /// # Errors
    /// [`Error::Body`] if it does not fit `T`; it names the member.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let mut reader = serde_json::Deserializer::from_slice(&self.wire.body);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| self.unreadable(&error))
    }

    #[cold]
    fn unreadable(&self, error: &dyn fmt::Display) -> Error {
        Error::Body { url: self.url.clone(), problem: error.to_string() }
    }
}

/// Why there is no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The method, URL, a header or the body is not valid. Fatal.
    Invalid(String),
    /// No connection; the request did not leave. Worth a retry.
    Connect(String),
    /// No answer in time; an effect may have happened. Worth a retry: the key protects it.
    Timeout,
    /// The connection broke; an effect may have happened. Worth a retry: the key protects it.
    Broken(String),
    /// The answer has more bytes than a journal entry may have. Fatal.
    TooLarge(u64),
    /// An answer of 400 or more, refused by [`Response::ok`]. Worth a retry for 408, 425, 429 and 5xx (after
    /// the time that the server asks for, if it does), fatal for the others.
    Status {
        /// The address that was asked.
        url: String,
        /// The status of its answer.
        status: u16,
        /// The header `retry-after`, in seconds or as a date.
        retry_after: Option<Duration>,
    },
    /// The body is not what the step expects. Fatal.
    Body {
        /// The address that was asked.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    /// Whether the same request may get another answer.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout | Self::Broken(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Self::Invalid(_) | Self::TooLarge(_) | Self::Body { .. } => false,
        }
    }

    pub(crate) fn failure(&self, message: String) -> Failure {
        let failure = if self.may_pass() { Failure::retry(message) } else { Failure::fatal(message) };
        match self {
            Self::Status { retry_after: Some(delay), .. } => failure.after(*delay),
            _ => failure,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problem) => write!(f, "the request is not valid: {problem}"),
            Self::Connect(problem) => write!(f, "no connection: {problem}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken(problem) => write!(f, "the connection broke: {problem}"),
            Self::TooLarge(size) => {
                write!(f, "the answer has {size} bytes, more than a journal entry may have (`limit_entry`)")
            }
            Self::Status { url, status, .. } => write!(f, "{url} answered {status}"),
            Self::Body { url, problem } => write!(f, "the answer of {url} can't be read: {problem}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Invalid(problem) => Self::Invalid(problem),
            HttpError::Connect(problem) => Self::Connect(problem),
            HttpError::Timeout => Self::Timeout,
            HttpError::Broken(problem) => Self::Broken(problem),
            HttpError::TooLarge(size) => Self::TooLarge(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response { url: "http://shop.example/".into(), wire: HttpResponse { status, headers, body: body.into() } }
    }

    #[test]
    fn statuses_below_400_are_ok() {
        assert_eq!(answer(204, &[], "").ok().map(|answer| answer.status()), Ok(204));
    }

    #[test]
    fn a_busy_server_is_asked_again_when_it_says() {
        let error = answer(429, &[("Retry-After", "7")], "").ok().err().unwrap();
        assert_eq!(error.to_string(), "http://shop.example/ answered 429");
        assert!(matches!(error, Error::Status { retry_after: Some(delay), .. } if delay.as_secs() == 7));
        assert!(!Failure::from(error).is_fatal());
    }

    #[test]
    fn a_busy_server_may_say_a_date_by_its_own_clock() {
        let date = "Wed, 21 Oct 2099 07:28:00 GMT";
        for (retry_after, secs) in [
            ("Wed, 21 Oct 2099 07:28:05 GMT", Some(5)),
            ("Wed, 21 Oct 2099 07:27:00 GMT", Some(0)),
            ("0", Some(0)),
            ("99999999999", Some(99_999_999_999)),
            ("18446744073709551616", Some(u64::MAX)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let error = answer(503, &[("Date", date), ("Retry-After", retry_after)], "").ok().err().unwrap();
            let Error::Status { retry_after: found, .. } = &error else { panic!("{error}") };
            assert_eq!(found.map(|delay| delay.as_secs()), secs, "{retry_after}");
            assert!(!Failure::from(error).is_fatal(), "{retry_after}");
        }
    }

    #[test]
    fn a_refused_request_is_fatal_and_a_broken_server_is_not() {
        assert!(Failure::from(answer(404, &[], "").ok().err().unwrap()).is_fatal());
        assert!(!Failure::from(answer(503, &[], "").ok().err().unwrap()).is_fatal());
    }

    #[test]
    fn a_body_that_does_not_fit_names_its_member() {
        let error =
            answer(200, &[], r#"{"a":[1,"x"]}"#).json::<std::collections::BTreeMap<String, Vec<u8>>>().unwrap_err();
        assert!(error.to_string().contains("a[1]"), "{error}");
        assert!(Failure::from(error).is_fatal());
    }

    #[test]
    fn headers_are_found_in_any_case() {
        assert_eq!(answer(200, &[("ETag", "x")], "").header("etag"), Some("x"));
    }
}

//! The one mapping from what can go wrong to HTTP: RFC 9457 problems that say what to do. Whoever handles
//! a request returns a [`Problem`]; bugs and damage are logged here, once. What is said of callers, of limits and of things has a
//! room each.

use std::error::Error;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::types::{PROBLEM_JSON, Problem};
use kind::Kind;

mod callers;
mod from;
pub(crate) mod kind;
mod limits;
mod things;

/// The result of handling a request.
pub(super) type Result<T> = std::result::Result<T, Problem>;

/// When to try again after an outage, seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// How large something may be that is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct SizeLimit {
    pub(super) bytes: usize,
    /// The setting that says so, if one does.
    setting: Option<&'static str>,
}

impl SizeLimit {
    /// What a setting says.
    pub(super) fn set_by(setting: &'static str, bytes: usize) -> Self {
        Self { bytes, setting: Some(setting) }
    }
}

impl From<usize> for SizeLimit {
    fn from(bytes: usize) -> Self {
        Self { bytes, setting: None }
    }
}

impl Problem {
    pub(super) fn new(kind: &Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.uri(),
            title: kind.title.to_owned(),
            status: kind.status,
            detail: detail.into(),
            problems: Vec::new(),
        }
    }

    /// The request says what it can't mean.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(&kind::BAD_REQUEST, detail)
    }

    /// What it asks for is not there.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(&kind::NOT_FOUND, detail)
    }

    pub(super) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(&kind::METHOD_NOT_ALLOWED, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(&kind::CONFLICT, detail)
    }

    pub(super) fn unsupported_media_type(wanted: &str) -> Self {
        let detail = format!("send the body with `content-type: {wanted}`");
        Self::new(&kind::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(&kind::UNAVAILABLE, detail)
    }

    /// The whole answer to somebody whose request is not looked at, with the connection's end.
    pub(super) fn as_last_word(&self) -> Vec<u8> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(self).expect("a problem has only string keys");
        let reason = status.canonical_reason().unwrap_or_default();
        let retry = if is_for_later(status) { "retry-after: 1\r\n" } else { "" };
        format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\n{retry}{STRICT}connection: close\r\n\r\n{body}",
            self.status,
            body.len(),
            STRICT = super::browsers::last_words(),
        )
        .into_bytes()
    }

    /// A bug, or damage; the client gets no details, the log does.
    pub(super) fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        let detail = "this is a bug in Pawl or in its setup; the log of the API has the details";
        Self::new(&kind::INTERNAL, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("a problem has only string keys");
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        match status {
            status if is_for_later(status) => {
                response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            StatusCode::UNAUTHORIZED => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

/// Whether the same request may be answered in a moment.
pub(super) fn is_for_later(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

/// What was said, and one thing more: a question has its mark already.
pub(super) fn followed(said: &str, more: &str) -> String {
    let stop = if said.ends_with('?') { "" } else { ";" };
    format!("{said}{stop} {more}")
}

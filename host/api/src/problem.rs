//! The one mapping from what can go wrong to HTTP: RFC 9457 problems that say what to do. Whoever handles
//! a request returns a [`Problem`]; bugs and damage are logged here, once.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pawl_domain::access::Role;
use pawl_domain::namespace::Namespace;
use pawl_domain::quota::Over;

use super::types::{FileProblem, PROBLEM_JSON, Problem};
use kind::Kind;

mod from;
pub(crate) mod kind;

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

    pub(super) fn no_token() -> Self {
        let detail = "this API wants a token: send `Authorization: Bearer <token>`; the CLI takes it from PAWL_API_TOKEN. \
                      `pawl token create` makes one, the first `pawl migrate --admin-token NAME`";
        Self::new(&kind::UNAUTHORIZED, detail)
    }

    pub(super) fn no_dev_token() -> Self {
        let detail = "this `pawl dev` wants its token, which commands of its user find by themselves; other programs send \
                      `Authorization: Bearer $(cat .pawl/token)`";
        Self::new(&kind::UNAUTHORIZED, detail)
    }

    /// A token that lets nobody in; `why` follows on "the token ".
    pub(super) fn wrong_token(why: &str) -> Self {
        Self::new(&kind::UNAUTHORIZED, format!("the token {why}"))
    }

    pub(super) fn too_small_a_role(name: Option<&str>, has: Role, wanted: Role) -> Self {
        let whose = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let detail = format!(
            "this wants the role `{wanted}`, and the token{whose} has `{has}`: ask with another one; `pawl token create NAME \
             --role {wanted}` makes it"
        );
        Self::new(&kind::FORBIDDEN, detail)
    }

    /// Somebody who is known, and who may do nothing.
    pub(super) fn no_role(why: String) -> Self {
        Self::new(&kind::FORBIDDEN, why)
    }

    pub(super) fn elsewhere(name: &str, namespace: &Namespace) -> Self {
        let detail = format!(
            "the token `{name}` is for the namespace `{namespace}`, and this asks for another one: leave out `pawl-namespace` \
             (--namespace, PAWL_NAMESPACE), or ask with a token of that one"
        );
        Self::new(&kind::FORBIDDEN, detail)
    }

    pub(super) fn of_all(name: Option<&str>, namespace: &Namespace) -> Self {
        let whose = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let detail = format!(
            "this is about the whole installation, and the token{whose} is for the namespace `{namespace}` alone: ask with one \
             that was made without --namespace"
        );
        Self::new(&kind::FORBIDDEN, detail)
    }

    pub(super) fn over_quota(namespace: &Namespace, over: &Over) -> Self {
        let detail = format!(
            "a quota of the namespace `{namespace}` is used up: {over}; an administrator raises it with `pawl namespace quota`"
        );
        Self::new(&kind::OVER_QUOTA, detail)
    }

    pub(super) fn no_namespace(namespace: &Namespace) -> Self {
        let detail = format!(
            "there is no namespace `{namespace}`: `pawl namespace list` shows all, `pawl namespace create {namespace}` makes it"
        );
        Self::new(&kind::NOT_FOUND, detail)
    }

    pub(super) fn too_many_failures() -> Self {
        let detail = "too many wrong tokens came from this address: wait some seconds, and check the token";
        Self::new(&kind::TOO_MANY_FAILURES, detail)
    }

    /// No page of this process has sent a form.
    #[must_use]
    pub fn foreign_form() -> Self {
        let detail = "no page of this address has sent that form; programs ask the API, under /v1";
        Self::new(&kind::FOREIGN_ORIGIN, detail)
    }

    pub(super) fn foreign_origin(origin: &str) -> Self {
        let detail = format!(
            "a web page of {origin:?} has sent this, which is not where this process is: pages of others may ask for nothing here. \
             If that is this API behind a proxy, add its host to `allowed_hosts`"
        );
        Self::new(&kind::FOREIGN_ORIGIN, detail)
    }

    pub(super) fn unknown_host(host: &str) -> Self {
        let detail = format!(
            "the request is for the host {host:?}, and this process does not go by that name: ask for it by its address, or add \
             the name to its `allowed_hosts` (PAWL_ALLOWED_HOSTS)"
        );
        Self::new(&kind::UNKNOWN_HOST, detail)
    }

    pub(super) fn wants_tls() -> Self {
        let detail =
            "this address speaks TLS: ask it with https://, not http://; for commands, in api_url (PAWL_API_URL)";
        Self::new(&kind::BAD_REQUEST, detail)
    }

    /// What it asks for is not there.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(&kind::NOT_FOUND, detail)
    }

    pub(super) fn unknown_pipeline(detail: &str) -> Self {
        Self::new(&kind::UNKNOWN_PIPELINE, followed(detail, "`pawl pipeline list` shows all"))
    }

    /// The pipeline may be there in a moment, or its new version.
    pub(super) fn being_built(pipeline: &str, is_there: bool) -> Self {
        let detail = match is_there {
            true => {
                format!("what has changed of pipeline `{pipeline}` is not active yet: `pawl dev` is still building")
            }
            false => format!("there is no pipeline `{pipeline}` yet: `pawl dev` is still building"),
        };
        Self::new(&kind::BEING_BUILT, detail)
    }

    pub(super) fn misdirected(here: &Path, meant: &Path) -> Self {
        let detail = format!(
            "this is the `pawl dev` of {}, not of {}: start one there, or say that you mean this one, with --api-url or \
             PAWL_API_URL",
            here.display(),
            meant.display()
        );
        Self::new(&kind::MISDIRECTED, detail)
    }

    pub(super) fn unknown_plugin(detail: &str) -> Self {
        Self::new(&kind::UNKNOWN_PLUGIN, followed(detail, "`pawl plugin list` shows all"))
    }

    pub(super) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(&kind::METHOD_NOT_ALLOWED, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(&kind::CONFLICT, detail)
    }

    pub(super) fn idempotency_conflict(key: &str) -> Self {
        let detail = format!(
            "the idempotency key {key:?} was used before with another pipeline or input: send what was sent then, or take a new key"
        );
        Self::new(&kind::IDEMPOTENCY_CONFLICT, detail)
    }

    pub(super) fn version_exists(detail: impl Into<String>) -> Self {
        Self::new(&kind::VERSION_EXISTS, detail)
    }

    pub(super) fn too_large(what: &str, limit: impl Into<SizeLimit>) -> Self {
        let SizeLimit { bytes, setting } = limit.into();
        let raise = setting.map(|setting| format!(", or raise `{setting}` of the API")).unwrap_or_default();
        let detail = format!("{what} may have {}: send less, or a reference to it{raise}", size(bytes));
        Self::new(&kind::TOO_LARGE, detail)
    }

    pub(super) fn unsupported_media_type(wanted: &str) -> Self {
        let detail = format!("send the body with `content-type: {wanted}`");
        Self::new(&kind::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    pub(super) fn invalid_pipeline(problems: Vec<FileProblem>) -> Self {
        let detail = match problems.len() {
            1 => "there is a problem with the pipeline, and nothing was changed".to_owned(),
            count => format!("there are {count} problems with the pipeline, and nothing was changed"),
        };
        let problem = Self::new(&kind::INVALID_PIPELINE, detail);
        Self { problems, ..problem }
    }

    pub(super) fn invalid_component(detail: impl Into<String>) -> Self {
        Self::new(&kind::INVALID_COMPONENT, detail)
    }

    pub(super) fn untrusted(detail: String) -> Self {
        Self::new(&kind::UNTRUSTED_COMPONENT, detail)
    }

    pub(super) fn invalid_input(detail: impl Into<String>) -> Self {
        Self::new(&kind::INVALID_INPUT, detail)
    }

    pub(super) fn refused_by_workers(who: impl std::fmt::Display) -> Self {
        let detail = format!("the component is stored, and not active: {who}");
        Self::new(&kind::REFUSED_BY_WORKERS, detail)
    }

    pub(super) fn workers_not_ready(who: &str, patience: Duration) -> Self {
        let detail = format!(
            "the component is stored, and not active: {who} did not say within {} s whether it can be loaded there; \
             activate it again, or stop what hangs",
            patience.as_secs()
        );
        Self::new(&kind::WORKERS_NOT_READY, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(&kind::UNAVAILABLE, detail)
    }

    pub(super) fn busy(why: &str, fix: &str) -> Self {
        Self::new(&kind::BUSY, format!("{why}: {fix}"))
    }

    pub(super) fn too_many_connections(most: usize) -> Self {
        let detail = format!(
            "this API serves {most} connections at once and has as many: close those that idle, try again in a moment, or raise \
             its `connections`"
        );
        Self::new(&kind::TOO_MANY_CONNECTIONS, detail)
    }

    pub(super) fn too_many_readers(most: usize) -> Self {
        let detail = format!(
            "{most} readers of this API follow or await runs, which is as many as may: ask without waiting, try again in a \
             moment, or raise its `readers`"
        );
        Self::new(&kind::TOO_MANY_READERS, detail)
    }

    pub(super) fn slow_head(limit: Duration) -> Self {
        let detail =
            format!("the request's head did not come within {limit:?}: send it in one go, or raise `header_timeout`");
        Self::new(&kind::TOO_SLOW, detail)
    }

    pub(super) fn slow_body(what: &str) -> Self {
        let detail = format!(
            "the body, {what}, came too slowly: send it over a faster link, or raise `body_timeout` of the API"
        );
        Self::new(&kind::TOO_SLOW, detail)
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

fn size(bytes: usize) -> String {
    const MIB: usize = 1 << 20;
    if bytes >= MIB && bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}

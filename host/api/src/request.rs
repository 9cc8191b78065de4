//! Reading requests: bodies within their limits, JSON and parameters with errors that name the place.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{self, FromRequestParts, Query};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use futures_util::StreamExt;
use pawl_domain::id::RunId;
use pawl_domain::name::Name;
use serde::de::DeserializeOwned;

use super::problem::{Result, SizeLimit};
use super::slow::is_slow;
use super::types::Problem;

/// How much of a body that is too large is read and thrown away, so that the client has sent it all and
/// listens for the answer.
const DISCARDED_BYTES: usize = 64 << 20;

/// How long that may take.
const DISCARDED_FOR: Duration = Duration::from_secs(5);

/// Parameters of the query string; unknown ones are refused.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        params_of(&parts.uri).map(Self)
    }
}

/// What stands in the path in the places of a route's parameters.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path = extract::Path::from_request_parts(parts, state).await;
        let path = path.map_err(|error| Problem::bad_request(format!("the path can't be read: {}", error.body_text())));
        path.map(|extract::Path(path)| Self(path))
    }
}

fn params_of<T: DeserializeOwned>(uri: &Uri) -> Result<T> {
    let params = Query::<T>::try_from_uri(uri);
    let reason = |error: &dyn std::error::Error| error.source().map_or_else(|| error.to_string(), ToString::to_string);
    params
        .map(|Query(params)| params)
        .map_err(|error| Problem::bad_request(format!("a parameter is wrong: {}", reason(&error))))
}

/// Reads a whole body within its limit.
pub(super) async fn read_body(
    body: Body,
    headers: &HeaderMap,
    what: &str,
    limit: impl Into<SizeLimit>,
) -> Result<Vec<u8>> {
    let limit = limit.into();
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0).min(limit.bytes));
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|error| match is_slow(&error) {
            true => Problem::slow_body(what),
            false => Problem::bad_request(format!("the body broke off: {error}")),
        })?;
        if bytes.len() + chunk.len() > limit.bytes {
            let _ = tokio::time::timeout(DISCARDED_FOR, discard(chunks)).await;
            return Err(Problem::too_large(what, limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn discard(mut chunks: axum::body::BodyDataStream) {
    let mut discarded = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        discarded += chunk.len();
        if discarded > DISCARDED_BYTES {
            return;
        }
    }
}

/// Reads a JSON body of at most `limit_bytes`.
pub(super) async fn read_json<T: DeserializeOwned>(
    body: Body,
    headers: &HeaderMap,
    what: &str,
    limit_bytes: usize,
) -> Result<T> {
    let bytes = read_body(body, headers, what, limit_bytes).await?;
    require_media_type(headers, &["application/json"])?;
    // Else a list would do, of the members' values in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::bad_request("the body is not what this route takes: it is an object, not a list"));
    }
    serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::bad_request(format!("the body is not what this route takes: {error}"))
        }
        _ => Problem::bad_request(format!("the body is not valid JSON: {error}")),
    })
}

/// Refuses bodies of other types: a web page of somebody else can't send these without being asked first.
/// Returns the one that it is.
pub(super) fn require_media_type<'a>(headers: &HeaderMap, wanted: &[&'a str]) -> Result<&'a str> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let given = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let found = wanted.iter().copied().find(|wanted| *wanted == given);
    found.ok_or_else(|| Problem::unsupported_media_type(&wanted.join("` or `")))
}

/// The name of a pipeline, as somebody asks for it. What can be no name is the name of nothing.
pub(super) fn pipeline_name(text: &str) -> Result<Name> {
    text.parse().map_err(|rule| Problem::unknown_pipeline(&format!("there is no pipeline {text:?}: {rule}")))
}

/// The name of a plugin, as somebody asks for it.
pub(super) fn plugin_name(text: &str) -> Result<Name> {
    text.parse().map_err(|rule| Problem::unknown_plugin(&format!("there is no plugin {text:?}: {rule}")))
}

/// A run's id in a path.
pub(super) fn run_id(text: &str) -> Result<RunId> {
    text.parse().map_err(|_| Problem::not_found(format!("`{text}` is no run: a run's id is a UUID")))
}

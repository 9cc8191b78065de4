//! Requests as spans, if the process sends some: each is a part of the trace that its client names, or begins one. From here on
//! it stands in the request's own headers, so that a submission keeps with its run what is closest to it.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use pawl_domain::id::{Fence, StepId};
use pawl_domain::trace::{AttemptTrace, SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId, last_attempt};
use pawl_store::runs::StepRow;
use pawl_traces::{Kind, Span, Tracer, tracer};
use uuid::Uuid;

/// The trace context that a request is sent in, if its headers say one.
pub(super) fn context_of(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = headers.get(TRACEPARENT)?.to_str().ok()?;
    // Several are one, with commas in between.
    let states: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
    let state = (!states.is_empty()).then(|| states.join(","));
    TraceContext::of_headers(parent, state.as_deref())
}

/// The trace of a step's last attempt, if spans are sent and its row tells which that was.
pub(super) fn trace_of(id: StepId, row: &StepRow) -> Option<String> {
    let tracer = tracer()?;
    let trace = AttemptTrace::of(id, last_attempt(row.status, row.attempts, Fence(row.fence))?).trace;
    tracer.keeps(trace, None).then(|| trace.to_string())
}

/// Answers a request, and tells its span.
pub(super) async fn trace(mut request: Request, next: Next) -> Response {
    let Some((tracer, parent, own)) = tracer().and_then(|tracer| begin(tracer, request.headers())) else {
        return next.run(request).await;
    };
    put(&own, request.headers_mut());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let (method, path, begun_ns) = (request.method().clone(), request.uri().path().to_owned(), now_ns());
    let response = next.run(request).await;
    let status = response.status();
    let span = Span::new(own.trace, own.span, name(&method, route.as_deref()), begun_ns, now_ns())
        .of_kind(Kind::Server)
        .with("http.request.method", method.to_string())
        .with_some("http.route", route)
        .with("url.path", path)
        .with("http.response.status_code", i64::from(status.as_u16()))
        .with_some("error.type", status.is_server_error().then(|| status.as_u16().to_string()))
        .failed(status.is_server_error().then(String::new));
    tracer.tell(Span { parent: parent.map(|parent| parent.span), state: own.state, ..span });
    response
}

/// Where the client stands, and where the request does; `None` if nobody keeps it.
fn begin(
    tracer: &'static Tracer,
    headers: &HeaderMap,
) -> Option<(&'static Tracer, Option<TraceContext>, TraceContext)> {
    let parent = context_of(headers);
    let (trace, span) = new_ids();
    let trace = parent.as_ref().map_or(trace, |parent| parent.trace);
    let state = parent.as_ref().and_then(|parent| parent.state.clone());
    let own = TraceContext { trace, span, sampled: true, state };
    tracer.keeps(trace, parent.as_ref()).then_some((tracer, parent, own))
}

/// A new id's bytes are not all of chance; their digest looks so.
fn new_ids() -> (TraceId, SpanId) {
    let digest = blake3::hash(Uuid::now_v7().as_bytes());
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&digest.as_bytes()[..16]);
    span.copy_from_slice(&digest.as_bytes()[16..24]);
    (TraceId(trace), SpanId(span))
}

fn put(own: &TraceContext, headers: &mut HeaderMap) {
    // Its state stays as it is: it is the trace's.
    if let Ok(value) = HeaderValue::from_str(&own.parent()) {
        headers.insert(TRACEPARENT, value);
    }
}

/// As the conventions want it: words of which there are few.
fn name(method: &Method, route: Option<&str>) -> String {
    match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_string(),
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_request_is_sent_in_the_trace_that_its_headers_say() {
        let mut headers = HeaderMap::new();
        assert_eq!(context_of(&headers), None);
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        assert_eq!(context_of(&headers), None, "a state of nothing");
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        headers.insert(TRACEPARENT, HeaderValue::from_static(PARENT));
        let context = context_of(&headers).expect("a context");
        assert_eq!((context.parent().as_str(), context.state.as_deref()), (PARENT, Some("a=1,b=2")));
        let own = TraceContext { span: SpanId([7; 8]), ..context.clone() };
        put(&own, &mut headers);
        assert_eq!(context_of(&headers), Some(own), "what is kept with a run is closest to it");
    }

    #[test]
    fn new_ids_differ() {
        let (one, other) = (new_ids(), new_ids());
        assert!(one.0 != other.0 && one.1 != other.1);
    }
}

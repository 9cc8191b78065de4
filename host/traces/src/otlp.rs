//! OTLP, as far as spans need it: the messages of `opentelemetry/proto/collector/trace/v1` and what is in them, by the numbers
//! of their fields. Messages of which nothing is sent are left out; a reader skips what it does not know.
//! <https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto>

use prost::Message;

use crate::span;

/// What is sent.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTraceServiceRequest {
    /// One for each process.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// What is answered.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTraceServiceResponse {
    /// There if not all was taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<ExportTracePartialSuccess>,
}

/// What was not taken.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTracePartialSuccess {
    /// How many.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// Spans of a process.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    /// The process.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// One for each library.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// A process.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// What is said of it.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// Spans of a library.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    /// The library.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// Its spans.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// A library.
#[derive(Clone, PartialEq, Message)]
pub struct InstrumentationScope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// A span.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// As in the header `tracestate`.
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// 8 bytes, or none.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// Its name.
    #[prost(string, tag = "5")]
    pub name: String,
    /// One of [`span::Kind`].
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// Begin, ns since 1970.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// End, ns since 1970.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// What it was about.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// Other traces.
    #[prost(message, repeated, tag = "13")]
    pub links: Vec<Link>,
    /// There if it has failed.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

/// Another trace.
#[derive(Clone, PartialEq, Message)]
pub struct Link {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// As in the header `tracestate`.
    #[prost(string, tag = "3")]
    pub trace_state: String,
    /// What it is.
    #[prost(message, repeated, tag = "4")]
    pub attributes: Vec<KeyValue>,
}

/// How a span came out.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// Why.
    #[prost(string, tag = "2")]
    pub message: String,
    /// 2: it has failed.
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// The code of a status that says that a span has failed.
pub const FAILED: i32 = 2;

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// One of them.
    #[prost(oneof = "Any", tags = "1, 2, 3")]
    pub value: Option<Any>,
}

/// The kinds of values that there are here.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Any {
    /// Text.
    #[prost(string, tag = "1")]
    Text(String),
    /// True or false.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A number.
    #[prost(int64, tag = "3")]
    Int(i64),
}

impl KeyValue {
    /// An attribute with text.
    #[must_use]
    pub fn text(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: Some(AnyValue { value: Some(Any::Text(value.to_owned())) }) }
    }
}

/// The request that brings these spans of this process.
#[must_use]
pub fn request(resource: &Resource, spans: Vec<span::Span>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope { name: "pawl".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = spans.into_iter().map(Span::from).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource: Some(resource.clone()), scope_spans }] }
}

impl From<span::Span> for Span {
    fn from(span: span::Span) -> Self {
        Self {
            trace_id: span.trace.0.to_vec(),
            span_id: span.id.0.to_vec(),
            trace_state: span.state.unwrap_or_default(),
            parent_span_id: span.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
            name: span.name.into_owned(),
            kind: span.kind as i32,
            start_time_unix_nano: span.begun_ns,
            end_time_unix_nano: span.ended_ns,
            attributes: attributes(span.attributes),
            links: span.links.into_iter().map(Link::from).collect(),
            status: span.error.map(|message| Status { message, code: FAILED }),
        }
    }
}

impl From<span::Link> for Link {
    fn from(link: span::Link) -> Self {
        Self {
            trace_id: link.to.trace.0.to_vec(),
            span_id: link.to.span.0.to_vec(),
            trace_state: link.to.state.unwrap_or_default(),
            attributes: attributes(link.attributes),
        }
    }
}

fn attributes(attributes: Vec<span::Attribute>) -> Vec<KeyValue> {
    let value = |value| match value {
        span::Value::Text(text) => Any::Text(text.into_owned()),
        span::Value::Int(number) => Any::Int(number),
        span::Value::Bool(is) => Any::Bool(is),
    };
    let pair =
        |(key, it): span::Attribute| KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value(it)) }) };
    attributes.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use pawl_domain::trace::{SpanId, TraceContext, TraceId};

    use super::*;
    use crate::span::Kind;

    /// The request below, as `opentelemetry-proto` for Python (1.45) writes it; but for the version of the scope.
    const OF_OTHERS: &str = "0a91020a180a160a0c736572766963652e6e616d6512060a0473686f7012f4010a0d0a047061776c1205302e312e3012e201\
         0a1001010101010101010101010101010101120802020202020202021a03613d31220803030303030303032a04504f535430\
         033901002a36fe9c97174102002a36fe9c97174a1d0a13687474702e726571756573742e6d6574686f6412060a04504f5354\
         4a200a19687474702e726573706f6e73652e7374617475735f636f6465120318f7034a150a0f7061776c2e73656e745f6167\
         61696e120210016a3b0a1004040404040404040404040404040404120805050505050505051a03623d3222180a097061776c\
         2e6c696e6b120b0a097375626d69747465647a0612026e6f1802";

    #[test]
    fn a_request_is_written_as_others_write_it() {
        let link =
            TraceContext { trace: TraceId([4; 16]), span: SpanId([5; 8]), sampled: true, state: Some("b=2".into()) };
        let link = span::Link { to: link, attributes: vec![("pawl.link", "submitted".into())] };
        let begun_ns = 1_700_000_000_000_000_001;
        let span = span::Span::new(TraceId([1; 16]), SpanId([2; 8]), "POST", begun_ns, begun_ns + 1)
            .under(SpanId([3; 8]))
            .of_kind(Kind::Client)
            .with("http.request.method", "POST")
            .with("http.response.status_code", 503_i64)
            .with("pawl.sent_again", true)
            .failed(Some("no".to_owned()));
        let span = span::Span { state: Some("a=1".to_owned()), links: vec![link], ..span };
        let resource = Resource { attributes: vec![KeyValue::text("service.name", "shop")] };
        let mut request = request(&resource, vec![span]);
        for scope in request.resource_spans.iter_mut().flat_map(|it| &mut it.scope_spans) {
            scope.scope.get_or_insert_default().version = "0.1.0".to_owned();
        }
        let written: String = request.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, OF_OTHERS);
    }
}

//! A span: something that has taken from then to then, in a trace. Names and attributes follow OpenTelemetry's conventions
//! where there are some, and begin with `pawl.` where there are none.

use std::borrow::Cow;

use pawl_domain::trace::{SpanId, TraceContext, TraceId};

/// Longest text of an attribute, bytes: the buffer counts spans, and each is bounded.
const TEXT_BYTES: usize = 1 << 10;

/// What a span is to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nobody else's.
    Internal = 1,
    /// It answers a request.
    Server = 2,
    /// It sends one.
    Client = 3,
    /// It does what a message has asked for.
    Consumer = 5,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A number.
    Int(i64),
    /// True or false.
    Bool(bool),
}

impl From<String> for Value {
    fn from(mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        Self::Text(text.into())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

/// An attribute.
pub type Attribute = (&'static str, Value);

/// Another trace that a span has to do with.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Where in it.
    pub to: TraceContext,
    /// What it is.
    pub attributes: Vec<Attribute>,
}

/// A span that is over. Times are ns since 1970, by the clock that all workers share.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub id: SpanId,
    /// What it is a part of; none for the first of a trace.
    pub parent: Option<SpanId>,
    /// What its trace's beginner's vendors say.
    pub state: Option<String>,
    /// A word of which there are few.
    pub name: Cow<'static, str>,
    /// What it is to others.
    pub kind: Kind,
    /// Begin.
    pub begun_ns: u64,
    /// End.
    pub ended_ns: u64,
    /// What it was about.
    pub attributes: Vec<Attribute>,
    /// What else it has to do with.
    pub links: Vec<Link>,
    /// Why it has failed, if it has.
    pub error: Option<String>,
}

impl Span {
    /// A span of nobody else's.
    #[must_use]
    pub fn new(trace: TraceId, id: SpanId, name: impl Into<Cow<'static, str>>, begun_ns: u64, ended_ns: u64) -> Self {
        Self {
            trace,
            id,
            parent: None,
            state: None,
            name: name.into(),
            kind: Kind::Internal,
            begun_ns,
            ended_ns: ended_ns.max(begun_ns),
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    /// A part of another.
    #[must_use]
    pub fn under(self, parent: SpanId) -> Self {
        Self { parent: Some(parent), ..self }
    }

    /// Another kind of one.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((key, value.into()));
        self
    }

    /// With an attribute, if it is known.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// One that has failed.
    #[must_use]
    pub fn failed(self, why: Option<String>) -> Self {
        let short = |mut why: String| {
            why.truncate(why.floor_char_boundary(TEXT_BYTES));
            why
        };
        Self { error: why.map(short), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_bounded_whatever_is_said_of_it() {
        let long = "é".repeat(TEXT_BYTES);
        let span = Span::new(TraceId([1; 16]), SpanId([1; 8]), "it", 7, 5).with("a", long.clone()).failed(Some(long));
        assert_eq!(span.ended_ns, 7, "nothing ends before it begins");
        let [("a", Value::Text(text))] = &span.attributes[..] else { panic!("one attribute") };
        assert_eq!((text.len(), span.error.map(|why| why.len())), (TEXT_BYTES, Some(TEXT_BYTES)));
    }
}

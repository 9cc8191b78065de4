//! The facade `tracing`: an event becomes a line. Its fields are the line's, after those of the spans that
//! are open around it, the outermost first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Once;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::{Dispatch, Event, Metadata, Subscriber, dispatcher};

use crate::host::{self, Level};

pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let _ = dispatcher::set_global_default(Dispatch::new(StepLog));
    });
}

struct StepLog;

thread_local! {
    /// A step runs on one thread, and so do its spans.
    static SPANS: RefCell<Spans> = RefCell::default();
}

#[derive(Default)]
struct Spans {
    /// The id of the last span.
    last: u64,
    known: BTreeMap<u64, Span>,
    /// Those that are entered, the innermost last.
    entered: Vec<u64>,
}

struct Span {
    metadata: &'static Metadata<'static>,
    handles: u32,
    fields: Vec<(String, String)>,
}

impl Subscriber for StepLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        super::is_heard()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        attributes.record(&mut line);
        SPANS.with_borrow_mut(|spans| {
            spans.last += 1;
            let span = Span { metadata: attributes.metadata(), handles: 1, fields: line.fields };
            spans.known.insert(spans.last, span);
            Id::from_u64(spans.last)
        })
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut line = Line::default();
        values.record(&mut line);
        SPANS.with_borrow_mut(|spans| {
            if let Some(span) = spans.known.get_mut(&id.into_u64()) {
                span.fields.extend(line.fields);
            }
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        SPANS.with_borrow(|spans| {
            let around = spans.entered.iter().filter_map(|id| spans.known.get(id));
            line.fields.extend(around.flat_map(|span| span.fields.clone()));
        });
        event.record(&mut line);
        host::log(level(*event.metadata().level()), &line.message, &line.fields);
    }

    fn enter(&self, id: &Id) {
        SPANS.with_borrow_mut(|spans| spans.entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        SPANS.with_borrow_mut(|spans| {
            if let Some(at) = spans.entered.iter().rposition(|entered| *entered == id.into_u64()) {
                spans.entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        SPANS.with_borrow_mut(|spans| {
            if let Some(span) = spans.known.get_mut(&id.into_u64()) {
                span.handles += 1;
            }
        });
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        SPANS.with_borrow_mut(|spans| {
            let id = id.into_u64();
            let Some(span) = spans.known.get_mut(&id) else { return false };
            span.handles -= 1;
            let is_closed = span.handles == 0;
            if is_closed {
                spans.known.remove(&id);
            }
            is_closed
        })
    }

    fn current_span(&self) -> Current {
        SPANS.with_borrow(|spans| {
            let innermost = spans.entered.last().and_then(|id| Some((*id, spans.known.get(id)?.metadata)));
            innermost.map_or_else(Current::none, |(id, metadata)| Current::new(Id::from_u64(id), metadata))
        })
    }
}

fn level(level: tracing_core::Level) -> Level {
    match level {
        tracing_core::Level::TRACE => Level::Trace,
        tracing_core::Level::DEBUG => Level::Debug,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::WARN => Level::Warn,
        tracing_core::Level::ERROR => Level::Error,
    }
}

/// Fields on their way into a line; the one named `message` is what the line says.
#[derive(Default)]
struct Line {
    message: String,
    fields: Vec<(String, String)>,
}

impl Line {
    fn add(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name().to_owned(), value));
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }
}

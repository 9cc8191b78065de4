//! The way in: who has a span tells it here. One for the process, as its figures are.

use std::sync::{Arc, OnceLock};

use pawl_domain::trace::{Sampler, TraceContext, TraceId};
use pawl_metrics::{Count, figures};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::attempt::{Attempt, Origins};
use crate::config::Config;
use crate::sending::{self, Sending};
use crate::span::Span;

/// Spans that wait to be sent; more are dropped. Each holds about a KiB.
const ROOM: usize = 8_192;

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// What waits to be sent.
#[derive(Debug)]
pub(crate) enum Told {
    Span(Box<Span>),
    Attempt(Box<Attempt>),
}

/// The tracer of a process that sends spans.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    waiting: Sender<Told>,
    /// For those that there was no room for.
    dropped: Count,
}

/// The tracer of this process; `None` if nobody has named a collector. To ask is to look at a variable.
#[must_use]
pub fn tracer() -> Option<&'static Tracer> {
    TRACER.get()
}

/// Begins to send spans. For the start of a process, on its runtime; a second call is a mistake, and changes nothing.
///
/// # Errors
/// What is wrong with the address or a header, in words.
pub fn start(config: Config, origins: Arc<dyn Origins>) -> Result<Sending, String> {
    let (tracer, waiting) = Tracer::new(config.sampler, ROOM);
    let sending = sending::start(config, origins, waiting)?;
    let _ = TRACER.set(tracer);
    Ok(sending)
}

impl Tracer {
    fn new(sampler: Sampler, room: usize) -> (Self, Receiver<Told>) {
        let (waiting, told) = mpsc::channel(room);
        (Self { sampler, waiting, dropped: figures().spans_dropped.of(&["room"]) }, told)
    }

    /// Whether a trace is kept, which may be a part of somebody else's.
    #[must_use]
    pub fn keeps(&self, trace: TraceId, parent: Option<&TraceContext>) -> bool {
        self.sampler.keeps(trace, parent)
    }

    /// Tells a span that is over. Never blocks.
    pub fn tell(&self, span: Span) {
        self.put(Told::Span(Box::new(span)));
    }

    /// The same of an attempt, whose links are still to be found.
    pub fn tell_attempt(&self, attempt: Attempt) {
        self.put(Told::Attempt(Box::new(attempt)));
    }

    fn put(&self, told: Told) {
        if self.waiting.try_send(told).is_err() {
            self.dropped.one();
        }
    }
}

#[cfg(test)]
mod tests {
    use pawl_domain::trace::SpanId;

    use super::*;

    #[test]
    fn without_room_spans_are_dropped_and_counted() {
        let (tracer, mut told) = Tracer::new(Sampler { ratio: 1.0, by_parent: true }, 2);
        let before = tracer.dropped.get();
        for number in 1..=5 {
            tracer.tell(Span::new(TraceId([number; 16]), SpanId([1; 8]), "it", 0, 1));
        }
        assert_eq!(tracer.dropped.get() - before, 3);
        let first = |told| matches!(told, Ok(Told::Span(span)) if span.trace == TraceId([1; 16]));
        assert!(first(told.try_recv()), "what came first is kept");
    }
}

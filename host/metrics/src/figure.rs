//! The kinds of figures: thin handles around those of the library, which do nothing when figures are switched off. A handle
//! is made once, with its labels; to count by it is an atomic addition.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use crate::definition::{Definition, Kind};

/// Set once, at the start, and read ever after: its cache line is shared by all cores.
static IS_OFF: AtomicBool = AtomicBool::new(false);

/// Whether figures are kept; they are unless somebody says no. For the start of a process.
pub fn switch(on: bool) {
    IS_OFF.store(!on, Ordering::Relaxed);
}

/// Whether figures are kept.
#[must_use]
pub fn is_on() -> bool {
    !IS_OFF.load(Ordering::Relaxed)
}

/// What a definition becomes.
pub(crate) trait Figure: Sized {
    const KIND: Kind;
    /// Made, and known to the registry.
    fn new(definition: &Definition, registry: &Registry) -> Self;
}

/// A counter.
#[derive(Debug, Clone)]
pub struct Count(IntCounter);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        if is_on() {
            self.0.inc_by(more);
        }
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A gauge.
#[derive(Debug, Clone)]
pub struct Level(Gauge);

impl Level {
    /// What it is now, in the unit of its name.
    pub fn set(&self, now: f64) {
        if is_on() {
            self.0.set(now);
        }
    }

    /// The same of a number of things or bytes.
    pub fn set_count(&self, now: usize) {
        self.set(now as f64);
    }

    /// 1 or 0.
    pub fn set_whether(&self, is_so: bool) {
        self.set(f64::from(u8::from(is_so)));
    }
}

/// A histogram.
#[derive(Debug, Clone)]
pub struct Spread(Histogram);

impl Spread {
    /// One of this size, in the unit of its name.
    pub fn saw(&self, size: f64) {
        if is_on() {
            self.0.observe(size);
        }
    }

    /// The same of a number of things or bytes.
    pub fn saw_count(&self, size: usize) {
        self.saw(size as f64);
    }

    /// One that took so long, of a histogram of seconds.
    pub fn took(&self, time: Duration) {
        self.saw(time.as_secs_f64());
    }
}

/// Counters by labels.
#[derive(Debug, Clone)]
pub struct Counts(IntCounterVec);

impl Counts {
    /// The one with these values of its labels, in their order: to be kept by whoever counts often.
    #[must_use]
    pub fn of(&self, values: &[&str]) -> Count {
        Count(self.0.with_label_values(values))
    }
}

/// Gauges by labels.
#[derive(Debug, Clone)]
pub struct Levels(GaugeVec);

impl Levels {
    /// The one with these values of its labels, in their order.
    #[must_use]
    pub fn of(&self, values: &[&str]) -> Level {
        Level(self.0.with_label_values(values))
    }

    /// Forgets all: what is not set anew is not there any more.
    pub fn clear(&self) {
        self.0.reset();
    }
}

/// Histograms by labels.
#[derive(Debug, Clone)]
pub struct Spreads(HistogramVec);

impl Spreads {
    /// The one with these values of its labels, in their order: to be kept by whoever counts often.
    #[must_use]
    pub fn of(&self, values: &[&str]) -> Spread {
        Spread(self.0.with_label_values(values))
    }
}

/// The library refuses a name that is not one, or that is there already: a fault of the table, which its test finds.
const SOUND: &str = "a sound definition, once";

fn registered<T: Collector + Clone + 'static>(figure: prometheus::Result<T>, registry: &Registry) -> T {
    let figure = figure.expect(SOUND);
    registry.register(Box::new(figure.clone())).expect(SOUND);
    figure
}

macro_rules! kinds {
    ($($figure:ident is $kind:ident: $made:expr,)*) => {$(
        impl Figure for $figure {
            const KIND: Kind = Kind::$kind;
            fn new(definition: &Definition, registry: &Registry) -> Self {
                let make: fn(&Definition) -> prometheus::Result<_> = $made;
                Self(registered(make(definition), registry))
            }
        }
    )*};
}

kinds! {
    Count is Counter: |it| IntCounter::with_opts(it.opts()),
    Counts is Counter: |it| IntCounterVec::new(it.opts(), it.labels),
    Level is Gauge: |it| Gauge::with_opts(it.opts()),
    Levels is Gauge: |it| GaugeVec::new(it.opts(), it.labels),
    Spread is Histogram: |it| Histogram::with_opts(it.histogram_opts()),
    Spreads is Histogram: |it| HistogramVec::new(it.histogram_opts(), it.labels),
}

//! The facade `log`: a record becomes a line, its key-values become the line's fields.

use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};

use crate::host::{self, Level};

struct StepLog;

pub(super) fn install() {
    if log::set_logger(&StepLog).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

impl Log for StepLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        super::is_heard()
    }

    fn log(&self, record: &Record<'_>) {
        if !super::is_heard() {
            return;
        }
        let mut fields = Fields(Vec::new());
        // The visitor below refuses nothing.
        let _ = record.key_values().visit(&mut fields);
        host::log(level(record.level()), &record.args().to_string(), &fields.0);
    }

    fn flush(&self) {}
}

fn level(level: log::Level) -> Level {
    match level {
        log::Level::Trace => Level::Trace,
        log::Level::Debug => Level::Debug,
        log::Level::Info => Level::Info,
        log::Level::Warn => Level::Warn,
        log::Level::Error => Level::Error,
    }
}

struct Fields(Vec<(String, String)>);

impl<'a> VisitSource<'a> for Fields {
    fn visit_pair(&mut self, key: Key<'a>, value: Value<'a>) -> Result<(), Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

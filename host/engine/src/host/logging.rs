//! `pawl:step/logging`: what people see of a step while it runs. Not journaled; silent while the guest
//! replays, since it has been said before.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::bindings::pawl::step::logging::Host;
pub(crate) use super::bindings::pawl::step::logging::Level;
use crate::guest::Guest;
use crate::secrets::Secrets;
use pawl_domain::id::StepId;
use pawl_domain::limits::Limits;

/// A word about the progress, bytes.
const PROGRESS_BYTES: usize = 256;

/// The field by which the SDK says where a panic came up: file, line and column.
const PANIC_AT: &str = "panic.at";

impl Host for Guest {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        if let Some(panicked) = panic_in(level, &message, &fields) {
            let mut panicked = self.secrets().redact(&panicked).into_owned();
            truncate(&mut panicked, self.log.line_bytes());
            self.panicked = Some(panicked);
        }
        self.tell_log();
        self.log.write(level, &message, &fields);
        Ok(())
    }

    fn progress(&mut self, fraction: f64, message: String) -> wasmtime::Result<()> {
        if let Some(recorder) = &self.recorder
            && self.replay.is_live()
            && !fraction.is_nan()
        {
            let mut message = self.secrets().redact(&message).into_owned();
            truncate(&mut message, PROGRESS_BYTES);
            recorder.progress(fraction.clamp(0.0, 1.0), message);
        }
        Ok(())
    }
}

impl Guest {
    /// Before anything is logged: the log does not know of the replay.
    pub(crate) fn tell_log(&self) {
        let is_heard = self.recorder.is_some() && self.replay.is_live();
        self.log.is_heard.store(is_heard, Ordering::Relaxed);
    }
}

/// What a line says of a panic, if it is the one that the SDK writes before each.
fn panic_in(level: Level, message: &str, fields: &[(String, String)]) -> Option<String> {
    let (_, place) = fields.iter().find(|(name, _)| name == PANIC_AT)?;
    (level == Level::Error).then(|| format!("the step panicked in {place}: {message}"))
}

/// The log of one attempt. Only the guest's own thread writes to it.
#[derive(Debug)]
pub(crate) struct Log {
    step: StepId,
    pub(crate) step_name: String,
    pub(crate) secrets: Secrets,
    line_bytes: usize,
    limit_bytes: usize,
    left_bytes: AtomicUsize,
    /// Whether the guest makes history; before that, it repeats itself.
    is_heard: AtomicBool,
}

impl Log {
    pub(crate) fn new(step: StepId, step_name: String, secrets: Secrets, limits: &Limits) -> Self {
        Self {
            step,
            step_name,
            secrets,
            line_bytes: limits.log_line_bytes,
            limit_bytes: limits.log_bytes,
            left_bytes: AtomicUsize::new(limits.log_bytes),
            is_heard: AtomicBool::new(false),
        }
    }

    /// What a line may have.
    pub(crate) fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    /// Writes a line, unless nobody would hear it or the attempt has said too much.
    pub(crate) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let left_bytes = self.left_bytes.load(Ordering::Relaxed);
        if !self.is_heard.load(Ordering::Relaxed) || left_bytes == 0 {
            return;
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name, self.secrets.redact(value))).collect();
        let line = line(&self.secrets.redact(message), &fields, self.line_bytes);
        self.left_bytes.store(left_bytes.saturating_sub(line.len()), Ordering::Relaxed);
        self.emit(level, &line, left_bytes);
    }

    fn emit(&self, level: Level, line: &str, left_bytes: usize) {
        macro_rules! event {
            ($level:ident, $message:expr) => {
                tracing::event!(
                    target: "guest",
                    tracing::Level::$level,
                    run.id = %self.step.run,
                    step.no = %self.step.step,
                    step.name = %self.step_name,
                    "{}",
                    $message
                )
            };
        }
        if line.len() > left_bytes {
            let limit = self.limit_bytes;
            event!(WARN, format_args!("this attempt has logged {limit} bytes, the rest of its log is dropped"));
            return;
        }
        match level {
            Level::Trace => event!(TRACE, line),
            Level::Debug => event!(DEBUG, line),
            Level::Info => event!(INFO, line),
            Level::Warn => event!(WARN, line),
            Level::Error => event!(ERROR, line),
        }
    }
}

/// Message and fields as one line of at most `limit` bytes. Line breaks are escaped, so that a guest can't
/// forge lines of others.
fn line(message: &str, fields: &[(impl AsRef<str>, impl AsRef<str>)], limit: usize) -> String {
    let mut line = String::with_capacity(message.len().min(limit));
    append_escaped(&mut line, message, limit);
    for (name, value) in fields {
        if line.len() > limit {
            break;
        }
        line.push(' ');
        append_escaped(&mut line, name.as_ref(), limit);
        let _ = write!(line, "={:?}", clipped(value.as_ref(), limit));
    }
    if line.len() > limit {
        truncate(&mut line, limit);
        line.push('…');
    }
    line
}

fn append_escaped(line: &mut String, text: &str, limit: usize) {
    for character in clipped(text, limit.saturating_add(1)).chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
}

fn truncate(text: &mut String, limit: usize) {
    text.truncate(clipped(text, limit).len());
}

/// The longest beginning of `text` of at most `limit` bytes.
fn clipped(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_fields_and_no_line_breaks() {
        let fields = [("item".to_owned(), "7\n8".to_owned())];
        assert_eq!(line("done\nERROR forged", &fields, 100), r#"done\nERROR forged item="7\n8""#);
    }

    #[test]
    fn the_line_of_a_panic_is_told_from_others() {
        let at = [(PANIC_AT.to_owned(), "src/lib.rs:4:5".to_owned())];
        assert_eq!(panic_in(Level::Error, "no", &at).as_deref(), Some("the step panicked in src/lib.rs:4:5: no"));
        assert_eq!(panic_in(Level::Info, "no", &at), None);
        assert_eq!(panic_in(Level::Error, "no", &[]), None);
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        const NONE: &[(&str, &str)] = &[];
        assert_eq!(line("ééé", NONE, 3), "é…");
        assert_eq!(line("abc", NONE, 3), "abc");
        assert_eq!(line("a", &[("field", "value")], 4), "a fi…");
    }
}

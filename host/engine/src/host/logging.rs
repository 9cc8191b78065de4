//! `pawl:step/logging`: what people see of a step while it runs. Not journaled; silent while the guest
//! replays, since it has been said before, unless the recorder wants to hear that again. Each line goes to the recorder: for the log of the process, and to be kept, if it
//! keeps lines.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::bindings::pawl::step::logging::Host;
pub(crate) use super::bindings::pawl::step::logging::Level;
use crate::guest::Guest;
use crate::recorder::Recorder;
use crate::secrets::Secrets;
use crate::spoken::Spoken;
use crate::trap::Panicked;
use pawl_domain::id::StepId;
use pawl_domain::limits::Limits;
use pawl_domain::log;
use pawl_metrics::figures;

/// A word about the progress, bytes.
const PROGRESS_BYTES: usize = 256;

/// The field by which the SDK says where a panic came up: file, line and column.
const PANIC_AT: &str = "panic.at";

/// The one by which it says where the step's function stands.
const PANIC_STEP: &str = "panic.step";

/// Of such a place, bytes.
const PLACE_BYTES: usize = 1_024;

impl Host for Guest {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        if let Some(panicked) = panic_in(level, &message, &fields) {
            let redacted = |text: &str| self.secrets().redact(text).into_owned();
            let mut message = redacted(&panicked.message);
            truncate(&mut message, self.log.line_bytes());
            let (place, step) = (redacted(&panicked.place), panicked.step.as_deref().map(redacted));
            self.panicked = Some(Panicked { place, step, message });
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
        let (is_live, position) = (self.replay.is_live(), self.replay.position());
        let is_heard = self.recorder.as_ref().is_some_and(|recorder| recorder.hears_again(position) || is_live);
        self.log.is_heard.store(is_heard, Ordering::Relaxed);
    }
}

/// What a line says of a panic, if it is the one that the SDK writes before each.
fn panic_in(level: Level, message: &str, fields: &[(String, String)]) -> Option<Panicked> {
    let place = |field: &str| {
        let (_, place) = fields.iter().find(|(name, _)| name == field)?;
        // A guest may say whatever it likes: a place is short.
        Some(clipped(place, PLACE_BYTES).to_owned())
    };
    let (at, step) = (place(PANIC_AT)?, place(PANIC_STEP));
    (level == Level::Error).then(|| Panicked { place: at, step, message: message.to_owned() })
}

/// The log of one attempt. Only the guest's own thread writes to it.
pub(crate) struct Log {
    step: StepId,
    pub(crate) step_name: String,
    pub(crate) secrets: Secrets,
    limits: Limits,
    left_bytes: AtomicUsize,
    left_lines: AtomicUsize,
    /// The attempt has said as much as it may; how many lines it has said since.
    is_full: AtomicBool,
    dropped: AtomicU64,
    /// Whether the guest makes history; before that, it repeats itself.
    is_heard: AtomicBool,
    /// Who has the lines; whether it keeps them.
    recorder: Option<Arc<dyn Recorder>>,
    is_kept: bool,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("step", &self.step).finish_non_exhaustive()
    }
}

impl Log {
    pub(crate) fn new(
        step: StepId,
        step_name: String,
        secrets: Secrets,
        limits: &Limits,
        recorder: Option<Arc<dyn Recorder>>,
    ) -> Self {
        Self {
            step,
            step_name,
            secrets,
            limits: *limits,
            left_bytes: AtomicUsize::new(limits.log_bytes),
            left_lines: AtomicUsize::new(limits.log_lines),
            is_full: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            is_heard: AtomicBool::new(false),
            is_kept: recorder.as_ref().is_some_and(|recorder| recorder.keeps_log()),
            recorder,
        }
    }

    /// What a line may have.
    pub(crate) fn line_bytes(&self) -> usize {
        self.limits.log_line_bytes
    }

    /// Writes a line, unless nobody would hear it or the attempt has said too much.
    pub(crate) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        if !self.is_heard.load(Ordering::Relaxed) {
            return;
        }
        // A flood costs a count.
        if self.is_full.load(Ordering::Relaxed) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let message = self.secrets.redact(message);
        let fields: Vec<(&str, Cow<'_, str>)> =
            fields.iter().map(|(name, value)| (name.as_str(), self.secrets.redact(value))).collect();
        let line = line(&message, &fields, self.line_bytes());
        let (bytes, lines) = (self.left_bytes.load(Ordering::Relaxed), self.left_lines.load(Ordering::Relaxed));
        let (Some(bytes), Some(lines)) = (bytes.checked_sub(line.len()), lines.checked_sub(1)) else {
            self.is_full.store(true, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            let Limits { log_bytes, log_lines, .. } = self.limits;
            let why = format!(
                "an attempt may log {log_bytes} bytes and {log_lines} lines (`limit_log`, `limit_log_lines`): the rest of \
                 its log is dropped"
            );
            return self.note(&why);
        };
        self.left_bytes.store(bytes, Ordering::Relaxed);
        self.left_lines.store(lines, Ordering::Relaxed);
        self.print(level, line);
        if let Some(keeper) = self.keeper() {
            let (message, fields) = cut(&message, &fields, self.line_bytes());
            keeper.says(level.into(), message, &fields);
        }
    }

    /// The guest has ended: the last line tells what is missing.
    pub(crate) fn end(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            figures().log_lines_dropped.of(&["limit"]).add(dropped);
            self.note(&format!("{dropped} lines dropped"));
        }
    }

    /// A line of the host's own, whatever the attempt has said.
    fn note(&self, text: &str) {
        self.print(Level::Warn, text.to_owned());
        if let Some(keeper) = self.keeper() {
            keeper.says(Level::Warn.into(), text.to_owned(), &[]);
        }
    }

    fn print(&self, level: Level, text: String) {
        let (step, step_name, level) = (self.step, self.step_name.clone(), level.into());
        if let Some(recorder) = &self.recorder {
            recorder.prints(Spoken { step, step_name, level, text });
        }
    }

    fn keeper(&self) -> Option<&Arc<dyn Recorder>> {
        self.recorder.as_ref().filter(|_| self.is_kept)
    }
}

impl From<Level> for log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// Message and fields as they are kept: as the guest gave them, of at most about `limit` bytes together.
fn cut<'a>(message: &str, fields: &[(&'a str, Cow<'_, str>)], limit: usize) -> (String, Vec<(&'a str, String)>) {
    let text = |text: &str, left: usize| match clipped(text, left) {
        whole if whole.len() == text.len() => whole.to_owned(),
        part => format!("{part}…"),
    };
    let mut left = limit.saturating_sub(message.len());
    let mut kept = Vec::new();
    for (name, value) in fields {
        // What separates it from the others.
        let Some(room) = left.checked_sub(name.len() + 4) else { break };
        kept.push((*name, text(value, room)));
        left = room.saturating_sub(value.len());
    }
    (text(message, limit), kept)
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
        let fields = [("item", "7\n8")];
        assert_eq!(line("done\nERROR forged", &fields, 100), r#"done\nERROR forged item="7\n8""#);
    }

    #[test]
    fn what_is_kept_is_as_it_was_given_up_to_the_limit() {
        let fields =
            [("item", Cow::Borrowed("7\n8")), ("note", Cow::Borrowed("long enough")), ("last", Cow::Borrowed("x"))];
        let told = |limit| {
            let (message, fields) = cut("do\ne", &fields, limit);
            (message, fields.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
        };
        assert_eq!(told(100), ("do\ne".into(), vec!["item=7\n8".into(), "note=long enough".into(), "last=x".into()]));
        assert_eq!(told(27), ("do\ne".into(), vec!["item=7\n8".into(), "note=long…".into()]));
        assert_eq!(told(3), ("do\n…".into(), Vec::new()));
    }

    #[test]
    fn the_line_of_a_panic_is_told_from_others() {
        let at = [(PANIC_AT.to_owned(), "src/lib.rs:4:5".to_owned())];
        let panicked = panic_in(Level::Error, "no", &at).map(|panicked| panicked.told(None));
        assert_eq!(panicked.as_deref(), Some("the step panicked in src/lib.rs:4:5: no"));
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

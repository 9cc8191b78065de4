//! `pawl:step/logging`: what people see of a step while it runs. Not journaled; silent while the guest
//! replays, since it has been said before.

use std::fmt::Write as _;

use super::bindings::pawl::step::logging::{Host, Level};
use crate::engine::guest::Guest;

/// A word about the progress, bytes.
const PROGRESS_BYTES: usize = 256;

impl Host for Guest {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        if self.recorder.is_some() && self.replay.is_live() && self.log_left > 0 {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name, self.secrets.redact(value))).collect();
            let line = line(&self.secrets.redact(&message), &fields, self.limits.log_line_bytes);
            self.write_log(level, &line);
        }
        Ok(())
    }

    fn progress(&mut self, fraction: f64, message: String) -> wasmtime::Result<()> {
        if let Some(recorder) = &self.recorder
            && self.replay.is_live()
            && !fraction.is_nan()
        {
            let mut message = self.secrets.redact(&message).into_owned();
            truncate(&mut message, PROGRESS_BYTES);
            recorder.progress(fraction.clamp(0.0, 1.0), message);
        }
        Ok(())
    }
}

impl Guest {
    fn write_log(&mut self, level: Level, line: &str) {
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
        if line.len() > self.log_left {
            self.log_left = 0;
            let limit = self.limits.log_bytes;
            event!(WARN, format_args!("this attempt has logged {limit} bytes, the rest of its log is dropped"));
            return;
        }
        self.log_left -= line.len();
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
    fn a_long_line_is_cut_at_a_character() {
        const NONE: &[(&str, &str)] = &[];
        assert_eq!(line("ééé", NONE, 3), "é…");
        assert_eq!(line("abc", NONE, 3), "abc");
        assert_eq!(line("a", &[("field", "value")], 4), "a fi…");
    }
}

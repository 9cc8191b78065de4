//! The log of the process, on standard error. As text, an event is one line, and further lines of what it tells are indented:
//! what guests and others wrote begins no event and is obeyed by no terminal ([`pawl_base::terminal`]). Only the colours of a
//! terminal stand outside of that, and none of them in what an event tells. As JSON, an event is an object on a line, with
//! escapes of JSON.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use pawl_base::tell;
use pawl_base::terminal::{harmless, harmless_json};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

use super::exit;
use super::settings::{self, Settings};

/// Where the statements of the store are logged.
const STATEMENTS: &str = "sqlx::query";

/// Log lines go to standard error.
pub(super) fn start(settings: Settings) -> anyhow::Result<Settings> {
    let which = settings.log();
    // Slow statements are told at full length, and the one that watches others waits for seconds: only who asks has them.
    let filter = if which.contains(STATEMENTS) { which.to_owned() } else { format!("{STATEMENTS}=error,{which}") };
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| exit::usage(format!("log is {which:?}: {error}; it looks like `debug` or `pawl=debug`")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.logs_json() {
        false => log.with_ansi(std::io::stderr().is_terminal()).fmt_fields(Harmless).init(),
        true => log.json().with_writer(|| Lines(std::io::stderr())).init(),
    }
    for (name, meant) in settings::misspelt(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
        tracing::warn!("{name} is no setting; did you mean {meant}?");
    }
    for name in settings.passwords_in_flags() {
        let variable = settings::variable_of(name);
        tracing::warn!(
            "who may list the processes of this machine sees the password in --{name}: give it by {variable}, or in a file, --{name}-file"
        );
    }
    Ok(settings)
}

/// What a panic says goes where the log goes, and may hold text of others, too.
pub(super) fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let backtrace = Backtrace::capture();
        let trace =
            if backtrace.status() == BacktraceStatus::Captured { format!("\n{backtrace}") } else { String::new() };
        tell!("thread '{}' {panic}{trace}", thread.name().unwrap_or("<unnamed>"));
    }));
}

/// Takes events as JSON, each at once and whole.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(event) {
            Ok(document) => self.0.write_all(harmless_json(document).as_bytes())?,
            Err(_) => self.0.write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The message and the fields of an event or a span, without colours.
struct Harmless;

impl<'writer> FormatFields<'writer> for Harmless {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut told = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut told), fields)?;
        writer.write_str(&harmless(&told).replace('\n', "\n    "))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            pawl_base::lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_an_event_tells_is_obeyed_by_no_terminal_and_begins_no_line() {
        let written = Written::default();
        let log = tracing_subscriber::fmt().with_ansi(false).fmt_fields(Harmless).without_time();
        let writer = written.clone();
        let log = log.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, || {
            let hostile = "\u{1b}]0;evil\u{7}\u{1b}[2J\u{9b}2J\r\u{202e}x\nINFO forged";
            let _span = tracing::info_span!("attempt", step = hostile).entered();
            tracing::warn!(name = hostile, error = %hostile, "{hostile}");
        });
        let written = String::from_utf8(pawl_base::lock(&written.0).clone()).unwrap();
        assert_eq!(written.matches("forged").count(), 4, "{written}");
        let commands = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!written.contains(commands), "{written:?}");
        assert!(written.lines().skip(1).all(|line| line.starts_with("    ")), "{written}");
    }

    #[test]
    fn an_event_as_json_is_one_line_with_escapes_of_json() {
        let written = Written::default();
        let writer = written.clone();
        let log = tracing_subscriber::fmt().json().without_time().with_writer(move || Lines(writer.clone())).finish();
        tracing::subscriber::with_default(log, || tracing::warn!(name = "\u{9b}2J\u{202e}", "one\ntwo\u{1b}"));
        let written = String::from_utf8(pawl_base::lock(&written.0).clone()).unwrap();
        let event: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(event["fields"]["name"], "\u{9b}2J\u{202e}", "{written}");
        assert_eq!(written.lines().count(), 1);
        assert!(written.trim_end().is_ascii() && !written.trim_end().contains(char::is_control), "{written:?}");
    }
}

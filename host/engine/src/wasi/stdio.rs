//! Standard output and error: what a guest prints becomes lines of its log, as information and as warnings.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use pawl_base::lock;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamResult};

use super::WRITE_BYTES;
use crate::host::{Level, Log};

/// All streams that a guest gets of its standard output, or error, are one.
#[derive(Debug, Clone)]
pub(super) struct Printed {
    level: Level,
    log: Arc<Log>,
    lines: Arc<Mutex<Lines>>,
}

impl Printed {
    pub(super) fn new(level: Level, log: Arc<Log>) -> Self {
        Self { level, log, lines: Arc::default() }
    }

    /// Nothing more is printed.
    pub(super) fn end(&self) {
        self.log_lines(self.lines().rest());
    }

    fn log_lines(&self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.log.write(self.level, &line, &[]));
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        lock(&self.lines)
    }
}

#[async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, text: Bytes) -> StreamResult<()> {
        let lines = self.lines().take(&text, self.log.line_bytes());
        self.log_lines(lines);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn p2_stream(&self) -> DynOutputStream {
        Box::new(self.clone())
    }

    /// What WASI 0.3 would print to; it is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

/// What was printed and is not a whole line yet.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Takes more text; whole lines come out, and what is longer than a line of the log may be.
    fn take(&mut self, text: &[u8], limit: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(part);
            if part.ends_with(b"\n") || self.0.len() >= limit {
                lines.extend(self.rest());
            }
        }
        lines
    }

    fn rest(&mut self) -> Option<String> {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned();
        let line = text.trim_end_matches(['\r', '\n']);
        (!line.is_empty()).then(|| line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use wasmtime_wasi::cli::WasiCliView as _;
    use wasmtime_wasi::p2::bindings::cli::{stderr, stdout};
    use wasmtime_wasi::p2::bindings::sync::io::streams::HostOutputStream as _;

    use super::*;
    use crate::guest::Guest;
    use crate::in_memory::InMemory;
    use crate::secrets::Secrets;
    use crate::wasi::interfaces::table;
    use crate::wasi::tests::guest;
    use pawl_domain::journal::{Entry, History};
    use pawl_domain::replay::Replay;

    /// What is logged, for a test to read.
    #[derive(Clone, Default)]
    struct Read(Arc<Mutex<Vec<u8>>>);

    impl Write for Read {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The lines that the guest's log gets, without what every line has.
    fn logged(run: impl FnOnce()) -> Vec<String> {
        let read = Read::default();
        let writer = read.clone();
        let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::with_default(subscriber.finish(), run);
        let text = String::from_utf8(read.0.lock().unwrap().clone()).unwrap();
        let line = |line: &str| line.split(" run.id").next().map(|line| line.trim().to_owned());
        text.lines().filter_map(line).collect()
    }

    /// A guest whose lines this one prints.
    fn heard() -> Guest {
        let (guest, recorder) = (guest(), Arc::new(InMemory::default()));
        let log = Log::new(guest.step, "tested".to_owned(), Secrets::default(), &guest.limits, Some(recorder.clone()));
        Guest { recorder: Some(recorder), log: Arc::new(log), ..guest }
    }

    fn print(guest: &mut Guest, text: &str, is_error: bool) {
        let stream = match is_error {
            true => stderr::Host::get_stderr(&mut guest.cli()).unwrap(),
            false => stdout::Host::get_stdout(&mut guest.cli()).unwrap(),
        };
        table(guest).blocking_write_and_flush(stream, text.as_bytes().to_vec()).unwrap();
    }

    #[test]
    fn what_is_printed_is_logged_line_by_line_in_its_order() {
        let lines = logged(|| {
            let mut guest = heard();
            print(&mut guest, "one\ntw", false);
            print(&mut guest, "careful\n", true);
            print(&mut guest, "o\nthe rest", false);
            guest.print_rest();
        });
        assert_eq!(lines, ["INFO guest: one", "WARN guest: careful", "INFO guest: two", "INFO guest: the rest"]);
    }

    #[test]
    fn nothing_is_logged_while_a_guest_replays_or_describes_itself() {
        let lines = logged(|| {
            let mut describing = guest();
            print(&mut describing, "described\n", false);
            let history =
                History { segments: vec![(0, vec![Entry::Now { unix_ns: 1 }])], length: 1, ..History::default() };
            let replay = Replay::new(describing.step, history);
            let mut replaying = Guest { replay, ..heard() };
            print(&mut replaying, "said before\n", false);
            replaying.replay.now().unwrap();
            print(&mut replaying, "new\n", false);
        });
        assert_eq!(lines, ["INFO guest: new"]);
    }

    #[test]
    fn a_line_comes_out_when_it_is_whole_or_too_long() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\ntw", 8), ["one"]);
        assert_eq!(lines.take(b"o\r\n\nlong enough", 8), ["two", "long enough"]);
        assert_eq!(lines.take(b"rest", 8), [""; 0]);
        assert_eq!((lines.rest(), lines.rest()), (Some("rest".to_owned()), None));
    }
}

//! `wasi:cli`: what a program finds around itself. A step has no environment, no arguments, no input and no
//! terminal; what it prints becomes lines of its log.

use wasmtime::bail;
use wasmtime::component::Resource;

use super::bindings::wasi::cli::terminal_input::TerminalInput;
use super::bindings::wasi::cli::terminal_output::TerminalOutput;
use super::bindings::wasi::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use super::streams::{Input, Output};
use crate::engine::guest::Guest;
use crate::engine::host::logging_interface::{Host as _, Level};

impl environment::Host for Guest {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for Guest {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        self.exit_with_code(u8::from(status.is_err()))
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        bail!("the step called exit({code}): a step returns an output or a failure")
    }
}

impl stdin::Host for Guest {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<Input>> {
        Ok(self.push(Input::default())?)
    }
}

impl stdout::Host for Guest {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<Output>> {
        Ok(self.push(Output::Stdout)?)
    }
}

impl stderr::Host for Guest {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<Output>> {
        Ok(self.push(Output::Stderr)?)
    }
}

impl terminal_stdin::Host for Guest {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for Guest {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for Guest {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_input::Host for Guest {}
impl terminal_output::Host for Guest {}

impl terminal_input::HostTerminalInput for Guest {
    fn drop(&mut self, terminal: Resource<TerminalInput>) -> wasmtime::Result<()> {
        self.take(terminal).map(drop)
    }
}

impl terminal_output::HostTerminalOutput for Guest {
    fn drop(&mut self, terminal: Resource<TerminalOutput>) -> wasmtime::Result<()> {
        self.take(terminal).map(drop)
    }
}

/// What was printed and is not a whole line yet.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

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

impl Guest {
    pub(super) fn print(&mut self, level: Level, text: &[u8]) -> wasmtime::Result<()> {
        let limit = self.limits.log_line_bytes;
        let lines = match level {
            Level::Info => self.wasi().stdout.take(text, limit),
            _ => self.wasi().stderr.take(text, limit),
        };
        lines.into_iter().try_for_each(|line| self.log(level, line, Vec::new()))
    }

    /// The guest has ended: what it printed last may lack a line break.
    pub(in crate::engine) fn print_rest(&mut self) {
        let Some(wasi) = &mut self.wasi else { return };
        let rest = [(Level::Info, wasi.stdout.rest()), (Level::Warn, wasi.stderr.rest())];
        for (level, line) in rest {
            // It never fails: the log is not what a guest can be ended for.
            let _ = line.map(|line| self.log(level, line, Vec::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_out_when_it_is_whole_or_too_long() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\ntw", 8), ["one"]);
        assert_eq!(lines.take(b"o\r\n\nlong enough", 8), ["two", "long enough"]);
        assert_eq!(lines.take(b"rest", 8), [""; 0]);
        assert_eq!((lines.rest(), lines.rest()), (Some("rest".to_owned()), None));
    }
}

//! A child process that is stopped with its owner. Used by the private servers, `pawl drill` and the tests.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use super::tail;

/// A running child; dropping it kills it (it, and nothing else) and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command` with standard output and error appended to `log`.
    ///
    /// # Errors
    /// If the log can't be written or the program can't be started.
    pub fn spawn(name: impl Into<String>, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let name = name.into();
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
        }
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("can't write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {name} ({})", command.get_program().display()))?;
        Ok(Self { name, log: log.to_owned(), child })
    }

    /// What it was called when it was started.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Fails, with the end of its log, if it has ended.
    ///
    /// # Errors
    /// If it has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                anyhow::bail!("{} has ended ({status}); the end of its log:\n{}", self.name, tail(&self.log))
            }
        }
    }

    /// Kills it (SIGKILL) and returns when it is gone.
    pub fn kill9(&mut self) {
        // The child is ours and not yet waited for, so its id can't belong to another process; an error
        // means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it in its tracks (SIGSTOP).
    ///
    /// # Errors
    /// If it has ended.
    pub fn sigstop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// If it has ended.
    pub fn sigcont(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.ensure_running()?;
        kill_process(Pid::from_child(&self.child), signal).with_context(|| format!("can't signal {}", self.name))
    }

    /// Asks it to end (SIGTERM) and waits; after `timeout` it is killed.
    ///
    /// # Errors
    /// If it had to be killed.
    pub fn terminate(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        self.end_with(Signal::TERM, timeout)
    }

    pub(super) fn end_with(&mut self, signal: Signal, timeout: Duration) -> anyhow::Result<ExitStatus> {
        if self.is_running() {
            // It may end between the two calls: then there is nothing to signal.
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
        match self.wait(timeout)? {
            Some(status) => Ok(status),
            None => {
                self.kill9();
                anyhow::bail!("{} did not end within {} s and was killed", self.name, timeout.as_secs())
            }
        }
    }

    /// Waits for its end, at most `timeout`; `None` if it still runs.
    ///
    /// # Errors
    /// If the system can't say.
    pub fn wait(&mut self, timeout: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let end = Instant::now() + timeout;
        loop {
            match self.child.try_wait()? {
                Some(status) => return Ok(Some(status)),
                None if Instant::now() >= end => return Ok(None),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

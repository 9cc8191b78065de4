//! Components that somebody uploads: compiled, asked what they are and held against the rules of schemas, in a process of its
//! own for each. The API calls it. What such a component makes of the compiler ends with that process, whose time, memory
//! and files are bounded, and whose environment is empty; what the process says is read as a stranger's.
//!
//! ```text
//!  this process                                    pawl examine-component MEMORY_BYTES CPU_SECONDS
//!   start it ─────────────────────────────────────▶ bounds itself, then reads
//!   one line: what guests must keep within ──stdin─▶
//!   the component ──────────────────────────stdin──▶ compiles, instantiates, calls `describe`
//!   ◀──stdout── one JSON document: what it is, or what is wrong with it
//!   stdin stays open: its end ends the other process, also if this one is killed
//! ```
//!
//! A worker compiles what it executes itself, bounded by what was let in here.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use pawl_domain::limits::Limits;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use super::container::at_most_three_quarters;
use super::manifest::Manifest;
pub use child::examine_if_asked;

mod child;

/// The word that makes the program examine a component, and do nothing else.
const EXAMINE: &str = "examine-component";

/// Of what the process says that is no answer.
const SAID_BYTES: u64 = 4 << 10;

/// Of an answer besides what a description may have: names, and the escapes of JSON.
const ANSWER_SLACK_BYTES: u64 = 64 << 10;

/// An examination's bounds, and the program that makes it.
#[derive(Debug, Clone)]
pub struct Examiner {
    /// `pawl` itself.
    pub program: PathBuf,
    /// From its start to its end.
    pub time: Duration,
    /// What the process may have written to at a time; addresses that it only reserves cost nothing.
    pub memory_bytes: u64,
}

impl Default for Examiner {
    fn default() -> Self {
        // Also where the file was replaced by that of another build since.
        let running = cfg!(target_os = "linux").then(|| PathBuf::from("/proc/self/exe"));
        let program = running.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| "pawl".into());
        Self { program, time: Duration::from_secs(60), memory_bytes: at_most_three_quarters(2 << 30) }
    }
}

/// Why a component is not let in. All but [`Refusal::NotStarted`] are the component's doing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no step, and why.
    #[error("{0}")]
    Unfit(String),
    /// It was killed.
    #[error(
        "the component is not compiled and described within {0:?}, and nothing was stored: make its functions smaller, or raise \
         `compile_timeout` of the API"
    )]
    Time(Duration),
    /// There was no more for it.
    #[error(
        "to compile and describe the component takes more than {} MiB of memory, and nothing was stored: make it smaller, or raise \
         `compile_memory` of the API",
        .0 >> 20
    )]
    Memory(u64),
    /// The compiler, or what a component has made of it.
    #[error(
        "the process that compiles and describes the component has ended by itself ({0}), and nothing was stored: build it again"
    )]
    Crashed(String),
    /// This machine's doing.
    #[error("the process that examines components can't be started")]
    NotStarted(#[source] std::io::Error),
}

/// What the process is told before the component's bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    component_bytes: usize,
    limit_component: usize,
    limit_entry: usize,
    limit_memory: usize,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Described(Manifest),
    Unfit(String),
    /// The system has given no more memory.
    NoMemory,
}

/// How it ended.
enum End {
    Answered { status: ExitStatus, answer: Vec<u8>, said: Vec<u8> },
    SaidTooMuch,
}

impl Examiner {
    /// Asks a component what it is. It has ended when this returns; if it is dropped before, it is killed.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn examine(&self, component: &[u8], limits: &Limits) -> Result<Manifest, Refusal> {
        let mut child = self.start().map_err(Refusal::NotStarted)?;
        let stdin = child.stdin.take();
        let answer_bytes = limits.entry_bytes as u64 * 2 + ANSWER_SLACK_BYTES;
        let asked = Asked {
            component_bytes: component.len(),
            limit_component: limits.component_bytes,
            limit_entry: limits.entry_bytes,
            limit_memory: limits.memory_bytes,
        };
        let ended = tokio::time::timeout(self.time, converse(&mut child, stdin, &asked, component, answer_bytes)).await;
        let refusal = match ended {
            Ok(Ok(End::Answered { status, answer, said })) => return self.judge(status, &answer, &said),
            Ok(Ok(End::SaidTooMuch)) => Refusal::Crashed("it said more than a description may have".to_owned()),
            Ok(Err(error)) => Refusal::Crashed(error.to_string()),
            Err(_) => Refusal::Time(self.time),
        };
        // Its place is free for another one only when it is gone.
        let _ = child.kill().await;
        Err(refusal)
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg(EXAMINE).arg(self.memory_bytes.to_string()).arg(self.cpu_seconds().to_string());
        command.env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What a terminal's keys say is for this process.
        command.process_group(0).kill_on_drop(true).spawn()
    }

    /// On all processors, for as long as it may take: a backstop where nobody is left to kill it.
    fn cpu_seconds(&self) -> u64 {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        (self.time.as_secs() + 1).saturating_mul(cores)
    }

    /// What the process has come to.
    fn judge(&self, status: ExitStatus, answer: &[u8], said: &[u8]) -> Result<Manifest, Refusal> {
        if status.success()
            && let Ok(answer) = serde_json::from_slice(answer)
        {
            return match answer {
                Answer::Described(manifest) => Ok(manifest),
                Answer::Unfit(why) => Err(Refusal::Unfit(why)),
                Answer::NoMemory => Err(Refusal::Memory(self.memory_bytes)),
            };
        }
        let said = String::from_utf8_lossy(said);
        // As Rust ends where an allocation fails: https://doc.rust-lang.org/std/alloc/fn.handle_alloc_error.html.
        if said.contains("memory allocation of") {
            return Err(Refusal::Memory(self.memory_bytes));
        }
        if ended_by(status, Signal::XCPU) {
            return Err(Refusal::Time(self.time));
        }
        if ended_by(status, Signal::KILL) {
            return Err(Refusal::Crashed(
                "somebody has killed it, most likely the system for lack of memory".to_owned(),
            ));
        }
        tracing::warn!(%status, %said, "the process that examines a component has crashed");
        Err(Refusal::Crashed(status.to_string()))
    }
}

fn ended_by(status: ExitStatus, signal: Signal) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(signal.as_raw())
}

async fn converse(
    child: &mut Child,
    mut stdin: Option<ChildStdin>,
    asked: &Asked,
    component: &[u8],
    answer_bytes: u64,
) -> std::io::Result<End> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut line = serde_json::to_vec(asked)?;
    line.push(b'\n');
    let write = async {
        if let Some(stdin) = &mut stdin {
            // It may have seen enough before the end.
            let _ = stdin.write_all(&line).await;
            let _ = stdin.write_all(component).await;
            let _ = stdin.flush().await;
        }
    };
    let ((), answer, said) = tokio::join!(write, at_most(stdout, answer_bytes), at_most(stderr, SAID_BYTES));
    let answer = answer?;
    if answer.len() as u64 > answer_bytes {
        return Ok(End::SaidTooMuch);
    }
    let status = child.wait().await?;
    // Until here: its end would have ended the process.
    drop(stdin);
    Ok(End::Answered { status, answer, said: said? })
}

/// All of it, or one byte more than `most`.
async fn at_most(from: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(most + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

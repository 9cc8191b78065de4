//! Work on what strangers have made, in a process of its own for each piece: components that are uploaded
//! ([`examine`](super::examine)), steps that are replayed for whoever looks at them. What such a component makes of the
//! compiler or of the host ends with that process, whose time, memory and files are bounded, and whose environment is empty;
//! what the process says is read as a stranger's.
//!
//! ```text
//!  this process                                    pawl WORD MEMORY_BYTES CPU_SECONDS
//!   start it ─────────────────────────────────────▶ bounds itself, then reads
//!   one line: what is asked ───────────────stdin──▶
//!   bytes that belong to it, part by part ─stdin──▶ works
//!   ◀──stdout── one JSON document: what came of it, or what is wrong
//!   stdin stays open: its end ends the other process, also if this one is killed
//! ```

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use super::container::at_most_three_quarters;
pub use child::do_if_asked;

mod child;

/// Of what the process says that is no answer.
const SAID_BYTES: u64 = 4 << 10;

/// A kind of work, and what is asked of it: one line, bytes that follow it, and an answer.
pub trait Work: Serialize + DeserializeOwned + Send + 'static {
    /// The word that makes the program do this, and nothing else.
    const WORD: &'static str;
    /// What comes of it.
    type Done: Serialize + DeserializeOwned + Send + 'static;

    /// The sizes of the parts that follow.
    fn sizes(&self) -> Vec<usize>;

    /// Does it, in the other process.
    ///
    /// # Errors
    /// What is wrong with the parts, for whoever asks.
    fn carry_out(self, parts: Vec<Vec<u8>>) -> Result<Self::Done, String>;
}

/// The bounds of such a process, and the program that it is.
#[derive(Debug, Clone)]
pub struct Apart {
    /// `pawl` itself.
    pub program: PathBuf,
    /// From its start to its end.
    pub time: Duration,
    /// What the process may have written to at a time; addresses that it only reserves cost nothing.
    pub memory_bytes: u64,
}

impl Default for Apart {
    fn default() -> Self {
        // Also where the file was replaced by that of another build since.
        let running = cfg!(target_os = "linux").then(|| PathBuf::from("/proc/self/exe"));
        let program = running.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| "pawl".into());
        Self { program, time: Duration::from_secs(60), memory_bytes: at_most_three_quarters(2 << 30) }
    }
}

/// Why nothing came of it. All but [`Broken::NotStarted`] are the doing of what was worked on.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It is not what it should be, and why.
    #[error("{0}")]
    Unfit(String),
    /// It was killed.
    #[error("it was not done within {0:?}")]
    Time(Duration),
    /// There was no more for it.
    #[error("it takes more than {} MiB of memory", .0 >> 20)]
    Memory(u64),
    /// The process has ended by itself, or said what it can't.
    #[error("the process for it has ended by itself ({0})")]
    Crashed(String),
    /// This machine's doing.
    #[error("the process for it can't be started")]
    NotStarted(#[source] std::io::Error),
}

/// What the process answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer<Done> {
    Done(Done),
    Unfit(String),
    /// The system has given no more memory.
    NoMemory,
}

/// How it ended.
enum End {
    Answered { status: ExitStatus, answer: Vec<u8>, said: Vec<u8> },
    SaidTooMuch,
}

impl Apart {
    /// Has a piece of work done, whose answer has at most so many bytes. The process has ended when this returns; if it is
    /// dropped before, it is killed.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn ask<W: Work>(&self, work: &W, parts: &[&[u8]], answer_bytes: u64) -> Result<W::Done, Broken> {
        let mut child = self.start(W::WORD).map_err(Broken::NotStarted)?;
        let stdin = child.stdin.take();
        let conversing = converse(&mut child, stdin, work, parts, answer_bytes);
        let broken = match tokio::time::timeout(self.time, conversing).await {
            Ok(Ok(End::Answered { status, answer, said })) => return self.judge(W::WORD, status, &answer, &said),
            Ok(Ok(End::SaidTooMuch)) => Broken::Crashed("it said more than an answer may have".to_owned()),
            Ok(Err(error)) => Broken::Crashed(error.to_string()),
            Err(_) => Broken::Time(self.time),
        };
        // Its place is free for another one only when it is gone.
        let _ = child.kill().await;
        Err(broken)
    }

    fn start(&self, word: &str) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg(word).arg(self.memory_bytes.to_string()).arg(self.cpu_seconds().to_string());
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
    fn judge<Done: DeserializeOwned>(
        &self,
        word: &str,
        status: ExitStatus,
        answer: &[u8],
        said: &[u8],
    ) -> Result<Done, Broken> {
        if status.success()
            && let Ok(answer) = serde_json::from_slice(answer)
        {
            return match answer {
                Answer::Done(done) => Ok(done),
                Answer::Unfit(why) => Err(Broken::Unfit(why)),
                Answer::NoMemory => Err(Broken::Memory(self.memory_bytes)),
            };
        }
        let said = String::from_utf8_lossy(said);
        // As Rust ends where an allocation fails: https://doc.rust-lang.org/std/alloc/fn.handle_alloc_error.html.
        if said.contains("memory allocation of") {
            return Err(Broken::Memory(self.memory_bytes));
        }
        if ended_by(status, Signal::XCPU) {
            return Err(Broken::Time(self.time));
        }
        if ended_by(status, Signal::KILL) {
            return Err(Broken::Crashed(
                "somebody has killed it, most likely the system for lack of memory".to_owned(),
            ));
        }
        tracing::warn!(%status, %said, "the process of `{word}` has crashed");
        Err(Broken::Crashed(status.to_string()))
    }
}

fn ended_by(status: ExitStatus, signal: Signal) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(signal.as_raw())
}

async fn converse(
    child: &mut Child,
    mut stdin: Option<ChildStdin>,
    asked: &impl Serialize,
    parts: &[&[u8]],
    answer_bytes: u64,
) -> std::io::Result<End> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut line = serde_json::to_vec(asked)?;
    line.push(b'\n');
    let write = async {
        if let Some(stdin) = &mut stdin {
            // It may have seen enough before the end.
            let _ = stdin.write_all(&line).await;
            for part in parts {
                let _ = stdin.write_all(part).await;
            }
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

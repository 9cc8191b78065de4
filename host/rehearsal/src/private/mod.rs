//! Private servers and child processes: what `pawl drill`, the tests and the demo start for themselves.
//!
//! Everything here blocks: it is called at the edges of a program, before and after the measured or tested
//! part. A value owns what it started and stops it when it is dropped, and never touches a process or a
//! folder that it did not make. Each child has a process group of its own, so that Ctrl-C reaches only the
//! owner, which then stops its children in order.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

mod postgres;
mod process;
mod redis;

pub use postgres::{PrivatePostgres, copy};
pub use process::Process;
pub use redis::PrivateRedis;

/// How long a private server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a start is tried again on another port: between finding a free port and using it, somebody
/// else may take it.
const START_ATTEMPTS: u32 = 5;

/// A free port of 127.0.0.1, below the range from which systems choose ports for outgoing connections
/// (32768 and up on Linux): a server that is restarted on its port must not find it taken by a client that
/// tries to reach it.
///
/// # Errors
/// If there is none.
pub fn free_port() -> anyhow::Result<u16> {
    const FIRST: u16 = 16_000;
    const COUNT: u16 = 16_000;
    // Processes begin at different places, calls in one process go on from the last.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT / 16)) as u16 * 16;
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port between 16000 and 31999 on 127.0.0.1")
}

/// Starts a server on a free port; on another one, if somebody has taken it meanwhile.
fn on_free_port(mut start: impl FnMut(u16) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut attempts = 1;
    loop {
        let port = free_port()?;
        let is_taken = || TcpListener::bind(("127.0.0.1", port)).is_err();
        match start(port) {
            Err(_) if attempts < START_ATTEMPTS && is_taken() => attempts += 1,
            ended => return ended,
        }
    }
}

/// Waits until `ready` says so; fails with what it waited for after `limit`.
///
/// # Errors
/// When the time is over, or the first error of `ready`.
pub fn wait_until(limit: Duration, what: &str, mut ready: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    while !ready()? {
        anyhow::ensure!(Instant::now() < end, "waited {} s for {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The programs of that name in PATH. Links are not followed: some programs decide by their name what they
/// are, `redis-server` is one.
fn in_path(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).filter(|file| file.is_file()).collect()
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

//! `pawl drill recovery`: the recovery runbook as one command.
//!
//! ```text
//!  start what is needed ─▶ submit ─▶ wait until a checkpoint has moved ─▶ kill -9 the worker
//!        ─▶ start a replacement ─▶ requeue ─▶ wait for the end ─▶ verify in Postgres and Redis ─▶ summary
//! ```
//!
//! A drill that fails writes its summary too, with the reason. What the drill has started is stopped when it
//! ends, also by an error or Ctrl-C.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use pawl_api::client::Trust;
use pawl_queue::RedisConfig;

mod recovery;
mod servers;
mod summary;

pub use summary::{Check, Summary};

use servers::Servers;

/// How the drill is played.
#[derive(Debug)]
pub struct Recovery {
    /// Where the summary, the history of the run and the logs go.
    pub artifacts_dir: PathBuf,
    /// How long the task computes.
    pub task_length: Duration,
    /// The port of the API that is started; a free one if there is none.
    pub port: Option<u16>,
    /// The Postgres and Redis to be used, as they are reached, in place of private ones.
    pub existing_services: Option<(String, RedisConfig)>,
    /// The API to be used, which works on the same servers, in place of one that is started.
    pub existing_coordinator: Option<String>,
    /// The token of the API.
    pub api_token: Option<String>,
    /// Whom its clients trust, if it speaks TLS.
    pub trust: Trust,
    /// Stop what was started when all is done.
    pub shutdown_after: bool,
    /// Work on the queue `default`, which others may use too: its depth is then told, not checked.
    pub shared_queue: bool,
    /// Where built components are (batch.wasm).
    pub plugins_dir: PathBuf,
}

/// Plays the drill, and writes what was found into the folder of artifacts.
///
/// # Errors
/// If the summary can't be written. What goes wrong in the drill itself stands in the summary.
pub async fn recovery(drill: &Recovery) -> anyhow::Result<Summary> {
    let folder = &drill.artifacts_dir;
    std::fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
    let mut servers = Servers::new(drill)?;
    let mut summary = Summary::default();
    let ended = recovery::play(drill, &mut servers, &mut summary).await;
    summary.fail_with(ended.as_ref().err());
    summary.write(folder)?;
    if drill.shutdown_after {
        servers.stop();
    } else {
        servers.leave_running();
    }
    Ok(summary)
}

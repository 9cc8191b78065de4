//! The shell into which a runbook is pasted: one bash for a page, which keeps variables and jobs from block to block. Servers,
//! the API and workers are started by `docker compose` there. In its place stands a program that asks the test, which starts
//! real ones ([`super::compose`]).
//!
//! ```text
//!  test ──block-N──▶ bash ──▶ pawl, psql, curl, …
//!   ▲ ◀──ended-N──    └─────▶ docker ──ID.asked──▶ test: starts it ──ID.answered──▶ docker
//! ```

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pawl_rehearsal::private::Process;
use pawl_tests::wait::{self, Look};
use pawl_tests::{Cluster, binary, bounds};
use rustix::process::{Pid, Signal, kill_process_group};

use super::compose;

/// Executes one block after the other, and notes how the first command ended that was not meant to fail there, or the last.
const DRIVER: &str = r#"
set -uE
trap '_code=$?' ERR
for ((_n = 0; ; _n++)); do
  until [ -e "$DESK/block-$_n" ]; do sleep 0.02; done
  _code=0
  . "$DESK/block-$_n" >"$DESK/said-$_n" 2>&1 </dev/null
  echo "$_code" >"$DESK/ending-$_n"; mv "$DESK/ending-$_n" "$DESK/ended-$_n"
done
"#;

const DOCKER: &str = r#"#!/usr/bin/env bash
set -euo pipefail
[ "$1 $2 $3" = "compose --file deploy/compose.yaml" ] || { echo "nobody knows: docker $*" >&2; exit 1; }
printf '%s\n' "${@:4}" >"$DESK/$$.asking"; mv "$DESK/$$.asking" "$DESK/$$.asked"
until [ -e "$DESK/$$.answered" ]; do sleep 0.02; done
cat "$DESK/$$.answered"
[ ! -e "$DESK/$$.refused" ]
"#;

/// Longer than any block of a page takes on a busy machine; the checklist alone may wait for five minutes.
const BLOCK: Duration = Duration::from_secs(330);

/// A shell; what it has started ends with it.
pub(super) struct Shell {
    process: Process,
    desk: PathBuf,
    blocks: usize,
}

impl Shell {
    /// One for somebody who keeps this cluster running, with more variables.
    pub(super) fn open(cluster: &Cluster, variables: &[(String, String)]) -> Result<Self> {
        let desk = cluster.folder().join("runbook");
        let tools = desk.join("bin");
        std::fs::create_dir_all(&tools)?;
        std::os::unix::fs::symlink(binary::programs()?.join("pawl"), tools.join("pawl"))?;
        std::fs::write(tools.join("docker"), DOCKER)?;
        std::fs::set_permissions(tools.join("docker"), std::fs::Permissions::from_mode(0o755))?;
        let driver = desk.join("driver");
        std::fs::write(&driver, DRIVER)?;
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAWL_")) {
            command.env_remove(name);
        }
        // The workers of these tests have short leases, and the one that a page starts by itself has, too.
        command.envs(cluster.environment()).env("PAWL_LEASE_MS", "1500").env("PAWL_SLOTS", "4");
        command.env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH")?)).env("DESK", &desk);
        command.envs(variables.iter().cloned()).arg(driver).current_dir(&desk);
        let process = Process::spawn("the shell", command, &cluster.log("shell"))?;
        Ok(Self { process, desk, blocks: 0 })
    }

    /// The folder in which it is.
    pub(super) fn folder(&self) -> &Path {
        &self.desk
    }

    /// Executes commands to their end; gives what they said and the exit code.
    pub(super) fn execute(&mut self, cluster: &mut Cluster, commands: &str) -> Result<(String, i32)> {
        let number = self.blocks;
        self.blocks += 1;
        let file = |name: &str| self.desk.join(format!("{name}-{number}"));
        std::fs::write(file("writing"), commands)?;
        std::fs::rename(file("writing"), file("block"))?;
        let said = || std::fs::read_to_string(file("said")).unwrap_or_default();
        let code = wait::until(BLOCK, "the commands to end", || {
            answer(&self.desk, cluster)?;
            self.process.ensure_running()?;
            Ok(match std::fs::read_to_string(file("ended")) {
                Ok(code) => Look::Done(code),
                Err(_) => Look::NotYet(said()),
            })
        })
        .with_context(|| format!("{commands}\nsaid:\n{}", said()))?;
        Ok((said(), code.trim().parse()?))
    }

    /// Ends what runs in it.
    pub(super) fn close(mut self, cluster: &mut Cluster) -> Result<()> {
        let (said, code) = self.execute(cluster, "jobs -p | xargs --no-run-if-empty kill; wait\n")?;
        ensure!(code == 0, "what runs in the shell ends when it is asked to: {said}");
        self.process.ensure_running()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Its children are of its group, and it leads that as long as nobody has waited for its end.
        if self.process.is_running()
            && let Some(group) = i32::try_from(self.process.pid()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Does what `docker` was asked for meanwhile.
fn answer(desk: &Path, cluster: &mut Cluster) -> Result<()> {
    for entry in std::fs::read_dir(desk)? {
        let asked = entry?.path();
        if asked.extension().is_none_or(|it| it != "asked") {
            continue;
        }
        let words = std::fs::read_to_string(&asked)?;
        let words: Vec<&str> = words.lines().collect();
        let said = compose::carry_out(cluster, &words).unwrap_or_else(|error| {
            // Seen by the commands' exit code; a file that is not written is, too.
            let _ = std::fs::write(asked.with_extension("refused"), "");
            format!("{error:#}\n")
        });
        std::fs::remove_file(&asked)?;
        std::fs::write(asked.with_extension("answering"), said)?;
        std::fs::rename(asked.with_extension("answering"), asked.with_extension("answered"))?;
    }
    Ok(())
}

/// How long a page's worker may take to be ready.
pub(super) fn until_ready(cluster: &Cluster, worker: &str) -> Result<()> {
    let log = cluster.log(worker);
    wait::until_true(bounds::PROCESS, "a worker to be ready", || {
        Ok(std::fs::read_to_string(&log).unwrap_or_default().contains("the worker is ready"))
    })
}

//! docs/deploy.md as somebody follows it: each block is pasted into a shell, in a copy of `deploy/`. Docker and a cluster are
//! not there: in their place stand small scripts that let Compose, kubectl and the linter read what is given to them, refuse a
//! flag that these do not have, and start nothing. (What is started is tested in deployed.rs.)

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use pawl_tests::deployed::tool;
use pawl_tests::{Cluster, binary};

/// `docker`: what it builds is linted, what Compose is told is read by Compose.
const DOCKER: &str = r#"
has() { # a command, its flags
  local help=$("$COMPOSE" "$1" --help); shift
  for flag in "$@"; do
    case $flag in --*) grep -q -- "${flag%%=*}" <<<"$help" || { echo "there is no flag $flag" >&2; exit 1; };; esac
  done
}
case "$1 ${2:-}" in
  "build --file") "$HADOLINT" "$3"; [ "$4" = --tag ] && [ -d "$6" ];;
  "push registry."*) ;;
  "compose --file") "$COMPOSE" --file "$3" config --quiet; has "${@:4}";;
  *) echo "nobody knows: docker $*" >&2; exit 1;;
esac
"#;

/// `kubectl`: what is applied is built, what is created is made without a cluster.
const KUBECTL: &str = r#"
has() { # a command, its flags
  local help=$("$REAL_KUBECTL" $1 --help; "$REAL_KUBECTL" options); shift
  for flag in "$@"; do
    case $flag in --*) grep -q -- "${flag%%=*}" <<<"$help" || { echo "there is no flag $flag" >&2; exit 1; };; esac
  done
}
case "$*" in
  "apply --kustomize "*) has apply "$@"; "$REAL_KUBECTL" kustomize "$3" >/dev/null;;
  *" create secret generic "*) "$REAL_KUBECTL" "$@" --dry-run=client --output=json > made.json;;
  "create namespace "*) "$REAL_KUBECTL" "$@" --dry-run=client --output=name;;
  *" delete job "*) has delete "$@";;
  *" rollout status "*) has "rollout status" "$@";;
  *) echo "nobody knows: kubectl $*" >&2; exit 1;;
esac
"#;

fn program(folder: &Path, name: &str, script: &str) -> Result<()> {
    let file = folder.join(name);
    std::fs::write(&file, format!("#!/usr/bin/env bash\nset -euo pipefail\n{script}"))?;
    Ok(std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map(drop)?;
        }
    }
    Ok(())
}

#[test]
fn each_command_of_the_page_is_one() -> Result<()> {
    let page = std::fs::read_to_string(binary::repository().join("docs/deploy.md"))?;
    let blocks: Vec<&str> = page.split("```\n").skip(1).step_by(2).collect();
    ensure!(blocks.len() >= 6 && page.matches("```").count() == 2 * blocks.len(), "plain blocks, and no others");
    let cluster = Cluster::start("deploy_page")?;
    let dir = tempfile::tempdir()?;
    let tools = dir.path().join("bin");
    std::fs::create_dir(&tools)?;
    program(&tools, "docker", DOCKER)?;
    program(&tools, "kubectl", KUBECTL)?;
    std::os::unix::fs::symlink(binary::programs()?.join("pawl"), tools.join("pawl"))?;
    copy(&binary::repository().join("deploy"), &dir.path().join("deploy"))?;

    let script = format!("set -euo pipefail\n{}\ncat made.json\n", blocks.concat());
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(dir.path()).stdin(Stdio::null()).envs(cluster.environment());
    shell.env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH")?)).env_remove("POSTGRES_PASSWORD");
    for (name, it) in [("COMPOSE", "docker-compose"), ("HADOLINT", "hadolint"), ("REAL_KUBECTL", "kubectl")] {
        shell.env(name, tool(it)?);
    }
    let ended = shell.output()?;
    let (said, told) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    ensure!(ended.status.success(), "{}\n{said}\n{told}", ended.status);
    ensure!(said.lines().any(|line| line == "ready"), "`pawl ready` has asked: {said}");
    for key in ["database-url", "redis-url", "api-token"] {
        ensure!(said.contains(&format!("\"{key}\": ")), "the Secret has {key}: {said}");
    }
    ensure!(!dir.path().join("secret").exists(), "no password is left behind");
    cluster.finish()
}

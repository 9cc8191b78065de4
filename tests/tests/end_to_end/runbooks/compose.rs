//! What `docker compose` does in a runbook, done with the private servers and the processes of a test: it starts what does not
//! run, as many workers as are asked for, and shows logs. It knows the words that stand in runbooks, and refuses others.

use anyhow::{Context as _, Result, bail, ensure};
use pawl_tests::wait::{self, Look};
use pawl_tests::{Cluster, binary, bounds};

use super::shell;

/// How many workers there are, unless somebody asks for more: the replicas of deploy/compose.yaml.
const WORKERS: usize = 2;

/// Carries out the words after `docker compose --file deploy/compose.yaml`, and returns what is said.
pub(super) fn carry_out(cluster: &mut Cluster, words: &[&str]) -> Result<String> {
    let (verb, rest) = words.split_first().context("a verb")?;
    match *verb {
        "up" => up(cluster, rest),
        "logs" => {
            let ["--tail", lines, service] = rest else { bail!("nobody knows: logs {rest:?}") };
            logs(cluster, lines.parse()?, service)
        }
        other => bail!("nobody knows: {other} {rest:?}"),
    }
}

/// `up --detach [--wait] [--scale worker=N] SERVICE…`.
fn up(cluster: &mut Cluster, words: &[&str]) -> Result<String> {
    let (mut detach, mut workers, mut services) = (false, WORKERS, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--detach" => detach = true,
            // Everything that is started here is waited for.
            "--wait" => {}
            "--scale" => {
                let scale = words.next().and_then(|scale| scale.strip_prefix("worker=")).context("--scale worker=N")?;
                workers = scale.parse()?;
            }
            service => services.push(service),
        }
    }
    ensure!(detach && !services.is_empty(), "a runbook names what it starts, and goes on");
    for service in &services {
        is_a_service(service)?;
        match *service {
            "postgres" => postgres(cluster)?,
            "redis" if !cluster.redis_server.is_running() => cluster.redis_server.launch()?,
            "api" if !cluster.api_is_running() => cluster.start_api(&[])?,
            "worker" => scale(cluster, workers)?,
            "redis" | "api" => {}
            other => bail!("nobody knows how to start {other}"),
        }
    }
    Ok(String::new())
}

fn is_a_service(name: &str) -> Result<()> {
    let file = std::fs::read_to_string(binary::repository().join("deploy/compose.yaml"))?;
    ensure!(file.lines().any(|line| line == format!("  {name}:")), "deploy/compose.yaml has no service {name}");
    Ok(())
}

fn postgres(cluster: &mut Cluster) -> Result<()> {
    if !cluster.postgres.is_running() {
        cluster.postgres.launch()?;
    }
    // It may run, and still be recovering.
    let database = &cluster.database;
    wait::until(bounds::PROCESS, "Postgres to answer", || {
        Ok(match database.value::<i32>("select 1") {
            Ok(_) => Look::Done(()),
            Err(error) => Look::NotYet(format!("{error:#}")),
        })
    })
}

fn scale(cluster: &mut Cluster, workers: usize) -> Result<()> {
    let running = cluster.running_workers();
    for name in running.iter().skip(workers) {
        let status = cluster.the(name)?.terminate(bounds::PROCESS)?;
        ensure!(status.success(), "worker {name} ended with {status}");
    }
    let names = (0..).map(|number| format!("composed-{number}")).filter(|name| !cluster.log(name).exists());
    let started: Vec<String> = names.take(workers.saturating_sub(running.len())).collect();
    for name in &started {
        cluster.worker(name).start()?;
    }
    started.iter().try_for_each(|name| shell::until_ready(cluster, name))
}

fn logs(cluster: &Cluster, lines: usize, service: &str) -> Result<String> {
    is_a_service(service)?;
    let files = match service {
        "postgres" => vec![cluster.postgres.log()],
        "redis" => vec![cluster.redis_server.log()],
        "api" => vec![cluster.log("api")],
        _ => {
            let of_workers =
                |file: &std::path::PathBuf| file.file_stem().is_some_and(|name| name != "api" && name != "shell");
            let all = std::fs::read_dir(cluster.folder().join("logs"))?.map(|entry| Ok(entry?.path()));
            all.collect::<Result<Vec<_>>>()?.into_iter().filter(of_workers).collect()
        }
    };
    let mut said = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let all: Vec<&str> = text.lines().collect();
        for line in &all[all.len().saturating_sub(lines)..] {
            said.push_str(&format!("{service}  | {line}\n"));
        }
    }
    Ok(said)
}

//! A whole installation of Pawl of a test's own: Postgres, Redis, the API and any number of workers, all as
//! processes, all in one folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Context as _;
use pawl_api::types::{RunStatus, SubmittedRun};
use pawl_domain::id::RunId;
use pawl_rehearsal::private::{PrivatePostgres, PrivateRedis, Process, free_port};
use serde_json::Value;

use crate::wait::{self, Look};
use crate::worker::{Description, Worker};
use crate::{Client, Database, Redis, binary, bounds, ending, runtime};

mod finish;
mod template;

/// All that is public, and this machine.
const EVERYWHERE: &str = "http://*:*,https://*:*,http://localhost:*,https://localhost:*";

/// A running installation. Dropped without [`Self::finish`], it stops everything and keeps its folder.
#[derive(Debug)]
pub struct Cluster {
    // Workers and the API end before the servers: fields are dropped in this order.
    workers: BTreeMap<String, Worker>,
    api: Option<Process>,
    /// Its Postgres server.
    pub postgres: PrivatePostgres,
    /// Its Redis server.
    pub redis_server: PrivateRedis,
    /// A user.
    pub client: Client,
    /// Eyes in Postgres.
    pub database: Database,
    /// Hands in Redis.
    pub redis: Redis,
    folder: PathBuf,
    /// Another build than the one beside this program.
    build: Option<PathBuf>,
    api_address: String,
    /// For all processes, besides those that every installation has, or in their place.
    settings: BTreeMap<String, String>,
    finished: bool,
}

impl Cluster {
    /// Starts Postgres, Redis and the API, without workers; `name` is that of the test.
    ///
    /// # Errors
    /// If anything of it does not start.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        Self::start_in(Self::folder_of(name)?)
    }

    /// The same by another build.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_by(build: PathBuf, name: &str) -> anyhow::Result<Self> {
        Self::start_all(Self::folder_of(name)?, Some(build))
    }

    fn folder_of(name: &str) -> anyhow::Result<PathBuf> {
        Ok(binary::programs()?.join("tests").join(format!("{name}-{}", std::process::id())))
    }

    /// The same in a folder of the caller's choice.
    ///
    /// # Errors
    /// If anything of it does not start.
    pub fn start_in(folder: PathBuf) -> anyhow::Result<Self> {
        Self::start_all(folder, None)
    }

    fn start_all(folder: PathBuf, build: Option<PathBuf>) -> anyhow::Result<Self> {
        ending::stop_children_when_interrupted();
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("can't empty {}", folder.display()))?;
        }
        let postgres = template::start(&folder.join("postgres"), build.is_none())?;
        let redis_server = PrivateRedis::start(&folder.join("redis"))?;
        let api_address = format!("127.0.0.1:{}", free_port()?);
        let mut cluster = Self {
            workers: BTreeMap::new(),
            api: None,
            client: Client::new(format!("http://{api_address}"))?,
            database: Database::new(&postgres.url().replace("//pawl@", "//observer@"))?,
            redis: Redis::new(&redis_server.url())?,
            postgres,
            redis_server,
            folder,
            build,
            api_address,
            settings: BTreeMap::new(),
            finished: false,
        };
        match &cluster.build {
            // A copy is an installation of its own: see `migrations/0019_installation.sql`.
            None => cluster.database.execute("update installation set id = gen_random_uuid()")?,
            Some(_) => {
                cluster.pawl(&["migrate"])?;
                cluster.database.execute("select pawl_assert_states_v1()")?;
            }
        }
        cluster.start_api(&[])?;
        Ok(cluster)
    }

    /// The settings that every Pawl process of this installation has.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let setting = |name: &str, value: String| (name.to_owned(), value);
        let usual = [
            setting("PAWL_DATABASE_URL", self.postgres.url()),
            setting("PAWL_REDIS_URL", self.redis_server.url()),
            setting("PAWL_LISTEN", self.api_address.clone()),
            setting("PAWL_API_URL", format!("http://{}", self.api_address)),
            // The outside of tests is on this machine, and their pipelines say what they are about.
            setting("PAWL_OUTSIDE_HOSTS", EVERYWHERE.to_owned()),
            setting("PAWL_DEFAULT_ALLOW", EVERYWHERE.to_owned()),
            // Components are compiled once for all tests; the cache is safe to share.
            setting("PAWL_CACHE_DIR", self.cache_folder().display().to_string()),
        ];
        let mut all = BTreeMap::from(usual);
        all.extend(self.settings.clone());
        all.into_iter().collect()
    }

    /// Another setting, or another value for one, for all processes that start from now on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    /// Of which build all processes are that start from now on; none: of the one beside this program.
    pub fn use_build(&mut self, build: Option<PathBuf>) {
        self.build = build;
    }

    /// A `pawl` command of this installation.
    ///
    /// # Errors
    /// If it isn't built.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = self.build.as_deref().map_or_else(binary::pawl, |file| Ok(binary::pawl_at(file)))?;
        command.envs(self.environment());
        Ok(command)
    }

    /// Another Redis in place of its own, for all processes that start from now on, and for the test's own eyes.
    ///
    /// # Errors
    /// If the URL is not one.
    pub fn use_redis(&mut self, url: &str) -> anyhow::Result<()> {
        self.redis = Redis::new(url)?;
        self.set("PAWL_REDIS_URL", url);
        Ok(())
    }

    /// The key of a stream of this installation.
    ///
    /// # Errors
    /// If the database does not say whose it is.
    pub fn stream(&self, queue: &str, priority: &str) -> anyhow::Result<String> {
        let installation: String = self.database.value("select id::text from installation")?;
        Ok(format!("pawl:{{{installation}}}:q:{queue}:{priority}"))
    }

    fn cache_folder(&self) -> PathBuf {
        self.folder.parent().unwrap_or(&self.folder).join("component-cache")
    }

    /// Where a process writes what it says.
    #[must_use]
    pub fn log(&self, process: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{process}.log"))
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the API with more settings, or again with others, and waits until it answers.
    ///
    /// # Errors
    /// If it doesn't.
    pub fn start_api(&mut self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        self.api = None;
        let mut command = self.command()?;
        command.arg("api").envs(settings.iter().copied());
        let mut api = Process::spawn("api", command, &self.log("api"))?;
        let client = self.client.clone();
        wait::until_true(bounds::PROCESS, "the API to answer", || {
            api.ensure_running()?;
            Ok(client.get("/health").is_ok_and(|answer| answer.status == 200))
        })?;
        self.api = Some(api);
        Ok(())
    }

    /// The API's process.
    ///
    /// # Errors
    /// If it isn't running.
    pub fn api(&mut self) -> anyhow::Result<&mut Process> {
        self.api.as_mut().context("the API is not running")
    }

    /// Whether the API's process has not ended.
    pub fn api_is_running(&mut self) -> bool {
        self.api.as_mut().is_some_and(Process::is_running)
    }

    /// Runs a `pawl` command to its end; it must succeed.
    ///
    /// # Errors
    /// If it doesn't, with what it said.
    pub fn pawl(&self, words: &[&str]) -> anyhow::Result<String> {
        binary::succeeded(words, self.try_pawl(words)?)
    }

    /// Runs a `pawl` command to its end, whatever that is.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn try_pawl(&self, words: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command()?.args(words).output()?)
    }

    /// Pushes `target/plugins/NAME.wasm` under its name, as version 1.
    ///
    /// # Errors
    /// If it isn't built or is refused.
    pub fn push(&self, name: &str) -> anyhow::Result<()> {
        self.push_as(name, name, "1")
    }

    /// Pushes a component as a version of a plugin and activates it.
    ///
    /// # Errors
    /// If it isn't built or is refused.
    pub fn push_as(&self, component: &str, plugin: &str, version: &str) -> anyhow::Result<()> {
        let file = binary::component_file(component)?;
        anyhow::ensure!(file.is_file(), "{} is missing: run `make guests`", file.display());
        let file = file.to_string_lossy();
        self.pawl(&["plugin", "push", &file, "--name", plugin, "--version", version]).map(drop)
    }

    /// Applies a pipeline that is given as TOML.
    ///
    /// # Errors
    /// If it is refused.
    pub fn apply(&self, toml: &str) -> anyhow::Result<()> {
        let file = self.folder.join("pipeline.toml");
        std::fs::write(&file, toml)?;
        self.pawl(&["pipeline", "apply", &file.to_string_lossy()]).map(drop)
    }

    /// Describes a worker to start.
    pub fn worker(&mut self, name: &str) -> Description<'_> {
        Description::new(self, name)
    }

    pub(crate) fn add_worker(&mut self, name: String, worker: Worker) {
        self.workers.insert(name, worker);
    }

    /// The worker of that name, running or dead.
    ///
    /// # Errors
    /// If there was none.
    pub fn the(&mut self, name: &str) -> anyhow::Result<&mut Worker> {
        self.workers.get_mut(name).with_context(|| format!("there is no worker {name}"))
    }

    /// The workers whose processes have not ended, stopped ones among them.
    pub fn running_workers(&mut self) -> Vec<String> {
        let running = self.workers.iter_mut().filter_map(|(name, worker)| worker.is_running().then(|| name.clone()));
        running.collect()
    }

    /// The worker that executes a step now; waits until there is one.
    ///
    /// # Errors
    /// If there is none within `bound`.
    pub fn holder(&mut self, run: RunId, step: &str, bound: Duration) -> anyhow::Result<String> {
        let pid = wait::until(bound, &format!("a worker to hold step {step}"), || {
            Ok(self.database.pid_of_step(run, step)?.map_or_else(|| Look::NotYet("none".to_owned()), Look::Done))
        })?;
        let holder = self.workers.iter().find(|(_, worker)| worker.pid() == pid);
        holder.map(|(name, _)| name.clone()).with_context(|| format!("no worker of this cluster has the pid {pid}"))
    }

    /// Waits until a worker has ended by itself, as at a fault point.
    ///
    /// # Errors
    /// If it hasn't within `bound`.
    pub fn dies(&mut self, name: &str, bound: Duration) -> anyhow::Result<()> {
        let worker = self.the(name)?;
        let status = worker.wait(bound)?;
        anyhow::ensure!(status.is_some(), "worker {name} did not end within {} s", bound.as_secs());
        Ok(())
    }

    /// Submits a run.
    ///
    /// # Errors
    /// If it isn't accepted.
    pub fn submit(&self, pipeline: &str, input: &Value) -> anyhow::Result<RunId> {
        let answer = runtime::block_on(self.client.try_submit(pipeline, input, None))?;
        Ok(answer.read::<SubmittedRun>()?.id)
    }

    /// Waits until a run has ended.
    ///
    /// # Errors
    /// If it hasn't within `bound`, with what is known about it.
    pub fn ends(&self, run: RunId, bound: Duration) -> anyhow::Result<RunStatus> {
        let sql = format!("select status from run where id = '{run}'");
        let look = || {
            // The server may be away for a while: some tests want that.
            let status = self.database.value::<String>(&sql).unwrap_or_else(|error| error.to_string());
            Ok(match status.parse::<RunStatus>() {
                Ok(status) if status.is_ended() => Look::Done(status),
                _ => Look::NotYet(status),
            })
        };
        wait::until(bound, &format!("run {run} to end"), look).with_context(|| self.story(run))
    }

    /// Waits until a run has succeeded.
    ///
    /// # Errors
    /// If it ends otherwise or not within `bound`, with what is known about it.
    pub fn succeeds(&self, run: RunId, bound: Duration) -> anyhow::Result<()> {
        let status = self.ends(run, bound)?;
        anyhow::ensure!(status == RunStatus::Succeeded, "run {run} ended as {status}\n{}", self.story(run));
        Ok(())
    }

    /// Waits until all these runs have succeeded.
    ///
    /// # Errors
    /// If one ends otherwise or not within `bound`.
    pub fn all_succeed(&self, runs: &[RunId], bound: Duration) -> anyhow::Result<()> {
        wait::until(bound, &format!("{} runs to end", runs.len()), || {
            let left = self.database.value::<i64>("select count(*) from run where ended_at is null");
            Ok(match left {
                Ok(0) => Look::Done(()),
                Ok(left) => Look::NotYet(format!("{left} have not")),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .with_context(|| self.first_story("select id::text from run where ended_at is null limit 1"))?;
        let others = "select id::text from run where status <> 'succeeded' limit 1";
        anyhow::ensure!(self.database.lines(others)?.is_empty(), "{}", self.first_story(others));
        anyhow::ensure!(self.database.count_runs(runs)? == runs.len(), "a submitted run does not exist");
        Ok(())
    }

    /// What is known about a run, for error messages: its steps and its events.
    #[must_use]
    pub fn story(&self, run: RunId) -> String {
        let steps = self.database.lines(&format!(
            "select format('step %s: %s, attempts %s, failures %s, crashes %s, fence %s, journal %s, error %s', step_no, \
             status, attempts, failures, crashes, fence, journal_length, coalesce(convert_from(error, 'UTF8'), '-')) \
             from step where run_id = '{run}' order by step_no limit 20"
        ));
        let events = self.client.events(run).map(|events| {
            events
                .iter()
                .map(|event| {
                    let step = event.step.as_deref().unwrap_or("");
                    format!("{} {} {step} {}", event.number, event.kind, event.note.as_deref().unwrap_or(""))
                })
                .collect::<Vec<_>>()
        });
        format!("run {run}\n{}\n{}", lines_or_error(steps), lines_or_error(events))
    }

    fn first_story(&self, sql: &str) -> String {
        let found = self.database.lines(sql).ok().and_then(|lines| lines.first()?.parse().ok());
        found.map_or_else(|| "nothing is known".to_owned(), |run| self.story(run))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        ending::stay_silent_if_interrupted();
        self.workers.clear();
        self.api = None;
        if self.finished {
            // What can't be removed now is in the target folder and does no harm.
            let _ = std::fs::remove_dir_all(&self.folder);
        } else {
            eprintln!("logs are kept in {}", self.folder.join("logs").display());
        }
    }
}

fn lines_or_error(lines: anyhow::Result<Vec<String>>) -> String {
    lines.map_or_else(|error| format!("  ({error})"), |lines| lines.iter().map(|line| format!("  {line}\n")).collect())
}

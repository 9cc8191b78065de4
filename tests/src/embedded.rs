//! A `pawl dev` of a test's own: one process and one folder. It is killed and started again as the same
//! installation, and its store is looked at from outside while no process has it.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pawl_api::types::{RunStatus, SubmittedRun};
use pawl_domain::id::RunId;
use pawl_rehearsal::private::{Process, free_port};
use pawl_store::{SharedStore, Sqlite};
use serde_json::Value;

use crate::runtime::block_on;
use crate::wait::{self, Look};
use crate::{Client, Target, binary, bounds, ending};

/// A running installation in one process. Dropped without [`Self::finish_with`], it stops and keeps its folder.
#[derive(Debug)]
pub struct Embedded {
    process: Option<Process>,
    /// A user.
    pub client: Client,
    folder: PathBuf,
    address: String,
    starts: u32,
    finished: bool,
}

impl Embedded {
    /// Makes the folder of an installation, with these components and this pipeline; starts nothing yet.
    ///
    /// # Errors
    /// If a component isn't built.
    pub fn prepare(folder: PathBuf, components: &[&str], pipeline: &str) -> anyhow::Result<Self> {
        ending::stop_children_when_interrupted();
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("can't empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(folder.join("plugins"))?;
        std::fs::create_dir_all(folder.join("pipelines"))?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let client = Client::new(format!("http://{address}"))?;
        let embedded = Self { process: None, client, folder, address, starts: 0, finished: false };
        for component in components {
            embedded.put_component(component, component)?;
        }
        embedded.put_pipeline(pipeline)?;
        Ok(embedded)
    }

    /// The same for a test of that name, started.
    ///
    /// # Errors
    /// If anything of it does not start.
    pub fn start(name: &str, components: &[&str], pipeline: &str) -> anyhow::Result<Self> {
        let folder = binary::programs()?.join("tests").join(format!("{name}-{}", std::process::id()));
        let mut embedded = Self::prepare(folder, components, pipeline)?;
        embedded.start_process(&[])?;
        Ok(embedded)
    }

    /// Puts the component of a guest into the plugins' folder, in place of `file` if that is there.
    ///
    /// # Errors
    /// If it isn't built.
    pub fn put_component(&self, component: &str, file: &str) -> anyhow::Result<()> {
        let bytes = binary::component(component)?;
        let target = self.folder.join("plugins").join(format!("{file}.wasm"));
        // Whole or not at all, as a build does it.
        let partial = target.with_extension("partial");
        std::fs::write(&partial, bytes)?;
        Ok(std::fs::rename(partial, target)?)
    }

    /// Writes the file of the pipeline.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn put_pipeline(&self, toml: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.folder.join("pipelines/pipeline.toml"), toml)?)
    }

    /// Starts the process, with more settings, and waits until its plugins and pipelines are there.
    ///
    /// # Errors
    /// If they don't come.
    pub fn start_process(&mut self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        self.starts += 1;
        let mut command = binary::pawl()?;
        command.arg("dev").args(["--listen", &self.address, "--data"]).arg(self.data());
        command.arg("--plugins").arg(self.folder.join("plugins"));
        command.arg("--pipelines").arg(self.folder.join("pipelines"));
        command.env("PAWL_CACHE_DIR", self.folder.parent().unwrap_or(&self.folder).join("component-cache"));
        command.envs(settings.iter().copied());
        let log = self.log();
        self.process = Some(Process::spawn("pawl dev", command, &log)?);
        self.said("ready at ")?;
        self.client.show(std::fs::read_to_string(self.data().join("token"))?);
        Ok(())
    }

    /// What this start of the process has said so far.
    ///
    /// # Errors
    /// If its log can't be read.
    pub fn text(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.log())?)
    }

    /// Waits until the process has said something; not if it has ended before.
    ///
    /// # Errors
    /// If it doesn't.
    pub fn said(&mut self, what: &str) -> anyhow::Result<()> {
        wait::until(bounds::RUN, &format!("pawl dev to say {what:?}"), || {
            let text = self.text()?;
            if text.contains(what) {
                return Ok(Look::Done(()));
            }
            self.process()?.ensure_running()?;
            Ok(Look::NotYet(text.lines().last().unwrap_or("nothing").to_owned()))
        })
    }

    /// The process.
    ///
    /// # Errors
    /// If it was not started.
    pub fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("pawl dev was not started")
    }

    /// Runs a `pawl` command against it to its end, whatever that is.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn try_pawl(&self, words: &[&str]) -> anyhow::Result<Output> {
        let api = format!("http://{}", self.address);
        Ok(binary::pawl()?.args(words).env("PAWL_API_URL", api).output()?)
    }

    /// Its store, read while no process has it.
    ///
    /// # Errors
    /// If one has.
    pub fn store(&self) -> anyhow::Result<SharedStore> {
        Ok(Arc::new(Sqlite::open(&self.data())?))
    }

    /// Submits a run.
    ///
    /// # Errors
    /// If it isn't accepted.
    pub fn submit(&self, pipeline: &str, input: &Value) -> anyhow::Result<RunId> {
        Ok(block_on(self.client.try_submit(pipeline, input, None))?.read::<SubmittedRun>()?.id)
    }

    /// Waits until a run has succeeded.
    ///
    /// # Errors
    /// If it ends otherwise or not within `bound`.
    pub fn succeeds(&self, run: RunId, bound: Duration) -> anyhow::Result<()> {
        let status = wait::until(bound, &format!("run {run} to end"), || {
            // The process may be dying just now.
            Ok(match self.client.run(run) {
                Ok(run) if run.summary.status.is_ended() => Look::Done(run.summary.status),
                Ok(run) => Look::NotYet(run.summary.status.to_string()),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        })?;
        anyhow::ensure!(status == RunStatus::Succeeded, "run {run} ended as {status}: {:?}", self.client.events(run));
        Ok(())
    }

    /// Stops the process, which must end politely, checks all promises over its store, and removes the folder.
    ///
    /// # Errors
    /// If a promise is broken, or the process panicked or does not end.
    pub fn finish_with(mut self, targets: &[&Target]) -> anyhow::Result<()> {
        let answered = self.client.answered();
        let status = self.process()?.terminate(bounds::PROCESS)?;
        anyhow::ensure!(status.success(), "pawl dev ended with {status} when asked to end");
        let store = self.store()?;
        let mut violations: Vec<String> = block_on(store.doctor(Duration::ZERO, true))?
            .into_iter()
            .map(|violation| format!("{}: {}", violation.invariant, violation.what))
            .collect();
        for run in answered {
            if block_on(store.run_alone(run)).is_err() {
                violations.push(format!("10: the submission of run {run} was answered, and it does not exist"));
            }
        }
        violations.extend(targets.iter().flat_map(|target| target.violations()).map(|line| format!("8: {line}")));
        anyhow::ensure!(violations.is_empty(), "broken promises:\n{}", violations.join("\n"));
        for start in 1..=self.starts {
            let text = std::fs::read_to_string(self.folder.join(format!("pawl-dev-{start}.log")))?;
            anyhow::ensure!(!text.contains("panicked at"), "pawl dev panicked:\n{text}");
        }
        self.finished = true;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("pawl-dev-{}.log", self.starts))
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        ending::stay_silent_if_interrupted();
        self.process = None;
        if self.finished {
            // What can't be removed now is in the target folder and does no harm.
            let _ = std::fs::remove_dir_all(&self.folder);
        } else {
            eprintln!("logs are kept in {}", self.folder.display());
        }
    }
}

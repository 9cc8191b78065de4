//! Builds, checks and activates what has changed, one change after the other:
//!
//! ```text
//!  file changes ──▶ build ──▶ push (the API validates it) ──▶ active: the next submission runs on it
//!                     │ fails        │ refused
//!                     └──────────────┴──▶ told; the version before stays active
//! ```
//!
//! It is a client of the API like any other. A version is named by what it is made of, so that nothing that a run
//! stands on is ever overwritten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pawl_api::client::{Client, Error};
use pawl_domain::id::Digest;
use pawl_domain::pipeline_file::{self, Format};

use super::super::output::size;
use super::super::plugin_build;
use super::changes::Changes;
use super::sources::Sources;

/// Pause between looks whether the API answers.
const PAUSE: Duration = Duration::from_millis(10);

/// Brings everything up to date, then follows changes, for ever.
pub(super) async fn run(client: Client, sources: Sources) {
    let mut changes = match Changes::begin(&sources) {
        Ok(changes) => changes,
        Err(error) => return eprintln!("{error:#}"),
    };
    while client.get::<serde_json::Value>(&["health"], &[]).await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    let reload = Reload { client, sources };
    reload.all().await;
    loop {
        let changed = changes.next(&reload.sources).await;
        reload.changed(&changed).await;
    }
}

struct Reload {
    client: Client,
    sources: Sources,
}

impl Reload {
    async fn all(&self) {
        for component in self.sources.components() {
            self.component(&component, Instant::now()).await;
        }
        self.plugins(self.sources.plugin_folders()).await;
        self.pipelines(&self.sources.pipeline_files()).await;
        eprintln!("ready: runs are submitted with `pawl run submit PIPELINE --input JSON --wait`");
    }

    async fn changed(&self, paths: &BTreeSet<PathBuf>) {
        let is_changed = |file: &&PathBuf| file.canonicalize().is_ok_and(|file| paths.contains(&file));
        let pipelines: Vec<PathBuf> = self.sources.pipeline_files().iter().filter(is_changed).cloned().collect();
        for component in self.sources.components().iter().filter(is_changed) {
            self.component(component, Instant::now()).await;
        }
        let is_of = |folder: &PathBuf, path: &PathBuf| {
            folder.canonicalize().is_ok_and(|folder| path.starts_with(folder)) && !is_pipeline(path, &pipelines)
        };
        let mut folders = self.sources.plugin_folders();
        folders.retain(|folder| paths.iter().any(|path| is_of(folder, path)));
        self.plugins(folders).await;
        self.pipelines(&pipelines).await;
    }

    async fn plugins(&self, folders: Vec<PathBuf>) {
        if folders.is_empty() {
            return;
        }
        let begun = Instant::now();
        // Together, they share what is compiled; if one of them does not build, the others should.
        match build(folders.clone()).await {
            Ok(built) => self.built(built, begun).await,
            Err(error) if folders.len() == 1 => not_active(&folders[0], &error),
            Err(_) => {
                for folder in folders {
                    match build(vec![folder.clone()]).await {
                        Ok(built) => self.built(built, begun).await,
                        Err(error) => not_active(&folder, &error),
                    }
                }
            }
        }
    }

    async fn built(&self, built: Vec<plugin_build::Built>, begun: Instant) {
        for component in built {
            self.component(&component.path, begun).await;
        }
    }

    /// Pushes a component and makes it the active version of its plugin.
    async fn component(&self, file: &Path, begun: Instant) {
        let pushed = async {
            let bytes = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
            let version = format!("dev-{}", Digest::of(&bytes).short());
            Ok::<_, anyhow::Error>(self.client.push(bytes, None, Some(&version), true).await?)
        };
        match pushed.await {
            Ok(pushed) => {
                let (name, version, size) = (&pushed.name, &pushed.version, size(pushed.size_bytes));
                eprintln!("plugin {name}@{version} is active ({size}, {:.1} s)", begun.elapsed().as_secs_f64());
            }
            Err(error) => not_active(file, &error),
        }
    }

    async fn pipelines(&self, files: &[PathBuf]) {
        for file in files {
            if let Err(error) = self.pipeline(file).await {
                eprintln!("{error:#}\n{} was not applied: the version before stays the current one", file.display());
            }
        }
    }

    async fn pipeline(&self, file: &Path) -> anyhow::Result<()> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| format!("can't read {name}"))?;
        match self.client.apply(&text, Format::of_file(&name)).await {
            Ok(applied) => {
                let steps = applied.step_count;
                eprintln!("pipeline {} ({steps} {})", applied.name, if steps == 1 { "step" } else { "steps" });
                Ok(())
            }
            Err(Error::Problem(problem)) if !problem.problems.is_empty() => {
                anyhow::bail!("{}", pipeline_file::render(&problem.problems, &name, &text).trim_end())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn is_pipeline(path: &Path, pipelines: &[PathBuf]) -> bool {
    pipelines.iter().any(|file| file.canonicalize().is_ok_and(|file| file == path))
}

fn not_active(what: &Path, error: &anyhow::Error) {
    eprintln!("{error:#}\n{} was not activated: the version before stays active", what.display());
}

async fn build(folders: Vec<PathBuf>) -> anyhow::Result<Vec<plugin_build::Built>> {
    tokio::task::spawn_blocking(move || plugin_build::build_many(&folders, plugin_build::Purpose::Development)).await?
}

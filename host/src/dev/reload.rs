//! Builds, checks and activates what has changed, one change after the other:
//!
//! ```text
//!  file changes ──▶ build ──▶ push (the API validates it) ──▶ active: the next submission runs on it
//!                     │ fails        │ refused
//!                     └──────────────┴──▶ told; the version before stays active
//! ```
//!
//! It is a client of the API like any other. A version is named by what it is made of, so that nothing that a run
//! stands on is ever overwritten. A pipeline that was refused is tried again whenever a plugin has come. Of several files with
//! a pipeline of one name none is applied: the last one would win, and nobody would know which that is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use pawl_api::client::{Client, Error};
use pawl_api::types::{PipelineList, PluginList};
use pawl_api::{Building, Unbuilt};
use pawl_base::tell;
use pawl_domain::id::Digest;
use pawl_domain::pipeline_file::{self, Format};
use tokio::sync::watch;

use super::super::busy::Busy;
use super::super::output::{size, steps};
use super::super::plugin_build::NotMade;
use super::super::plugin_test::{SOON, compiling};
use super::super::{pipeline_files, plugin_build};
use super::changes::Changes;
use super::report::{Report, What};
use super::sources::{Sources, is_same};

/// Pause between looks whether the API answers.
const PAUSE: Duration = Duration::from_millis(10);

/// Where it is built, and who hears of it.
pub(super) struct Place {
    /// For what several plugins share of their compilation.
    pub(super) target: PathBuf,
    /// The API, which lets submissions wait.
    pub(super) tell: watch::Sender<Building>,
    /// Where the API is, for people whose commands would not find it.
    pub(super) address: Option<String>,
}

/// Brings everything up to date, then follows changes, for ever.
pub(super) async fn run(client: Client, sources: Sources, place: Place) {
    let mut changes = match Changes::begin(&sources) {
        Ok(changes) => changes,
        Err(error) => {
            // Nothing will be built that anybody could wait for.
            place.tell.send_replace(Building::Done { failed: Vec::new(), behind: Unbuilt::default() });
            return tell!("{error:#}");
        }
    };
    while client.get::<serde_json::Value>(&["health"], &[]).await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    let mut reload = Reload { client, sources, place, report: Report::default() };
    let mut begun = SystemTime::now();
    reload.all().await;
    loop {
        // While it was built, nobody heard of what it read for the first time, and more may have been saved.
        let mut changed = changes.follow(&reload.sources, begun);
        changed.extend(changes.meanwhile(&reload.sources));
        if changed.is_empty() {
            reload.tell_done();
        }
        changed = changes.next(&reload.sources, changed, |paths| reload.tell_under_way(paths)).await;
        begun = SystemTime::now();
        reload.changed(&changed).await;
    }
}

struct Reload {
    client: Client,
    sources: Sources,
    place: Place,
    report: Report,
}

impl Reload {
    async fn all(&mut self) {
        let known = self.remember().await;
        for component in self.sources.components() {
            self.component(&component, &component, Instant::now()).await;
        }
        let folders = self.sources.plugin_folders();
        if !folders.is_empty() {
            tell!("building; the first time takes up to a minute");
        }
        self.plugins(folders).await;
        self.pipelines(&self.sources.pipeline_files()).await;
        if let Some(said) = self.report.made_by_nothing(&known, &Sources::names_of(self.report.failed_paths())) {
            tell!("{said}");
        }
        let url = self.client.base().as_str().trim_end_matches('/');
        tell!("{}", self.report.ready(url, self.place.address.as_deref()));
    }

    /// What was there before this process, by name.
    async fn remember(&mut self) -> Unbuilt {
        let mut known = Unbuilt::default();
        if let Ok(list) = self.client.get::<PluginList>(&["v1", "plugins"], &[]).await {
            let active = list.plugins.into_iter().filter(|plugin| plugin.active_version.is_some());
            known.plugins.extend(active.map(|plugin| plugin.name));
        }
        if let Ok(list) = self.client.get::<PipelineList>(&["v1", "pipelines"], &[]).await {
            known.pipelines.extend(list.pipelines.into_iter().map(|pipeline| pipeline.name));
        }
        for folder in self.sources.plugin_folders() {
            if plugin_build::name_of(&folder).is_some_and(|name| known.plugins.contains(&name)) {
                self.report.was_there(&folder);
            }
        }
        for file in self.sources.pipeline_files() {
            if pipeline_files::name_in(&file).is_some_and(|name| known.pipelines.contains(&name)) {
                self.report.was_there(&file);
            }
        }
        known
    }

    async fn changed(&mut self, paths: &BTreeSet<PathBuf>) {
        let is_changed = |file: &PathBuf| paths.iter().any(|path| is_same(file, path));
        let mut components = self.sources.components();
        components.retain(is_changed);
        for component in components {
            self.component(&component, &component, Instant::now()).await;
        }
        self.plugins(self.sources.plugins_of(paths)).await;
        let mut pipelines = self.sources.pipeline_files();
        pipelines.retain(|file| is_changed(file) || self.report.has_failed(file));
        self.pipelines(&pipelines).await;
        self.report.forget(|what| !what.exists());
        for said in self.report.left_behind() {
            tell!("{said}");
        }
    }

    fn tell_done(&self) {
        let behind = Sources::names_of(self.report.failed_paths());
        self.place.tell.send_replace(self.report.building(behind));
    }

    fn tell_under_way(&self, paths: &BTreeSet<PathBuf>) {
        let (unbuilt, failed) = (self.sources.unbuilt(paths), self.report.failures());
        self.place.tell.send_replace(Building::UnderWay { unbuilt, failed });
    }

    /// For those who wait for it, or look.
    fn tell_so_far(&self) {
        self.place.tell.send_modify(|building| {
            if let Building::UnderWay { failed, .. } = building {
                *failed = self.report.failures();
            }
        });
    }

    async fn plugins(&mut self, folders: Vec<PathBuf>) {
        if folders.is_empty() {
            return;
        }
        let begun = Instant::now();
        // Together, they share what is compiled; if one of them does not build, the others should.
        match self.build(folders.clone()).await {
            Ok(built) => self.built(&folders, built, begun).await,
            Err(error) if folders.len() == 1 => self.not_active(&folders[0], &error),
            Err(_) => {
                for folder in folders {
                    let begun = Instant::now();
                    match self.build(vec![folder.clone()]).await {
                        Ok(built) => self.built(&[folder], built, begun).await,
                        Err(error) => self.not_active(&folder, &error),
                    }
                }
            }
        }
    }

    /// Components come in the order of their folders.
    async fn built(&mut self, folders: &[PathBuf], built: Vec<plugin_build::Built>, begun: Instant) {
        for (folder, component) in folders.iter().zip(built) {
            self.sources.has_read(folder, component.sources);
            self.component(folder, &component.path, begun).await;
        }
    }

    /// Pushes a component and makes it the active version of its plugin.
    async fn component(&mut self, source: &Path, file: &Path, begun: Instant) {
        let pushed = async {
            let bytes = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
            let version = format!("dev-{}", Digest::of(&bytes).short());
            let what = compiling(&file.display().to_string(), bytes.len() as u64);
            let _busy = Busy::beside_others(what, SOON);
            Ok::<_, anyhow::Error>(self.client.push(bytes, None, Some(&version), true).await?)
        };
        match pushed.await {
            Ok(pushed) => {
                let (name, version, size) = (&pushed.name, &pushed.version, size(pushed.size_bytes));
                tell!("plugin {name}@{version} is active ({size}, {:.1} s)", begun.elapsed().as_secs_f64());
                self.report.succeeded(source, What::Plugin, name);
            }
            Err(error) => self.not_active(source, &error),
        }
    }

    async fn pipelines(&mut self, files: &[PathBuf]) {
        let shared = pipeline_files::shared_names(&self.sources.pipeline_files());
        let (shared_by, files): (Vec<&PathBuf>, Vec<&PathBuf>) =
            files.iter().partition(|file| shared.iter().any(|shared| shared.files.contains(file)));
        for shared in shared.iter().filter(|shared| shared.files.iter().any(|file| shared_by.contains(&file))) {
            tell!("{shared}");
        }
        for file in shared_by {
            let by = shared.iter().find(|shared| shared.files.contains(file));
            let why = by.map(ToString::to_string).unwrap_or_default();
            tell!("{}", self.report.failed(file, What::Pipeline, &why));
        }
        for file in files {
            match self.pipeline(file).await {
                Ok(name) => self.report.succeeded(file, What::Pipeline, &name),
                Err(error) => {
                    let why = format!("{error:#}");
                    tell!("{why}\n{}", self.report.failed(file, What::Pipeline, &why));
                }
            }
            self.tell_so_far();
        }
    }

    async fn pipeline(&self, file: &Path) -> anyhow::Result<String> {
        let name = file.display().to_string();
        let text = std::fs::read(file).with_context(|| format!("can't read {name}"))?;
        match self.client.apply(&text, Format::of_file(&name)).await {
            Ok(applied) => {
                tell!("pipeline {} ({})", applied.name, steps(u64::from(applied.step_count)));
                Ok(applied.name)
            }
            Err(Error::Problem(mut problem)) if !problem.problems.is_empty() => {
                // What is here and did not build is to be mended, and not pushed by somebody.
                for plugin in Sources::names_of(self.report.failed_paths()).plugins {
                    let missing = format!("there is no plugin `{plugin}`");
                    for found in problem.problems.iter_mut().filter(|found| found.message == missing) {
                        found.help =
                            Some("it is here, and did not build: when it does, this is tried again".to_owned());
                    }
                }
                let shown = pipeline_file::render(&problem.problems, &name, &String::from_utf8_lossy(&text));
                anyhow::bail!("{}", shown.trim_end())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn not_active(&mut self, what: &Path, error: &anyhow::Error) {
        let messages =
            error.chain().find_map(|cause| cause.downcast_ref::<NotMade>()).map(|not_made| &not_made.messages);
        // What a compiler has said was heard above.
        let why = messages.filter(|said| !said.is_empty()).cloned().unwrap_or_else(|| format!("{error:#}"));
        tell!("{error:#}\n{}", self.report.failed(what, What::Plugin, &why));
        self.tell_so_far();
    }

    async fn build(&self, folders: Vec<PathBuf>) -> anyhow::Result<Vec<plugin_build::Built>> {
        let target = self.sources.are_several().then(|| self.place.target.clone());
        let build = move || plugin_build::build_for_development(&folders, target.as_deref());
        tokio::task::spawn_blocking(build).await?
    }
}

//! `pawl pipeline`: apply, list, show and check pipelines.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use pawl_api::client::{Client, Error};
use pawl_api::types::{
    AppliedPipeline, FileProblem, PauseChanged, PauseRequest, PipelineDetail, PipelineList, PipelineVersionList,
    RetentionTerms,
};
use pawl_base::tell;
use pawl_domain::id::Digest;
use pawl_domain::limits::Limits;
use pawl_domain::pipeline_file::{self, Format};
use serde::Serialize;

use super::exit::{End, usage};
use super::output::{Answer, Output, Table, ago, counted, duration, fields, or_dash, steps};
use super::pause::since_when;
use super::pipeline_files;
use super::settings::Settings;

/// Verbs of `pawl pipeline`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a file the current version of its pipeline; runs in progress keep theirs
    Apply {
        /// TOML, or JSON if the name ends with .json; a folder stands for all of those in it, - for standard input
        #[arg(required = true, value_name = "FILE|FOLDER|-")]
        files: Vec<PathBuf>,
    },
    /// All pipelines
    List,
    /// A pipeline's current version
    Show {
        /// The pipeline's name
        name: String,
    },
    /// Versions of a pipeline that were current, newest first
    Versions {
        /// The pipeline's name
        name: String,
    },
    /// Start nothing of a pipeline's runs until it is unpaused; they are taken all the same
    Pause {
        /// The pipeline's name
        name: String,
        /// Why, for whoever finds it paused
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let a pipeline's runs go on
    Unpause {
        /// The pipeline's name
        name: String,
    },
    /// Say everything that is wrong with a file; plugins are looked up if the API can be reached
    Check {
        /// TOML, or JSON if the name ends with .json; a folder stands for all of those in it, - for standard input
        #[arg(required = true, value_name = "FILE|FOLDER|-")]
        files: Vec<PathBuf>,
    },
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, settings: &Settings, output: Output) -> anyhow::Result<()> {
    let client = &settings.client()?;
    match verb {
        Verb::Apply { files } => {
            // A file that can't be read, or is no pipeline, is told at once, whether the API is there or not.
            let sources = read_all(&files)?;
            let is_sound = sources.iter().all(|source| problems_in(source).is_empty());
            let client = &if is_sound { settings.reach().await? } else { settings.client()? };
            each(&sources, async |source: &Source| apply(client, source, output).await).await?;
        }
        Verb::List => output.print(&client.get::<PipelineList>(&["v1", "pipelines"], &[]).await?)?,
        Verb::Show { name } => {
            output.print(&client.get::<PipelineDetail>(&["v1", "pipelines", &name], &[]).await?)?;
        }
        Verb::Versions { name } => {
            output.print(&client.get::<PipelineVersionList>(&["v1", "pipelines", &name, "versions"], &[]).await?)?;
        }
        Verb::Pause { name, reason } => {
            let path = ["v1", "pipelines", &name, "pause"];
            output.print(&client.post::<PauseChanged>(&path, &PauseRequest { reason }).await?)?;
        }
        Verb::Unpause { name } => {
            output.print(&client.post_empty::<PauseChanged>(&["v1", "pipelines", &name, "unpause"]).await?)?;
        }
        Verb::Check { files } => {
            let sources = read_all(&files)?;
            each(&sources, async |source: &Source| check(client, source, settings.limits(), output).await).await?;
        }
    }
    Ok(())
}

/// The files that were named, and those in folders that were. None of them may take another's place.
fn all_of(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            let found = pipeline_files::in_folder(path)
                .with_context(|| End::Usage(format!("can't read {}", path.display())))?;
            if found.is_empty() {
                return Err(usage(format!(
                    "there is no pipeline in {}: no file of one ends with .toml or .json",
                    path.display()
                )));
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    // Who names a folder and a file in it means that once.
    let mut known = BTreeSet::new();
    files.retain(|file| known.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    let shared: Vec<String> = pipeline_files::shared_names(&files).iter().map(ToString::to_string).collect();
    if shared.is_empty() { Ok(files) } else { Err(usage(format!("{}; nothing was applied", shared.join("; ")))) }
}

/// One after the other; what is wrong with one is said, and the others have their turn.
async fn each(sources: &[Source], mut act: impl AsyncFnMut(&Source) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut is_good = true;
    for source in sources {
        match act(source).await {
            Err(error) if sources.len() > 1 && matches!(error.downcast_ref::<End>(), Some(End::Said)) => {
                is_good = false
            }
            acted => acted?,
        }
    }
    if is_good { Ok(()) } else { Err(End::Said.into()) }
}

/// A pipeline as a user wrote it; whether it is text is looked at where all else is.
#[derive(Debug)]
struct Source {
    name: String,
    bytes: Vec<u8>,
    format: Format,
}

fn read_all(named: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    all_of(named)?.iter().map(|file| if file == Path::new("-") { piped() } else { read(file) }).collect()
}

fn read(file: &Path) -> anyhow::Result<Source> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| End::Usage(format!("can't read {name}")))?;
    let format = Format::of_file(&name);
    Ok(Source { name, bytes, format })
}

/// What a program writes has no name that would tell.
fn piped() -> anyhow::Result<Source> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("can't read standard input")?;
    let format = if bytes.trim_ascii_start().starts_with(b"{") { Format::Json } else { Format::Toml };
    Ok(Source { name: "standard input".to_owned(), bytes, format })
}

/// Applies a file; what is wrong with it is shown in its text.
async fn apply(client: &Client, source: &Source, output: Output) -> anyhow::Result<()> {
    match client.apply(&source.bytes, source.format).await {
        Ok(applied) => Ok(output.print(&applied)?),
        Err(Error::Problem(problem)) if !problem.problems.is_empty() => Err(show(&problem.problems, source)),
        Err(error) if error.is_early() && !problems_in(source).is_empty() => Err(show(&problems_in(source), source)),
        Err(error) => Err(error.into()),
    }
}

/// What is wrong with a file, whatever plugins there are and however many steps the API allows.
fn problems_in(source: &Source) -> Vec<FileProblem> {
    let limits = Limits { steps: usize::MAX, ..Limits::default() };
    pipeline_file::read(&source.bytes, source.format, &limits, None).err().unwrap_or_default()
}

/// Checks here what can be checked without plugins, and asks the API for the rest if it can be reached.
async fn check(client: &Client, source: &Source, limits: &Limits, output: Output) -> anyhow::Result<()> {
    let read = pipeline_file::read(&source.bytes, source.format, limits, None);
    // Asked in any case: it knows more, and says all at once.
    let plugins_checked = match client.check(&source.bytes, source.format).await {
        Ok(_) => true,
        Err(Error::Problem(problem)) if !problem.problems.is_empty() => {
            return Err(show(&problem.problems, source));
        }
        Err(error) if error.is_early() => {
            tell!("note: plugins were not looked up: {error}");
            false
        }
        // What is wrong here is said, whatever the API makes of it.
        Err(_) if read.is_err() => false,
        Err(error) => return Err(error.into()),
    };
    let pipeline = read.map_err(|problems| show(&problems, source))?;
    let steps = pipeline.steps.len();
    Ok(output.print(&Checked { name: pipeline.name.clone(), digest: pipeline.digest(), steps, plugins_checked })?)
}

fn show(problems: &[FileProblem], source: &Source) -> anyhow::Error {
    let shown = pipeline_file::render(problems, &source.name, &String::from_utf8_lossy(&source.bytes));
    tell!("{}", shown.strip_suffix('\n').unwrap_or(&shown));
    tell!("{}: {}", source.name, counted(problems.len() as u64, "problem"));
    End::Said.into()
}

/// A file in which nothing is wrong.
#[derive(Debug, Serialize)]
struct Checked {
    name: String,
    digest: Digest,
    steps: usize,
    plugins_checked: bool,
}

impl Answer for Checked {
    fn ids(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn text(&self) -> String {
        let looked_up = if self.plugins_checked { "plugins exist" } else { "plugins not looked up" };
        let steps = steps(self.steps as u64);
        format!("{} is good: {steps}, {looked_up}, version {}", self.name, self.digest.short())
    }
}

impl Answer for AppliedPipeline {
    fn ids(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn text(&self) -> String {
        let what = if self.changed { "applied" } else { "is unchanged" };
        let steps = steps(u64::from(self.step_count));
        format!("{} {what}: {steps}, version {}", self.name, self.digest.short())
    }
}

impl Answer for PipelineList {
    fn ids(&self) -> Vec<String> {
        self.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["PIPELINE", "STEPS", "VERSION", "UPDATED", "PAUSED"]);
        for pipeline in &self.pipelines {
            table.row([
                pipeline.name.clone(),
                pipeline.step_count.to_string(),
                pipeline.digest.short(),
                ago(pipeline.updated_at_ms),
                or_dash(pipeline.paused.as_ref().map(since_when)),
            ]);
        }
        table.to_string()
    }
}

impl Answer for PipelineVersionList {
    fn ids(&self) -> Vec<String> {
        self.versions.iter().map(|version| version.digest.to_string()).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["VERSION", "STEPS", "SINCE", "UNTIL"]);
        for version in &self.versions {
            table.row([
                version.digest.short(),
                version.step_count.to_string(),
                ago(version.since_ms),
                or_dash(version.until_ms.map(ago)),
            ]);
        }
        table.to_string()
    }
}

/// What it says of its runs; what it leaves out is as for all.
fn kept(retention: &RetentionTerms) -> String {
    let said =
        [("succeeded", &retention.succeeded), ("failed", &retention.failed), ("cancelled", &retention.cancelled)];
    let said = said.into_iter().filter_map(|(what, term)| Some(format!("{what} {}", term.as_ref()?)));
    let said: Vec<String> = said.collect();
    if said.is_empty() { "as for all pipelines".to_owned() } else { said.join(", ") }
}

impl Answer for PipelineDetail {
    fn ids(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.name.clone()).collect()
    }

    fn text(&self) -> String {
        let head = fields(&[
            ("pipeline", self.summary.name.clone()),
            ("version", self.summary.digest.to_string()),
            ("updated", ago(self.summary.updated_at_ms)),
            ("paused", or_dash(self.summary.paused.as_ref().map(since_when))),
            ("plugins", format!("their active versions at the {}", self.versions.as_str())),
            ("runs are kept", kept(&self.retention)),
        ]);
        let mut table =
            Table::new(["STEP", "PLUGIN", "NEEDS", "ATTEMPTS", "TIMEOUT", "QUEUE", "PRIORITY", "ALLOW", "CONFIG"]);
        for step in &self.steps {
            let version = step.version.as_ref().map_or(String::new(), |version| format!("@{version}"));
            table.row([
                step.name.clone(),
                format!("{}{version}", step.plugin),
                or_dash((!step.needs.is_empty()).then(|| step.needs.join(","))),
                step.retry.max_attempts.to_string(),
                duration(i64::try_from(step.timeout_ms).unwrap_or(i64::MAX)),
                step.queue.clone(),
                step.priority.as_str().to_owned(),
                or_dash(
                    step.allow
                        .as_ref()
                        .map(|grants| if grants.is_empty() { "nothing".to_owned() } else { grants.join(",") }),
                ),
                or_dash((!step.config.is_null()).then_some(&step.config)),
            ]);
        }
        format!("{head}\n{table}")
    }
}

//! `pawl pipeline`: apply, list, show and check pipelines.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::client::{Client, Error};
use super::exit::{End, usage};
use super::output::{Answer, Output, Table, ago, duration, fields};
use crate::api::types::{AppliedPipeline, FileProblem, PipelineDetail, PipelineList};
use crate::domain::id::Digest;

/// Verbs of `pawl pipeline`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a file the current version of its pipeline; runs in progress keep theirs
    Apply {
        /// TOML, or JSON if the name ends with .json
        file: PathBuf,
    },
    /// All pipelines
    List,
    /// A pipeline's current version
    Show {
        /// The pipeline's name
        name: String,
    },
    /// Say everything that is wrong with a file; plugins are looked up if the API can be reached
    Check {
        /// TOML, or JSON if the name ends with .json
        file: PathBuf,
    },
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client, output: Output) -> anyhow::Result<()> {
    match verb {
        Verb::Apply { file } => output.print(&apply(client, &read(&file)?).await?)?,
        Verb::List => output.print(&client.get::<PipelineList>(&["v1", "pipelines"], &[]).await?)?,
        Verb::Show { name } => {
            output.print(&client.get::<PipelineDetail>(&["v1", "pipelines", &name], &[]).await?)?;
        }
        Verb::Check { file } => check(client, &file, output).await?,
    }
    Ok(())
}

/// A pipeline as a user wrote it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The text, not yet looked at.
    pub(super) text: String,
    /// How to read it.
    pub(super) media_type: &'static str,
}

/// Makes it the current version.
pub(super) async fn apply(client: &Client, source: &Source) -> super::client::Result<AppliedPipeline> {
    client.post_bytes(&["v1", "pipelines"], &[], source.media_type, source.text.clone().into_bytes()).await
}

fn read(file: &Path) -> anyhow::Result<Source> {
    let text = std::fs::read_to_string(file).with_context(|| usage(format!("can't read {}", file.display())))?;
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    Ok(Source { text, media_type: if is_json { "application/json" } else { "application/toml" } })
}

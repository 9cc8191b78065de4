//! `pawl backup` and `pawl restore`: what `pawl dev` has, in one file, also while it runs; and that file, back into a folder of
//! `pawl dev` or into Postgres.
//!
//! A file is there whole or not at all: it is written beside its place, and renamed. Nothing is written over that was not
//! named for it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use pawl_store::{Postgres, Sqlite};
use serde::Serialize;

use super::busy::Busy;
use super::exit::{End, usage};
use super::here;
use super::output::{Answer, Output, counted, fields, size, steps};
use super::settings::Settings;

/// How long a statement of a restore may take: it goes over whole tables.
const LONG_STATEMENT: Duration = Duration::from_secs(600);

/// What is done sooner is not told to be under way.
const SOON: Duration = Duration::from_secs(1);

/// Arguments of `pawl backup`.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Where the backup is written
    file: PathBuf,
    /// Replace the file if it is there; until the new one is whole, the old one stays
    #[arg(long)]
    force: bool,
    /// What `pawl dev` has in this folder [default: .pawl here or above]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `pawl restore`.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// What `pawl backup` has written
    file: PathBuf,
    /// Into this folder, for `pawl dev --data` [default: .pawl here or above, if no database is named]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What was written.
#[derive(Debug, Serialize)]
struct BackedUp {
    file: PathBuf,
    runs: u64,
    size_bytes: u64,
}

/// What was given back.
#[derive(Debug, Serialize)]
struct GivenBack {
    file: PathBuf,
    /// A folder, or a database without its password.
    into: String,
    runs: u64,
    /// Steps that ran when the backup was made.
    handed_back: u64,
}

impl Backup {
    /// Writes the file; says how large it is.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let folder = self.folder(settings)?;
        let exists = || {
            usage(format!("{} is there already: name another file, or replace it with --force", self.file.display()))
        };
        if !self.force && self.file.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let beside = folder_of(&self.file);
        let unwritten = || End::Usage(format!("can't write {}", self.file.display()));
        // For its owner alone: it holds what runs were given, and what they answered.
        let written = tempfile::Builder::new().prefix(".pawl-backup-").tempfile_in(beside).with_context(unwritten)?;
        let busy = Busy::with(format!("writing {}", self.file.display()), SOON);
        let contents = Sqlite::back_up(&folder, written.path()).await?;
        drop(busy);
        let written = written.into_temp_path();
        if self.force {
            written.persist(&self.file).with_context(unwritten)?;
        } else {
            // Somebody may have been quicker.
            written.persist_noclobber(&self.file).with_context(unwritten)?;
        }
        File::open(beside).and_then(|folder| folder.sync_all()).with_context(unwritten)?;
        let told = BackedUp { file: self.file, runs: contents.runs, size_bytes: contents.size_bytes };
        Ok(self.output.print(&told)?)
    }

    fn folder(&self, settings: &Settings) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.data {
            return Ok(folder.clone());
        }
        if settings.has_database() {
            let means = "a database is named, and `pg_dump` backs that up; for what `pawl dev` has, give --data FOLDER";
            return Err(usage(means));
        }
        let none = "`pawl dev` has left nothing here or above (.pawl): name its folder with --data";
        here::data_near(&std::env::current_dir()?).ok_or_else(|| usage(none))
    }
}

impl Restore {
    /// Gives the file back; says what it held.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let busy = Busy::with(format!("restoring {}", self.file.display()), SOON);
        let (into, restored) = match self.folder(settings)? {
            Some(folder) => (folder.display().to_string(), Sqlite::restore(&self.file, &folder).await?),
            None => {
                let url = settings.database_url()?;
                (settings.database_shown()?, Postgres::new(&url, 1, LONG_STATEMENT)?.restore(&self.file).await?)
            }
        };
        drop(busy);
        let told = GivenBack { file: self.file, into, runs: restored.runs, handed_back: restored.handed_back };
        Ok(self.output.print(&told)?)
    }

    /// The folder, if it does not go into a database.
    fn folder(&self, settings: &Settings) -> anyhow::Result<Option<PathBuf>> {
        if self.data.is_some() || settings.has_database() {
            return Ok(self.data.clone());
        }
        let here = std::env::current_dir()?;
        Ok(Some(here::data_near(&here).unwrap_or_else(|| here.join(here::DATA))))
    }
}

/// The folder that a file lies in.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Answer for BackedUp {
    fn ids(&self) -> Vec<String> {
        vec![self.file.display().to_string()]
    }

    fn text(&self) -> String {
        fields(&[
            ("file", self.file.display().to_string()),
            ("size", size(self.size_bytes)),
            ("holds", counted(self.runs, "run")),
        ])
    }
}

impl Answer for GivenBack {
    fn ids(&self) -> Vec<String> {
        vec![self.into.clone()]
    }

    fn text(&self) -> String {
        let again = match self.handed_back {
            0 => "none".to_owned(),
            count => format!("{}, from the last checkpoints", steps(count)),
        };
        fields(&[("restored", counted(self.runs, "run")), ("into", self.into.clone()), ("ran at the backup", again)])
    }
}

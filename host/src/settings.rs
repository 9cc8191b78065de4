//! Where settings come from: flags, then the environment (`PAWL_*`), then a TOML file, then the default.
//!
//! clap reads flags and environment; this adds the file. A setting is asked for by the command that needs
//! it, so that `pawl run list` works without a database URL.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use pawl_api::client::Client;
use serde::Deserialize;

use super::exit::{End, usage};

/// The file that is read if it is there.
const DEFAULT_FILE: &str = "pawl.toml";

/// Where the API is if nothing else is said.
const DEFAULT_API_URL: &str = "http://127.0.0.1:7340";

/// Flags of all commands.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// TOML file with settings [default: pawl.toml in this folder, if there is one]
    #[arg(long, value_name = "FILE", global = true, env = "PAWL_CONFIG", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// The API's address [default: http://127.0.0.1:7340]; its token is taken from PAWL_API_TOKEN
    #[arg(long, value_name = "URL", global = true, env = "PAWL_API_URL", help_heading = "Settings")]
    api_url: Option<String>,
    /// How log lines look on standard error; PAWL_LOG says which (for example `debug` or `pawl=debug`)
    #[arg(
        long,
        value_name = "FORMAT",
        global = true,
        env = "PAWL_LOG_FORMAT",
        default_value = "text",
        help_heading = "Settings"
    )]
    pub(super) log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// Flags of commands that talk to the servers themselves.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerFlags {
    /// Postgres, for example postgres://pawl@127.0.0.1/pawl
    #[arg(long, value_name = "URL", global = true, env = "PAWL_DATABASE_URL", hide_env_values = true)]
    pub(super) database_url: Option<String>,
    /// Redis, for example redis://127.0.0.1/
    #[arg(long, value_name = "URL", global = true, env = "PAWL_REDIS_URL", hide_env_values = true)]
    pub(super) redis_url: Option<String>,
}

/// What a settings file may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    api_url: Option<String>,
    api_token: Option<String>,
    database_url: Option<String>,
    redis_url: Option<String>,
    listen: Option<String>,
    slots: Option<usize>,
    queues: Option<Vec<String>>,
}

/// All settings but those that only one command has.
#[derive(Debug)]
pub(super) struct Settings {
    api_url: Option<String>,
    file: File,
}

impl Settings {
    /// Reads the file.
    pub(super) fn load(flags: &Flags) -> anyhow::Result<Self> {
        let file = match &flags.config {
            Some(path) => read(path)?,
            None if Path::new(DEFAULT_FILE).is_file() => read(Path::new(DEFAULT_FILE))?,
            None => File::default(),
        };
        Ok(Self { api_url: flags.api_url.clone(), file })
    }

    /// A client of the API.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.api_url(), self.api_token())?)
    }

    /// The API's address.
    pub(super) fn api_url(&self) -> String {
        self.api_url.clone().or_else(|| self.file.api_url.clone()).unwrap_or_else(|| DEFAULT_API_URL.to_owned())
    }

    /// The API's token. There is no flag for it: command lines can be read by others.
    pub(super) fn api_token(&self) -> Option<String> {
        std::env::var("PAWL_API_TOKEN").ok().or_else(|| self.file.api_token.clone()).filter(|token| !token.is_empty())
    }

    /// The database.
    pub(super) fn database_url(&self, flags: &ServerFlags) -> anyhow::Result<String> {
        required("--database-url", "database_url", flags.database_url.as_ref(), self.file.database_url.as_ref())
    }

    /// The queue.
    pub(super) fn redis_url(&self, flags: &ServerFlags) -> anyhow::Result<String> {
        required("--redis-url", "redis_url", flags.redis_url.as_ref(), self.file.redis_url.as_ref())
    }

    /// The address that the API listens on, if the file says one.
    pub(super) fn listen(&self) -> Option<String> {
        self.file.listen.clone()
    }

    /// How many steps a worker executes at once, if the file says so.
    pub(super) fn slots(&self) -> Option<usize> {
        self.file.slots
    }

    /// The queues that a worker reads, if the file says so.
    pub(super) fn queues(&self) -> Option<&[String]> {
        self.file.queues.as_deref()
    }
}

fn required(flag: &str, name: &str, given: Option<&String>, in_file: Option<&String>) -> anyhow::Result<String> {
    given.or(in_file).cloned().ok_or_else(|| {
        usage(format!(
            "{flag} is missing; give it, or set PAWL_{}, or `{name} = \"...\"` in {DEFAULT_FILE}",
            name.to_uppercase()
        ))
    })
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| End::Usage(format!("can't read {}", path.display())))?;
    toml::from_str(&text).map_err(|error| usage(format!("{} is not valid:\n{error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(file: &str) -> Settings {
        Settings { api_url: None, file: toml::from_str(file).expect("a settings file") }
    }

    #[test]
    fn flags_win_over_the_file_and_what_is_missing_is_named_with_its_fix() {
        let flags = ServerFlags { database_url: Some("postgres://flag".into()), redis_url: None };
        let both = settings("database_url = \"postgres://file\"\nredis_url = \"redis://file\"");
        assert_eq!(both.database_url(&flags).expect("a URL"), "postgres://flag");
        assert_eq!(both.redis_url(&flags).expect("a URL"), "redis://file");
        let error = settings("").redis_url(&flags).expect_err("it is missing").to_string();
        assert!(error.contains("--redis-url") && error.contains("PAWL_REDIS_URL"), "{error}");
    }
}

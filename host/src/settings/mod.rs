//! Settings: flags win over the environment (`PAWL_*`), that over a TOML file, that over defaults.
//!
//! ```text
//!  all ── one definition for each ──┬──▶ flags, help      command line ─┐
//!                                   ├──▶ variables         environment ─┼─▶ checked alike ─▶ Config ─▶ the roles
//!                                   ├──▶ keys                pawl.toml ─┘
//!                                   └──▶ `pawl config`, docs/settings.md
//! ```
//!
//! A role reads its own settings alone, so that `pawl run list` minds no worker's variables. Whatever is wrong ends the
//! command before it does anything, with the setting's name, where its value comes from, and what it may be. A secret
//! is never part of a message.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_api as api;
use pawl_api::client::Client;
use pawl_domain::limits::Limits;
use pawl_domain::pipeline_file::closest;
use pawl_domain::suspicion::Suspicion;
use pawl_engine::Engine;
use pawl_queue::RedisConfig;
use pawl_store::Postgres;
use pawl_worker as worker;

mod all;
mod config;
mod file;
mod flags;
mod kind;
#[cfg(test)]
mod page;
mod redact;
mod setting;
mod show;
#[cfg(test)]
mod tests;
mod value;

use super::here::{self, Here};
use all::all;
use config::Config;
use file::File;
use kind::Kind;
use setting::{Setting, key, variable};

pub(super) use flags::Flags;
pub(super) use setting::Role;
pub(super) use show::Reader;

/// How long an API may take to start, and between looks whether it has.
const START_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// The file that is read if it is there.
const DEFAULT_FILE: &str = "pawl.toml";

/// Gives the commands their settings' flags.
pub(super) fn add_flags(command: clap::Command) -> clap::Command {
    flags::add_to(command)
}

/// Why settings can't be used. Mending it takes a person.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It is not there, or can't be read.
    #[error("can't read the settings file {}", path.display())]
    File {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No TOML, or a key that is no setting's.
    #[error("{}:{line}: {fault}", path.display())]
    Fault {
        /// The settings file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        fault: String,
    },
    /// A value that the setting can't have.
    #[error("{setting} is {value} ({origin}): {rule}")]
    Value {
        /// Its key.
        setting: String,
        /// What was written, in quotes.
        value: String,
        /// Where it was written.
        origin: Origin,
        /// What it may be.
        rule: String,
    },
    /// The setting has an older name, and both are given.
    #[error("{setting} is given twice, by {first} and by {second}: they are two names for one setting")]
    Twice {
        /// Its key.
        setting: String,
        /// One place.
        first: Origin,
        /// The other.
        second: Origin,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Together(String),
    /// There is no default.
    #[error(
        "{key} is missing: give --{name}, or set {}, or write `{key} = \"...\"` in {DEFAULT_FILE}",
        variable(name),
        key = key(name)
    )]
    Missing {
        /// The setting's name.
        name: &'static str,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line.
    Flag(&'static str),
    /// The environment.
    Variable(String),
    /// The settings file.
    File {
        /// Which one.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// Nobody has said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What somebody has written for a setting.
#[derive(Debug)]
struct Given {
    /// The name that was used.
    name: String,
    text: String,
    origin: Origin,
}

/// The environment, by a variable's name.
type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The settings of a role.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    role: Role,
    config: Config,
    /// In the order of the definitions, for those that the role reads.
    origins: Vec<(&'static str, Origin)>,
}

impl Settings {
    /// Reads what `role` reads.
    pub(super) fn load(role: Role, flags: &Flags) -> Result<Self, Error> {
        Self::of(
            role,
            flags,
            &|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()),
            Path::new(DEFAULT_FILE),
        )
    }

    /// The same with another environment and another file.
    fn of(role: Role, flags: &Flags, environment: &Environment<'_>, usual: &Path) -> Result<Self, Error> {
        let named = flags.file().or_else(|| environment(&variable(flags::FILE)).map(PathBuf::from));
        let file = named.or_else(|| usual.is_file().then(|| usual.to_owned()));
        let file = file.map(|path| File::read(&path)).transpose()?;
        let mut config = Config::of(role);
        let mut origins = Vec::new();
        for setting in all().filter(|setting| setting.is_read_by(role)) {
            let mut given = flags.say(setting);
            if given.is_empty() {
                given = variables(environment, setting);
            }
            if given.is_empty() {
                given = file.as_ref().map_or_else(Vec::new, |file| file.says(role, setting));
            }
            let origin = match one_of(setting, given)? {
                Some(given) => take(setting, given, &mut config)?,
                None => Origin::Default,
            };
            origins.push((setting.name, origin));
        }
        config.check().map_err(Error::Together)?;
        Ok(Self { role, config, origins })
    }

    /// A client of the API: of the one that was named, else of that of this folder, else of the usual address.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let usual = |url: &str| Client::new(url, self.api_token());
        Ok(match self.here() {
            Here::Runs(said) => usual(&said.url)?.of_folder(&said.folder),
            Here::Silent(folder) => usual(&self.config.api_url)?.of_folder(&folder),
            Here::Nothing(Some(folder)) => usual(&self.config.api_url)?.outside(folder),
            Here::Nothing(None) => usual(&self.config.api_url)?,
        })
    }

    /// The API's address.
    pub(super) fn api_url(&self) -> String {
        match self.here() {
            Here::Runs(said) => said.url,
            _ => self.config.api_url.clone(),
        }
    }

    /// What the folder says of its API, if nobody has named one.
    fn here(&self) -> Here {
        let folder = std::env::current_dir().ok().filter(|_| self.is_default("api-url"));
        folder.and_then(|folder| folder.canonicalize().ok()).map_or(Here::Nothing(None), |folder| here::look(&folder))
    }

    /// A client for somebody who has perhaps started the API a moment ago: one on this machine is waited for.
    pub(super) async fn reach(&self) -> anyhow::Result<Client> {
        let end = Instant::now() + START_LIMIT;
        let mut is_told = false;
        loop {
            let client = self.client()?;
            match client.get::<serde_json::Value>(&["health"], &[]).await {
                Err(error) if error.is_early() && client.is_local() && Instant::now() < end => {
                    if !std::mem::replace(&mut is_told, true) {
                        eprintln!("waiting up to {} s: {error}", START_LIMIT.as_secs());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) if error.is_early() => return Err(error.into()),
                // Whatever else is wrong, the request itself says better.
                _ => return Ok(client),
            }
        }
    }

    /// The API's token.
    pub(super) fn api_token(&self) -> Option<String> {
        self.config.api_token.clone()
    }

    /// The database.
    pub(super) fn database_url(&self) -> Result<String, Error> {
        self.config.database_url.clone().ok_or(Error::Missing { name: "database-url" })
    }

    /// Where the queue is.
    pub(super) fn redis_url(&self) -> Result<String, Error> {
        self.config.redis_url.clone().ok_or(Error::Missing { name: "redis-url" })
    }

    /// The queue.
    pub(super) fn redis(&self) -> Result<RedisConfig, Error> {
        let (prefix, ca) = (self.config.redis_prefix.clone(), self.config.redis_ca.clone());
        Ok(RedisConfig { url: self.redis_url()?, prefix, ca })
    }

    /// The database as a role uses it: no statement outlives what depends on it.
    pub(super) fn store(&self) -> anyhow::Result<Postgres> {
        let longest = match self.role {
            Role::Worker => worker::session_timeout(self.config.worker.lease),
            _ => self.config.statement_timeout,
        };
        Ok(Postgres::new(&self.database_url()?, self.config.database_connections, longest)?)
    }

    /// How the API is set up.
    pub(super) fn api(&self) -> api::Config {
        self.config.api()
    }

    /// How a worker is set up.
    pub(super) fn worker(&self) -> worker::Config {
        self.config.worker()
    }

    /// What everybody must keep within.
    pub(super) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// When a step is blamed for the deaths of its workers.
    pub(super) fn suspicion(&self) -> Suspicion {
        self.config.suspicion
    }

    /// Whether interrupted runs go on with the start of a role.
    pub(super) fn auto_recover(&self) -> bool {
        self.config.auto_recover
    }

    /// An engine that executes up to `slots` steps at once. A component with an interpreter takes seconds to compile,
    /// so that it should happen once; where the user has no folder that can be written, as a service often has none,
    /// every process compiles for itself.
    pub(super) fn engine(&self, slots: usize) -> anyhow::Result<Arc<Engine>> {
        let mut config = self.config.engine(slots);
        if self.is_default("cache-dir") {
            config.cache_dir = config.cache_dir.filter(|folder| std::fs::create_dir_all(folder).is_ok());
        }
        Ok(Arc::new(Engine::new(config)?))
    }

    /// Where compiled components are kept, if they are.
    pub(super) fn cache_dir(&self) -> Option<PathBuf> {
        self.config.engine(1).cache_dir
    }

    /// Where `pawl dev` keeps runs, and where its plugins and pipelines are.
    pub(super) fn folders(&self) -> (PathBuf, Option<PathBuf>, Option<PathBuf>) {
        (self.config.data.clone(), self.config.plugins.clone(), self.config.pipelines.clone())
    }

    /// Whether figures are kept.
    pub(super) fn keeps_metrics(&self) -> bool {
        self.config.metrics
    }

    /// Where a worker tells its figures, if anywhere.
    pub(super) fn metrics_listen(&self) -> Option<&str> {
        self.config.metrics_listen.as_deref()
    }

    /// Which lines are logged.
    pub(super) fn log(&self) -> &str {
        &self.config.log
    }

    /// Whether log lines are for programs.
    pub(super) fn logs_json(&self) -> bool {
        self.config.log_format == "json"
    }

    /// Whether nobody has said anything about a setting.
    pub(super) fn is_default(&self, name: &str) -> bool {
        *self.origin(name) == Origin::Default
    }

    fn origin(&self, name: &str) -> &Origin {
        self.origins.iter().find(|(known, _)| *known == name).map_or(&Origin::Default, |(_, origin)| origin)
    }
}

/// Variables that are no settings and look like one, with the one that they look like.
pub(super) fn misspelt(variables: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let known: Vec<String> =
        all().flat_map(Setting::names).chain([flags::FILE, "output", "fault"]).map(variable).collect();
    let (begin, secrets) = (variable(""), variable("secret-"));
    variables
        .filter(|name| name.starts_with(&begin) && !name.starts_with(&secrets) && !known.contains(name))
        .filter_map(|name| {
            let meant = closest(&name[begin.len()..], known.iter().map(|known| &known[begin.len()..]))?;
            let meant = format!("{begin}{meant}");
            Some((name, meant))
        })
        .collect()
}

fn variables(environment: &Environment<'_>, setting: &Setting) -> Vec<Given> {
    let given = |name: &str| {
        let variable = variable(name);
        let text = environment(&variable)?;
        Some(Given { name: name.to_owned(), text, origin: Origin::Variable(variable) })
    };
    setting.names().filter_map(given).collect()
}

/// The one thing that a source says about a setting.
fn one_of(setting: &Setting, given: Vec<Given>) -> Result<Option<Given>, Error> {
    let mut given = given.into_iter();
    match (given.next(), given.next()) {
        (Some(first), Some(second)) => {
            Err(Error::Twice { setting: key(setting.name), first: first.origin, second: second.origin })
        }
        (first, _) => Ok(first),
    }
}

/// Puts a value into its place.
fn take(setting: &Setting, given: Given, config: &mut Config) -> Result<Origin, Error> {
    let Given { name, mut text, origin } = given;
    // The unit is part of such a name.
    if key(&name).ends_with("_ms") && text.bytes().all(|digit| digit.is_ascii_digit()) {
        text.push_str("ms");
    }
    match (setting.field)(config).read(&text, &setting.kind) {
        Ok(()) => Ok(origin),
        Err(rule) => {
            let value = match setting.kind {
                Kind::Secret | Kind::Url => redact::HIDDEN.to_owned(),
                _ => format!("{text:?}"),
            };
            Err(Error::Value { setting: key(setting.name), value, origin, rule })
        }
    }
}

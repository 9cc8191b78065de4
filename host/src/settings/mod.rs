//! Settings: flags win over the environment (`PAWL_*`), that over a TOML file, that over variables which other programs know
//! as well (`OTEL_*`), those over defaults.
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

use pawl_domain::pipeline_file::closest;

mod all;
mod config;
mod file;
mod flags;
mod in_files;
mod kind;
mod made;
mod oidc;
mod own;
#[cfg(test)]
mod page;
mod redact;
mod secrets;
mod setting;
mod show;
#[cfg(test)]
mod tests;
mod traces;
mod value;

use all::all;
use config::Config;
use file::File;
use kind::Kind;
use setting::{Setting, key, variable};

pub(super) use flags::Flags;
pub(super) use kind::bytes;
pub(super) use setting::Role;
pub(super) use show::Reader;

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
    /// There is no default: it is where a server is.
    #[error(
        "{key} is missing: give --{name}, or set {}, or write `{key} = \"...\"` in {DEFAULT_FILE}; `pawl dev` alone needs no \
         servers",
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
    /// Somebody has said which file to read; else it is the one that lies in the folder.
    is_file_named: bool,
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
        let is_file_named = named.is_some();
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
            if given.is_empty() {
                given = standard(environment, setting).into_iter().collect();
            }
            let origin = match one_of(setting, given)? {
                Some(given) => take(setting, given, &mut config)?,
                None => Origin::Default,
            };
            origins.push((setting.name, origin));
        }
        config.check().map_err(Error::Together)?;
        Ok(Self { role, config, origins, is_file_named })
    }

    /// A file that happens to lie in a folder decides only where its own token goes: whoever has come with somebody else's files
    /// would send theirs to somebody else's server. Nor does it say who is trusted on the way, or name a file of mine as the token's.
    fn check_where_the_token_goes(&self) -> Result<(), Error> {
        let url = &self.config.api_url;
        let is_local = url::Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(pawl_base::is_loopback));
        let is_of_folder = |name: &&str| !self.is_file_named && matches!(self.origin(name), Origin::File { .. });
        let Some(name) = ["api-url", "api-ca"].into_iter().find(is_of_folder).filter(|_| !is_local) else {
            return Ok(());
        };
        let is_in_file = self.config.api_token.file.is_some();
        let token = self.origin(if is_in_file { "api-token-file" } else { "api-token" });
        if !is_in_file && matches!(token, Origin::File { .. } | Origin::Default) {
            return Ok(());
        }
        let ca = || self.config.api_ca.as_deref().map_or_else(String::new, |file| file.display().to_string());
        let (shown, what) = if name == "api-url" { (redact::url(url), "the address") } else { (ca(), "the file") };
        Err(Error::Together(format!(
            "{} is {shown} ({}), and your token comes from {token}: so that no file of a folder decides where that goes, name \
             {what} yourself, with {} or --{name}",
            key(name),
            self.origin(name),
            variable(name),
        )))
    }

    /// Flags by which somebody has given a password in a URL: whoever may list processes sees them.
    pub(super) fn passwords_in_flags(&self) -> Vec<&'static str> {
        let mut config = self.config.clone();
        let by_flag = self.origins.iter().filter(|(_, origin)| matches!(origin, Origin::Flag(_)));
        let named = by_flag.filter_map(|(name, _)| all().find(|setting| setting.name == *name));
        named
            .filter(|setting| matches!(setting.kind, Kind::Url))
            .filter(|setting| {
                (setting.field)(&mut config).show(&setting.kind).is_some_and(|url| redact::url(&url) != url)
            })
            .map(|setting| setting.name)
            .collect()
    }

    /// Whether nobody has said anything about a setting.
    pub(super) fn is_default(&self, name: &str) -> bool {
        *self.origin(name) == Origin::Default
    }

    fn origin(&self, name: &str) -> &Origin {
        self.origins.iter().find(|(known, _)| *known == name).map_or(&Origin::Default, |(_, origin)| origin)
    }
}

/// The variable of a setting.
pub(super) fn variable_of(name: &str) -> String {
    variable(name)
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

/// What other programs are told, too. Empty is as good as not there, by their standard.
fn standard(environment: &Environment<'_>, setting: &Setting) -> Option<Given> {
    setting.standard.iter().find_map(|(variable, value)| {
        let text = environment(variable).filter(|text| !text.is_empty())?;
        let (name, origin) = (setting.name.to_owned(), Origin::Variable((*variable).to_owned()));
        Some(Given { name, text: value(&text), origin })
    })
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
                Kind::Secret | Kind::Token | Kind::Url => redact::HIDDEN.to_owned(),
                _ => format!("{text:?}"),
            };
            Err(Error::Value { setting: key(setting.name), value, origin, rule })
        }
    }
}

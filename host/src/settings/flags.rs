//! The flags of settings, and what a command line says with them. clap knows of no setting otherwise: variables and
//! the file are read in one place ([`super`]), so that a value is checked alike wherever it comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::all::{GROUPS, all};
use super::config::Config;
use super::kind::Kind;
use super::setting::{Role, Setting, variable};
use super::{Given, Origin};

/// The flag that names the settings file; it can't stand in the file.
pub(super) const FILE: &str = "config";

/// Flags of every command.
const EVERYWHERE: [&str; 4] = ["api-url", "api-ca", "log", "log-format"];

/// Flags of commands that go to the servers themselves, and of those that compile.
const SERVERS: &[&str] = &["database-url", "database-url-file", "redis-url", "redis-url-file"];
const DATABASE: &[&str] = &["database-url", "database-url-file"];
const CACHE: &[&str] = &["cache-dir"];

/// The flag of commands that are about the things of one namespace, and these.
const NAMESPACE: &[&str] = &["namespace"];
const SCOPED: [&str; 9] =
    ["run", "pipeline", "secret", "token", "dead-letter", "circuits", "recover", "recoveries", "check-interrupted"];
const SCOPED_OF_PLUGIN: [&str; 4] = ["push", "activate", "rollback", "list"];

/// Gives the commands their settings' flags.
pub(super) fn add_to(command: Command) -> Command {
    let file = Arg::new(FILE)
        .long(FILE)
        .value_name("FILE")
        .help(format!("TOML file with settings [env: {}] [default: pawl.toml, if there is one]", variable(FILE)))
        .help_heading("Settings")
        .global(true);
    let everywhere = flags(Role::Client, |setting| EVERYWHERE.contains(&setting.name));
    let everywhere = everywhere.map(|flag| flag.help_heading("Settings").global(true));
    let mut command = command.arg(file).args(everywhere);
    for role in [Role::Api, Role::Worker, Role::Dev] {
        command = command.mut_subcommand(role.name(), |it| it.args(of_role(role)));
    }
    let only = |names: &'static [&str]| flags(Role::Client, move |setting| names.contains(&setting.name));
    for noun in SCOPED {
        command = command.mut_subcommand(noun, |it| it.args(only(NAMESPACE).map(|flag| flag.global(true))));
    }
    command
        .mut_subcommand("migrate", |it| it.args(only(SERVERS)))
        .mut_subcommand("doctor", |it| it.args(only(SERVERS)))
        .mut_subcommand("restore", |it| it.args(only(DATABASE)))
        .mut_subcommand("bench", |it| it.args(only(SERVERS).map(|flag| flag.global(true))))
        .mut_subcommand("drill", |it| it.args(only(SERVERS).map(|flag| flag.global(true))))
        .mut_subcommand("plugin", |it| {
            let it = it.mut_subcommand("test", |it| it.args(only(CACHE)));
            SCOPED_OF_PLUGIN.iter().fold(it, |it, verb| it.mut_subcommand(verb, |it| it.args(only(NAMESPACE))))
        })
        .mut_subcommand("run", |it| it.mut_subcommand("replay", |it| it.args(only(CACHE))))
        .mut_subcommand("config", |mut it| {
            for role in Role::ALL {
                it = it.mut_subcommand(role.name(), |it| it.args(of_role(role)));
            }
            it
        })
}

fn of_role(role: Role) -> impl Iterator<Item = Arg> {
    flags(role, move |setting| setting.is_read_by(role) && !EVERYWHERE.contains(&setting.name))
}

/// The flags of some settings, with the defaults of `role`.
fn flags(role: Role, is_wanted: impl Fn(&Setting) -> bool) -> impl Iterator<Item = Arg> {
    let mut defaults = Config::of(role);
    let headed = GROUPS.iter().flat_map(|group| group.settings.iter().map(|setting| (group.heading, setting)));
    let wanted = headed.filter(move |(_, setting)| is_wanted(setting) && !setting.kind.is_secret());
    wanted.flat_map(move |(heading, setting)| {
        let default = setting.usually.map(str::to_owned).or_else(|| setting.shown(&mut defaults));
        let default = default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        let help = format!("{}{} [env: {}]{default}", setting.what, words(setting), variable(setting.name));
        let former = setting.former.map(|name| flag(name, setting).hide(true));
        [flag(setting.name, setting).help(help).help_heading(heading)].into_iter().chain(former)
    })
}

/// The words to choose from; other values are told by their placeholder, and by the refusal.
fn words(setting: &Setting) -> String {
    match setting.kind {
        Kind::Choice(_) => format!(": {}", setting.kind.values()),
        _ => String::new(),
    }
}

/// Takes any text: what it may be is checked where variables and the file are, too.
fn flag(name: &'static str, setting: &Setting) -> Arg {
    let flag = Arg::new(name).long(name).value_name(setting.kind.placeholder());
    match setting.kind {
        Kind::Names | Kind::Hosts | Kind::Networks | Kind::Grants => flag.num_args(1..).action(ArgAction::Append),
        Kind::Switch => flag.num_args(0..=1).default_missing_value("true"),
        _ => flag,
    }
}

/// What a command line says about settings.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    given: BTreeMap<&'static str, String>,
}

impl Flags {
    /// Takes them out of a parsed command line.
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let mut given = BTreeMap::new();
        let mut level = Some(matches);
        while let Some(matches) = level {
            for name in all().flat_map(Setting::names).chain([FILE]) {
                // A command that does not have this flag has another meaning for the name, or none.
                if let Ok(Some(values)) = matches.try_get_many::<String>(name)
                    && matches.value_source(name) == Some(ValueSource::CommandLine)
                {
                    given.insert(name, values.map(String::as_str).collect::<Vec<_>>().join(","));
                }
            }
            level = matches.subcommand().map(|(_, matches)| matches);
        }
        Self { given }
    }

    /// The settings file that is asked for.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.given.get(FILE).map(PathBuf::from)
    }

    /// All that they say about a setting.
    pub(super) fn say(&self, setting: &Setting) -> Vec<Given> {
        let given = |name: &'static str| {
            let text = self.given.get(name)?.clone();
            Some(Given { name: name.to_owned(), text, origin: Origin::Flag(name) })
        };
        setting.names().filter_map(given).collect()
    }
}

//! `pawl config`: each setting that a role reads, its value, and where that comes from.

use clap::Subcommand;
use serde::Serialize;

use super::all::all;
use super::setting::key;
use super::{Origin, Role, Settings};
use crate::output::{Answer, Table, or_dash};

/// Whose settings are shown.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Reader {
    /// What `pawl api` would be set to, given the same flags
    Api,
    /// What `pawl worker` would be set to, given the same flags
    Worker,
    /// What `pawl dev` would be set to, given the same flags
    Dev,
    /// What all other commands are set to
    Client,
}

impl Reader {
    /// The role that reads them.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Api => Role::Api,
            Self::Worker => Role::Worker,
            Self::Dev => Role::Dev,
            Self::Client => Role::Client,
        }
    }
}

/// The settings of a role, as they may be seen.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    role: &'static str,
    settings: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    value: Option<String>,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

impl Settings {
    /// As they may be seen: without secrets.
    pub(crate) fn show(&self) -> Shown {
        let mut config = self.config.clone();
        let mut line = |(name, origin): &(&'static str, Origin)| {
            let setting = all().find(|setting| setting.name == *name)?;
            let source = match origin {
                Origin::Flag(_) => "flag",
                Origin::Variable(_) => "environment",
                Origin::File { .. } => "file",
                Origin::Default => "default",
            };
            let place = (*origin != Origin::Default).then(|| origin.to_string());
            Some(Line { name: key(name), value: setting.shown(&mut config), source, place })
        };
        Shown { role: self.role.name(), settings: self.origins.iter().filter_map(&mut line).collect() }
    }
}

impl Answer for Shown {
    fn ids(&self) -> Vec<String> {
        self.settings.iter().map(|line| line.name.clone()).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["SETTING", "VALUE", "FROM"]);
        for line in &self.settings {
            let from = line
                .place
                .as_deref()
                .map_or_else(|| line.source.to_owned(), |place| format!("{} {place}", line.source));
            table.row([line.name.clone(), or_dash(line.value.as_ref()), from]);
        }
        table.to_string()
    }
}

//! What a setting is: one definition, from which its flag, its environment variable, its key in the file, its checks,
//! its line in `pawl config` and its row in `docs/settings.md` are made.

use super::config::Config;
use super::kind::Kind;
use super::redact;
use super::value::Value;

/// Who reads settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `pawl api`.
    Api,
    /// `pawl worker`.
    Worker,
    /// `pawl dev`: both in one process.
    Dev,
    /// Every other command.
    Client,
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Api, Self::Worker, Self::Dev, Self::Client];

    /// As it is called in commands, and as its table in the file.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Dev => "dev",
            Self::Client => "client",
        }
    }
}

/// One setting.
pub(super) struct Setting {
    /// Its name: that of its flag, and with other letters that of its variable and its key.
    pub(super) name: &'static str,
    /// A name that it had before, which goes on working.
    pub(super) former: Option<&'static str>,
    /// Which values there are.
    pub(super) kind: Kind,
    /// Who reads it.
    pub(super) readers: &'static [Role],
    /// Where its value is kept. The default is what stands there before anything is read.
    pub(super) field: Field,
    /// What it means, for help and documentation.
    pub(super) what: &'static str,
    /// The default in words, where it depends on the machine.
    pub(super) usually: Option<&'static str>,
    /// Variables that are not Pawl's own, and are read where Pawl is told nothing, the first that is there; with what makes of
    /// their value that of the setting.
    pub(super) standard: &'static [Standard],
}

/// A variable that other programs know as well.
pub(super) type Standard = (&'static str, fn(&str) -> String);

/// A place in the configuration.
pub(super) type Field = fn(&mut Config) -> &mut dyn Value;

/// Begins a definition.
pub(super) const fn setting(name: &'static str, kind: Kind, readers: &'static [Role], field: Field) -> Setting {
    Setting { name, former: None, kind, readers, field, what: "", usually: None, standard: &[] }
}

impl Setting {
    pub(super) const fn what(mut self, what: &'static str) -> Self {
        self.what = what;
        self
    }

    pub(super) const fn formerly(mut self, name: &'static str) -> Self {
        self.former = Some(name);
        self
    }

    pub(super) const fn usually(mut self, words: &'static str) -> Self {
        self.usually = Some(words);
        self
    }

    pub(super) const fn or_by(mut self, standard: &'static [Standard]) -> Self {
        self.standard = standard;
        self
    }

    /// All its names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name].into_iter().chain(self.former)
    }

    pub(super) fn is_read_by(&self, role: Role) -> bool {
        self.readers.contains(&role)
    }

    /// Its value as people may see it; none if it has none.
    pub(super) fn shown(&self, config: &mut Config) -> Option<String> {
        let value = (self.field)(config).show(&self.kind)?;
        Some(match self.kind {
            Kind::Secret | Kind::Token => redact::HIDDEN.to_owned(),
            Kind::Url => redact::url(&value),
            _ => value,
        })
    }
}

/// Its key in the file.
pub(super) fn key(name: &str) -> String {
    name.replace('-', "_")
}

/// Its environment variable.
pub(super) fn variable(name: &str) -> String {
    format!("PAWL_{}", key(name).to_uppercase())
}

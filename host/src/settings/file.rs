//! The settings file: TOML. A key at the top is for all who read the setting; the same key in the table of a role
//! (`[api]`, `[worker]`, `[dev]`, `[client]`) is for that role, and wins.

use std::path::{Path, PathBuf};

use pawl_domain::pipeline_file::closest;
use toml::de::{DeTable, DeValue};

use super::all::all;
use super::setting::{Role, Setting, key};
use super::{Error, Given, Origin};

/// What a file says.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    role: Option<Role>,
    key: String,
    text: String,
    line: usize,
}

impl File {
    /// Reads a file; a key that is no setting's is an error, whoever reads.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut file = Self { path: path.to_owned(), entries: Vec::new() };
        let table = DeTable::parse(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            file.fault(line, format!("not valid TOML: {}", error.message()))
        })?;
        file.take(None, table.get_ref(), text)?;
        Ok(file)
    }

    /// Takes in the top, or the table of a role.
    fn take(&mut self, role: Option<Role>, table: &DeTable<'_>, text: &str) -> Result<(), Error> {
        for (name, value) in table {
            let line = line_of(text, name.span().start);
            let key = name.get_ref();
            let whose = Role::ALL.into_iter().find(|other| role.is_none() && other.name() == key);
            match (whose, value.get_ref()) {
                (Some(_), DeValue::Table(own)) => self.take(whose, own, text)?,
                (_, value) => {
                    let text = read(role, key, value).map_err(|fault| self.fault(line, fault))?;
                    self.entries.push(Entry { role, key: key.to_string(), text, line });
                }
            }
        }
        Ok(())
    }

    fn fault(&self, line: usize, fault: String) -> Error {
        Error::Fault { path: self.path.clone(), line, fault }
    }

    /// All that it says to `role` about a setting: more than one if it says it under several names.
    pub(super) fn says(&self, role: Role, setting: &Setting) -> Vec<Given> {
        let of = |role: Option<Role>| -> Vec<Given> {
            let about = |entry: &&Entry| entry.role == role && setting.names().any(|name| key(name) == entry.key);
            let given = |entry: &Entry| Given {
                name: entry.key.clone(),
                text: entry.text.clone(),
                origin: Origin::File { path: self.path.clone(), line: entry.line },
            };
            self.entries.iter().filter(about).map(given).collect()
        };
        let own = of(Some(role));
        if own.is_empty() { of(None) } else { own }
    }
}

/// From 1.
fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The text of one entry, if there is such a setting for `role`.
fn read(role: Option<Role>, name: &str, value: &DeValue<'_>) -> Result<String, String> {
    let has_name = |setting: &&Setting| setting.names().any(|known| key(known) == name);
    let Some(setting) = all().find(has_name) else {
        let known: Vec<String> = all().map(|setting| key(setting.name)).collect();
        let tables = Role::ALL.iter().filter(|_| role.is_none()).map(|role| role.name());
        let meant = closest(name, known.iter().map(String::as_str).chain(tables));
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        return Err(format!("there is no setting `{name}`{meant}"));
    };
    if let Some(role) = role.filter(|role| !setting.is_read_by(*role)) {
        let readers: Vec<_> = setting.readers.iter().map(|role| format!("[{}]", role.name())).collect();
        return Err(format!(
            "`{name}` is no setting of [{}]; it may stand at the top or in {}",
            role.name(),
            readers.join(", ")
        ));
    }
    text(value)
        .ok_or_else(|| format!("`{name}` must be {}, in quotes if it is not a bare number", setting.kind.values()))
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(is_so) => Some(is_so.to_string()),
        DeValue::Array(items) => {
            items.iter().map(|item| text(item.get_ref())).collect::<Option<Vec<_>>>().map(|it| it.join(","))
        }
        _ => None,
    }
}

//! Which API belongs to the folder that somebody is in. A running `pawl dev` says in `.pawl/dev.json` where it listens,
//! and holds a lock on that file, so that what a killed one has left is not believed. Commands that were told no
//! address find it there, in their folder or the nearest one above, and name the folder in each request: another
//! folder's `pawl dev`, which may have taken the address since, refuses them. Beside that file stands its token, so that nobody
//! has to type one, and nobody else has it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pawl_base::envelope::Keys;
use pawl_base::owner_only::{self, Kept};
use pawl_domain::access::Role;
use pawl_domain::token::TokenText;
use serde::{Deserialize, Serialize};

use super::plugin_build;

/// Where `pawl dev` keeps what it needs, unless it is told otherwise.
pub(super) const DATA: &str = ".pawl";

/// In the folder with the data.
const FILE: &str = "dev.json";

/// Beside it.
const TOKEN: &str = "token";
const SECRETS_KEY: &str = "secrets.key";

/// Makes the folder with the data, if need be: its owner's alone, and nobody's source, so that a `git add` of everything leaves
/// it out.
pub(super) fn keep_data(data: &Path) -> anyhow::Result<()> {
    let unusable = || format!("can't use the folder {}", data.display());
    let kept = if data.ends_with(DATA) { Kept::ForPawl } else { Kept::WithOthers };
    owner_only::folder(data, kept).with_context(unusable)?;
    let file = data.join(".gitignore");
    if !file.exists() {
        owner_only::write(&file, b"*\n").with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) url: String,
    /// Where `pawl dev` was started.
    pub(super) folder: PathBuf,
    /// Its token, which stands in a file of its own.
    #[serde(skip)]
    pub(super) token: Option<String>,
}

/// Says it as long as it lives.
#[derive(Debug)]
pub(super) struct Announced {
    _locked: File,
    path: PathBuf,
}

impl Announced {
    /// Says it to those who look into the folder of that `data`.
    pub(super) fn in_data(data: &Path, said: &Said) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        let write = || -> std::io::Result<File> {
            let mut options = OpenOptions::new();
            let mut file = owner_only::open(options.read(true).write(true).create(true).truncate(false), &path)?;
            // Somebody may be looking whether it is locked, which takes a moment.
            file.lock()?;
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(serde_json::to_string(said)?.as_bytes())?;
            Ok(file)
        };
        let file = write().with_context(|| format!("can't write {}", path.display()))?;
        Ok(Self { _locked: file, path })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // If it stays, nobody believes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The token of a `pawl dev` with that `data`: the one that it had before, if nobody else can have read it, else a new one. It
/// stands in a file that only its owner may read, where the commands of that user find it.
pub(super) fn token_for(data: &Path) -> anyhow::Result<(String, PathBuf)> {
    let data = data.canonicalize().with_context(|| format!("can't use the folder {}", data.display()))?;
    let path = data.join(TOKEN);
    if let Some(token) = read_token(&path) {
        return Ok((token, path));
    }
    let name = "dev".parse()?;
    let (text, _) = pawl_api::new_token(&name, Role::Admin, None, None).map_err(anyhow::Error::msg)?;
    let write = || -> std::io::Result<()> {
        // Readable by its owner alone from its first moment on.
        let mut file = tempfile::Builder::new().prefix(".token-").tempfile_in(&data)?;
        file.write_all(text.reveal().as_bytes())?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| format!("can't write {}", path.display()))?;
    Ok((text.reveal().to_owned(), path))
}

/// The master keys of secrets of a `pawl dev` with that `data`, which makes one if there is none: in a file that only its owner may
/// read. It is no part of a backup.
pub(super) fn secret_keys_in(data: &Path) -> anyhow::Result<Keys> {
    let path = data.join(SECRETS_KEY);
    let shown = path.display();
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            owner_only::tighten(&path).with_context(|| format!("can't keep others from {shown}"))?;
            Keys::read(&text).with_context(|| format!("{shown}, with the master keys of secrets"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = Keys::random_text()?;
            let write = || -> std::io::Result<()> {
                // There whole, or not at all: without its key, secrets that are set are lost.
                let mut file = tempfile::Builder::new().prefix(".secrets-").tempfile_in(data)?;
                file.write_all(format!("{text}\n").as_bytes())?;
                file.as_file().sync_all()?;
                file.persist(&path)?;
                Ok(())
            };
            write().with_context(|| format!("can't write {shown}"))?;
            Ok(Keys::read(&text)?)
        }
        Err(error) => Err(error).with_context(|| format!("can't read {shown}, with the master keys of secrets")),
    }
}

/// The token in a file that the API at `base` has named: if a `pawl dev` says beside it that it listens there, and the file is
/// this user's. So nobody else who listens is sent one.
pub(super) fn token_in(base: &str, file: &Path) -> Option<String> {
    let said = said_by(file.parent()?.join(FILE))?;
    (file.file_name()? == TOKEN && is_one_place(base, &said.url)).then(|| read_token(file)).flatten()
}

/// A token that only this user can have read, or written.
fn read_token(path: &Path) -> Option<String> {
    let found = path.symlink_metadata().ok()?;
    let is_own = found.is_file() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    let text = is_own.then(|| std::fs::read_to_string(path).ok()).flatten()?;
    text.trim().parse::<TokenText>().ok().map(|token| token.reveal().to_owned())
}

/// Whether two addresses of this machine mean one: the same port, and not two numbers.
fn is_one_place(one: &str, other: &str) -> bool {
    let parts = |url: &str| {
        let (_, rest) = url.split_once("://")?;
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
        Some((host.to_owned(), port.to_owned()))
    };
    let (Some((host, port)), Some((other, other_port))) = (parts(one), parts(other)) else { return false };
    port == other_port && (host == other || [host, other].iter().any(|host| host == "localhost"))
}

/// What a running `pawl dev` says in a folder's `.pawl`.
fn said_in(folder: &Path) -> Option<Said> {
    let data = folder.join(DATA);
    let said = said_by(data.join(FILE))?;
    Some(Said { token: read_token(&data.join(TOKEN)), ..said })
}

/// What it says in this file, if it runs.
fn said_by(file: PathBuf) -> Option<Said> {
    let mut file = File::open(file).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        // Nobody holds it, or the file system has no locks to tell by.
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The API of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Here {
    /// One runs.
    Runs(Said),
    /// This folder would have its own; none runs.
    Silent(PathBuf),
    /// There is nothing of Pawl in this folder; `None`: an address was named, or where this is can't be told.
    Nothing(Option<PathBuf>),
}

/// Looks around in `from`, which is absolute.
pub(super) fn look(from: &Path) -> Here {
    if let Some(said) = from.ancestors().find_map(said_in) {
        return Here::Runs(said);
    }
    let own = from.ancestors().find(|folder| plugin_build::is_source(folder));
    own.map_or_else(|| Here::Nothing(Some(from.to_owned())), |folder| Here::Silent(folder.to_owned()))
}

/// What a `pawl dev` has in `from`, which is absolute, or in the nearest folder above it, whether it runs or not.
pub(super) fn data_near(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(DATA)).find(|data| data.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_finds_its_own_pawl_dev_as_long_as_that_lives() {
        let root = tempfile::tempdir().unwrap();
        let (plugin, deep) = (root.path().join("hello"), root.path().join("hello/src/deep"));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(plugin.join(DATA)).unwrap();
        assert_eq!(look(&deep), Here::Nothing(Some(deep.clone())));
        assert_eq!(data_near(&deep), Some(plugin.join(DATA)));
        std::fs::write(plugin.join("Cargo.toml"), "[lib]\ncrate-type = [\"cdylib\"]\n").unwrap();
        assert_eq!(look(&deep), Here::Silent(plugin.clone()));

        let said = Said { url: "http://127.0.0.1:1".to_owned(), folder: plugin.clone(), token: None };
        let announced = Announced::in_data(&plugin.join(DATA), &said).unwrap();
        assert_eq!(look(&deep), Here::Runs(said.clone()));
        assert_eq!(look(root.path()), Here::Nothing(Some(root.path().to_owned())));
        drop(announced);
        assert_eq!(look(&deep), Here::Silent(plugin.clone()));

        // One that was killed leaves the file, and no lock.
        std::fs::write(plugin.join(DATA).join(FILE), serde_json::to_string(&said).unwrap()).unwrap();
        assert_eq!(look(&deep), Here::Silent(plugin));
    }
    #[test]
    fn a_token_is_its_owners_and_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let (token, file) = token_for(data.path()).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(token_for(data.path()).unwrap().0, token, "one that runs on must not be shut out by a restart");
        // Others may have read it.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_token(&file), None);
        let (second, _) = token_for(data.path()).unwrap();
        assert!(second != token && file.metadata().unwrap().mode() & 0o777 == 0o600);
        std::fs::write(&file, "s3cret").unwrap();
        assert_ne!(token_for(data.path()).unwrap().0, "s3cret", "whoever wrote that knows it");
    }

    #[test]
    fn a_token_is_sent_only_to_the_pawl_dev_that_says_it_listens_there() {
        let data = tempfile::tempdir().unwrap();
        let (token, file) = token_for(data.path()).unwrap();
        let said = Said { url: "http://127.0.0.1:7340".to_owned(), folder: data.path().to_owned(), token: None };
        assert_eq!(token_in("http://127.0.0.1:7340/", &file), None, "none runs");
        let announced = Announced::in_data(data.path(), &said).unwrap();
        for (base, is_there) in [
            ("http://127.0.0.1:7340/", true),
            ("http://localhost:7340/", true),
            ("http://127.0.0.1:7341/", false),
            ("http://127.0.0.2:7340/", false),
            ("http://localhost/", false),
        ] {
            assert_eq!(token_in(base, &file).is_some(), is_there, "{base}");
        }
        assert_eq!(token_in("http://127.0.0.1:7340/", &data.path().join("other")), None, "no other file is read");
        let link = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&file, link.path().join(TOKEN)).unwrap();
        assert_eq!(read_token(&link.path().join(TOKEN)), None, "nor what a link points to");
        assert_eq!(token_in("http://127.0.0.1:7340/", &file).as_deref(), Some(&*token));
        drop(announced);
        assert_eq!(token_in("http://127.0.0.1:7340/", &file), None);
    }
}

//! The SDK for crates outside of Pawl's own workspace. There is no crate of it to download: this program
//! carries the sources and keeps them in `.pawl/sdk` of a plugin that depends on that folder, always in its
//! own version, so that a plugin is built against the host that builds it. The folder is no part of the
//! plugin's repository.

use std::path::Path;

use anyhow::Context as _;
use toml::{Table, Value};

use super::replace;

/// Beside the plugin's manifest.
const FOLDER: &str = ".pawl/sdk";

/// The crate in it.
const CRATE: &str = "guest-sdk";

/// Pawl's own manifest: the versions of dependencies and the lints that the SDK's crates take from it.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// The versions that Pawl itself is built with.
pub(crate) const LOCK: &str = include_str!("../../../Cargo.lock");

/// Paths from the repository's root, and contents; listed by `build.rs`.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// Writes the SDK for the crate in `dir`, if it wants it.
///
/// # Errors
/// If the folder can't be written.
pub(crate) fn restore_sdk(dir: &Path) -> anyhow::Result<()> {
    if !wants_sdk(dir) {
        return Ok(());
    }
    let folder = dir.join(FOLDER);
    let mut files = vec![("Cargo.toml", workspace())];
    files.extend(embedded::FILES.iter().map(|(name, text)| (*name, (*text).to_owned())));
    for (name, text) in files {
        replace(&folder.join(name), text.as_bytes()).with_context(|| format!("can't write {}", folder.display()))?;
    }
    Ok(())
}

fn wants_sdk(dir: &Path) -> bool {
    let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
    let path = manifest.parse::<Table>().ok().and_then(|manifest| {
        let dependency = manifest.get("dependencies")?.get("pawl-sdk")?;
        Some(dependency.get("path")?.as_str()?.to_owned())
    });
    path.is_some_and(|path| Path::new(&path) == Path::new(FOLDER).join(CRATE))
}

/// The manifest over the SDK's crates: Pawl's own without what is not theirs.
fn workspace() -> String {
    let mut manifest: Table = WORKSPACE.parse().expect("this program was built with it");
    let mut workspace = match manifest.remove("workspace") {
        Some(Value::Table(workspace)) => workspace,
        _ => Table::new(),
    };
    workspace.remove("exclude");
    let members = [CRATE.to_owned(), format!("{CRATE}/macros")];
    workspace.insert("members".into(), Value::Array(members.map(Value::String).to_vec()));
    Table::from_iter([("workspace".to_owned(), Value::Table(workspace))]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_depends_on_the_folder_gets_the_sdk_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = |path: &str| format!("[dependencies]\npawl-sdk = {{ path = \"{path}\" }}\n");
        std::fs::write(dir.path().join("Cargo.toml"), manifest("../guest-sdk")).unwrap();
        restore_sdk(dir.path()).unwrap();
        assert!(!dir.path().join(".pawl").exists());
        std::fs::write(dir.path().join("Cargo.toml"), manifest(".pawl/sdk/guest-sdk")).unwrap();
        restore_sdk(dir.path()).unwrap();
        for file in ["Cargo.toml", "guest-sdk/Cargo.toml", "guest-sdk/src/lib.rs", "guest-sdk/macros/src/lib.rs"] {
            assert!(dir.path().join(".pawl/sdk").join(file).exists(), "{file}");
        }
    }
}

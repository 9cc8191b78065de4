//! The SDK for crates outside of Pawl's own workspace. There is no crate of it to download: this program carries the
//! sources, and `pawl plugin new` writes them into a folder that belongs to the plugin's repository, so that a clone
//! builds with cargo alone. Plugins that lie beside each other share one.
//!
//! An SDK that was written once keeps working, whatever builds the plugin; `pawl plugin update` writes the newest.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use toml::{Table, Value};

use super::replace;

/// The folder, which is the crate, too.
const FOLDER: &str = "pawl-sdk";

/// Where early plugins had it: no part of their repositories.
const EARLY: &str = ".pawl/sdk/guest-sdk";

/// What `pawl plugin new` wrote into their manifests, and what it writes now.
const EARLY_EXCLUDE: [&str; 2] = ["exclude = [\".pawl\"]", "exclude = [\"pawl-sdk\"]"];
const EARLY_COMMENT: &str = " # kept there by `pawl plugin build`, in its own version";

/// Where the crates are in this repository.
const CRATE: &str = "guest-sdk/";

/// Pawl's own manifest: the versions of dependencies and the lints that the SDK's crates take from it.
const WORKSPACE: &str = include_str!("../../carried/workspace.toml");

/// The versions that Pawl itself is built with.
pub(crate) const LOCK: &str = include_str!("../../carried/workspace.lock");

/// Paths from the repository's root, and contents; listed by `build.rs`.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// An SDK that some plugin depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sdk {
    folder: PathBuf,
    is_early: bool,
}

/// Where the SDK of a new plugin in `parent` goes, as its manifest says it: where there is one already, in `parent` or
/// above it in the same repository; beside the folder of all plugins; else into the plugin.
pub(crate) fn path_for_new(parent: &Path, has_all_plugins: bool) -> String {
    let up = |levels: usize| format!("{}{FOLDER}", "../".repeat(levels + 1));
    let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
    for (levels, folder) in parent.ancestors().enumerate() {
        if folder.join(FOLDER).join("Cargo.toml").is_file() {
            return up(levels);
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    if has_all_plugins || parent.ends_with("plugins") { up(1) } else { FOLDER.to_owned() }
}

impl Sdk {
    /// That of the crate in `dir`; `None` if its SDK comes from elsewhere.
    pub(crate) fn of(dir: &Path) -> Option<Self> {
        let manifest: Table = std::fs::read_to_string(dir.join("Cargo.toml")).ok()?.parse().ok()?;
        let path = Path::new(manifest.get("dependencies")?.get(FOLDER)?.get("path")?.as_str()?);
        let is_early = path == Path::new(EARLY);
        (is_early || path.ends_with(FOLDER)).then(|| Self { folder: dir.join(path), is_early })
    }

    /// The folder that it lies in, if that is not the plugin's own in `dir`.
    pub(crate) fn root_beside(&self, dir: &Path) -> Option<PathBuf> {
        let folder = self.folder.canonicalize().ok().filter(|folder| !self.is_early && !folder.starts_with(dir))?;
        folder.parent().map(Path::to_owned)
    }

    /// Writes it where it is missing: in a clone of an early plugin, or where somebody has deleted it.
    ///
    /// # Errors
    /// If the folder can't be written.
    pub(crate) fn restore(&self) -> anyhow::Result<()> {
        if self.is_early || !self.folder.join("Cargo.toml").is_file() { self.write() } else { Ok(()) }
    }

    /// Whether it is the one that this program carries, in a place that belongs to the repository.
    pub(crate) fn is_current(&self) -> bool {
        let is_same = |(name, text): &(String, String)| {
            std::fs::read_to_string(self.folder.join(name)).is_ok_and(|written| written == *text)
        };
        !self.is_early && files().iter().all(is_same)
    }

    /// Writes it in this program's version.
    ///
    /// # Errors
    /// If the folder can't be written.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let write = || -> std::io::Result<()> {
            // Modules that are gone would only confuse readers.
            for sources in ["src", "macros"] {
                let sources = self.folder.join(sources);
                if sources.exists() && !self.is_current() {
                    std::fs::remove_dir_all(sources)?;
                }
            }
            files().iter().try_for_each(|(name, text)| replace(&self.folder.join(name), text.as_bytes()))
        };
        write().with_context(|| format!("can't write {}", self.folder.display()))
    }
}

/// Brings the SDK of the crate in `dir` up to date; where it is, `None` if it comes from elsewhere.
///
/// # Errors
/// If the folder or the crate's manifest can't be written.
pub(crate) fn update(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(sdk) = Sdk::of(dir) else { return Ok(None) };
    if !sdk.is_early {
        sdk.write()?;
        return Ok(Some(sdk.folder));
    }
    let dir = dir.canonicalize()?;
    let path = path_for_new(dir.parent().unwrap_or(&dir), false);
    let manifest = dir.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)?;
    let text = text.replace(EARLY, &path).replace(EARLY_COMMENT, "").replace(EARLY_EXCLUDE[0], EARLY_EXCLUDE[1]);
    let moved = Sdk { folder: dir.join(&path), is_early: false };
    moved.write()?;
    replace(&manifest, text.as_bytes()).with_context(|| format!("can't write {}", manifest.display()))?;
    // Nothing names it any more; left behind, it does no harm.
    let _ = std::fs::remove_dir_all(dir.join(".pawl/sdk"));
    Ok(Some(moved.folder))
}

/// The crate as it stands alone: names within its folder, and contents.
fn files() -> Vec<(String, String)> {
    let own = embedded::FILES.iter().filter_map(|(name, text)| Some((name.strip_prefix(CRATE)?, *text)));
    own.map(|(name, text)| (name.to_owned(), if name == "Cargo.toml" { manifest(text) } else { text.to_owned() }))
        .collect()
}

/// The SDK's manifest with what it takes from the workspace of Pawl, and nothing else of that.
fn manifest(own: &str) -> String {
    let parse = |text: &str| -> Table { text.parse().expect("this program was built with it") };
    let mut own = parse(own);
    own.remove("dev-dependencies");
    let mut pawl = parse(WORKSPACE);
    let Some(Value::Table(mut workspace)) = pawl.remove("workspace") else { return own.to_string() };
    workspace.remove("exclude");
    workspace.insert("members".into(), Value::Array(vec!["macros".into()]));
    let manifests: Vec<&str> =
        embedded::FILES.iter().filter(|(name, _)| name.ends_with("Cargo.toml")).map(|(_, text)| *text).collect();
    if let Some(Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        let macros = Table::from_iter([("path".to_owned(), "macros".into())]);
        dependencies.insert("pawl-sdk-macros".into(), macros.into());
        let is_used = |name: &str| {
            manifests.iter().any(|text| parse(text).get("dependencies").is_some_and(|it| it.get(name).is_some()))
        };
        dependencies.retain(|name, _| is_used(name));
    }
    own.insert("workspace".into(), workspace.into());
    own.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(dir: &Path, path: &str) {
        std::fs::create_dir_all(dir).unwrap();
        let comment = if path == EARLY { EARLY_COMMENT } else { "" };
        let text = format!(
            "[dependencies]\npawl-sdk = {{ path = \"{path}\" }}{comment}\n\n[workspace]\n{}\n",
            EARLY_EXCLUDE[usize::from(path != EARLY)]
        );
        std::fs::write(dir.join("Cargo.toml"), text).unwrap();
    }

    #[test]
    fn plugins_beside_each_other_share_the_sdk_of_their_repository() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let folder = root.path().join(path);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        assert_eq!(path_for_new(&at("work"), false), "pawl-sdk");
        assert_eq!(path_for_new(&at("work/plugins"), false), "../../pawl-sdk");
        assert_eq!(path_for_new(&at("work/steps"), true), "../../pawl-sdk");
        std::fs::write(at("repository/pawl-sdk").join("Cargo.toml"), "").unwrap();
        assert_eq!(path_for_new(&at("repository"), false), "../pawl-sdk");
        assert_eq!(path_for_new(&at("repository/steps/of/mine"), false), "../../../../pawl-sdk");
        at("repository/other/.git");
        let path = path_for_new(&at("repository/other"), false);
        assert_eq!(path, "pawl-sdk", "it must be part of the plugin's repository");
    }

    #[test]
    fn an_sdk_is_written_where_it_is_missing_and_renewed_only_when_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("hello");
        plugin(&dir, "../guest-sdk");
        assert_eq!(Sdk::of(&dir), None);
        plugin(&dir, "pawl-sdk");
        let sdk = Sdk::of(&dir).unwrap();
        sdk.restore().unwrap();
        for file in ["Cargo.toml", "src/lib.rs", "macros/Cargo.toml", "macros/src/lib.rs"] {
            assert!(dir.join("pawl-sdk").join(file).is_file(), "{file}");
        }
        assert!(sdk.is_current());
        std::fs::write(dir.join("pawl-sdk/src/gone.rs"), "").unwrap();
        std::fs::write(dir.join("pawl-sdk/src/lib.rs"), "// of an earlier version").unwrap();
        sdk.restore().unwrap();
        assert!(!sdk.is_current());
        assert_eq!(update(&dir).unwrap(), Some(dir.join("pawl-sdk")));
        assert!(sdk.is_current() && !dir.join("pawl-sdk/src/gone.rs").exists());
    }

    #[test]
    fn an_early_plugin_gets_its_sdk_into_its_repository() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().canonicalize().unwrap().join("hello");
        plugin(&dir, EARLY);
        let early = Sdk::of(&dir).unwrap();
        early.restore().unwrap();
        assert!(dir.join(EARLY).join("src/lib.rs").is_file() && !early.is_current());
        assert_eq!(update(&dir).unwrap(), Some(dir.join("pawl-sdk")));
        assert!(Sdk::of(&dir).unwrap().is_current() && !dir.join(EARLY).exists());
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let wanted = "[dependencies]\npawl-sdk = { path = \"pawl-sdk\" }\n\n[workspace]\nexclude = [\"pawl-sdk\"]\n";
        assert_eq!(manifest, wanted);
    }

    #[test]
    fn the_manifest_stands_alone_and_names_what_the_crates_use() {
        let manifest: Table = files().into_iter().find(|(name, _)| name == "Cargo.toml").unwrap().1.parse().unwrap();
        let workspace = manifest["workspace"].as_table().unwrap();
        let dependencies = workspace["dependencies"].as_table().unwrap();
        assert!(dependencies.contains_key("wit-bindgen") && !dependencies.contains_key("wasmtime"));
        assert_eq!(dependencies["pawl-sdk-macros"]["path"].as_str(), Some("macros"));
        assert_eq!(manifest["package"]["name"].as_str(), Some("pawl-sdk"));
        assert!(!manifest.contains_key("dev-dependencies"));
    }
}

//! What `pawl dev` looks after: plugin sources, components and pipeline files, by where they are; and which files
//! make a difference to a build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pawl_api::Unbuilt;

use super::super::exit::usage;
use super::super::project::{PIPELINES, PLUGINS};
use super::super::{pipeline_files, plugin_build};

/// The file of a pipeline that stands beside a plugin's source.
const PIPELINE: &str = "pipeline.toml";

/// Folders that hold nothing of the author's.
const IGNORED: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// What a build reads of a plugin's folder, though it has not read it yet: a module that is new, or whatever was there
/// when the first build failed.
const SOURCES: [&str; 4] = ["rs", "py", "js", "mjs"];
const MANIFESTS: [&str; 3] = ["Cargo.toml", "pyproject.toml", "package.json"];

/// Where plugins and pipelines are.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    plugins: Option<PathBuf>,
    pipelines: Option<PathBuf>,
    /// A pipeline on its own.
    pipeline: Option<PathBuf>,
    /// Which files the last build of a plugin has read, by the plugin's folder.
    read: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

impl Sources {
    /// Those that were asked for, or those that are where one would put them.
    pub(super) fn of(plugins: Option<PathBuf>, pipelines: Option<PathBuf>) -> anyhow::Result<Self> {
        for folder in [&plugins, &pipelines].into_iter().flatten() {
            if !folder.is_dir() {
                return Err(usage(format!("there is no folder {}", folder.display())));
            }
        }
        let here = Path::new(".");
        let usual = |name: &str| Some(PathBuf::from(name)).filter(|folder| folder.is_dir());
        let pipeline = Some(here.join(PIPELINE)).filter(|file| pipelines.is_none() && file.is_file());
        Ok(Self {
            plugins: plugins
                .or_else(|| plugin_build::is_source(here).then(|| here.to_owned()))
                .or_else(|| usual(PLUGINS)),
            pipelines: pipelines.or_else(|| usual(PIPELINES)),
            pipeline,
            read: BTreeMap::new(),
        })
    }

    /// Whether there may be several plugins, which then share what is compiled for them.
    pub(super) fn are_several(&self) -> bool {
        self.plugins.as_ref().is_some_and(|root| !plugin_build::is_source(root))
    }

    /// Folders of plugins' sources.
    pub(super) fn plugin_folders(&self) -> Vec<PathBuf> {
        let Some(root) = &self.plugins else { return Vec::new() };
        if plugin_build::is_source(root) {
            return vec![root.clone()];
        }
        plugin_build::sources_in(root)
    }

    /// Components that somebody else has built.
    pub(super) fn components(&self) -> Vec<PathBuf> {
        let Some(root) = &self.plugins else { return Vec::new() };
        entries(root).into_iter().filter(|path| has_extension(path, &["wasm"])).collect()
    }

    /// Files of pipelines.
    pub(super) fn pipeline_files(&self) -> Vec<PathBuf> {
        let mut files = self.pipelines.as_deref().map(entries).unwrap_or_default();
        files.retain(|path| pipeline_files::is_one(path));
        files.extend(self.pipeline.clone());
        files
    }

    /// A build of the plugin in `folder` has read these.
    pub(super) fn has_read(&mut self, folder: &Path, files: impl IntoIterator<Item = PathBuf>) {
        let authors = |file: &PathBuf| !file.components().any(|part| IGNORED.iter().any(|it| part.as_os_str() == *it));
        self.read.insert(folder.to_owned(), files.into_iter().filter(authors).collect());
    }

    /// The files that builds have read.
    pub(super) fn files_read(&self) -> impl Iterator<Item = &PathBuf> {
        self.read.values().flatten()
    }

    /// Whether a change of this file, which need not be there any more, makes a difference to a build or a pipeline.
    pub(super) fn is_read(&self, path: &Path) -> bool {
        let is_component = || self.components().iter().any(|file| is_same(file, path));
        self.read.values().any(|read| read.contains(path))
            || (is_source(path) && self.plugins.as_ref().is_some_and(|root| lies_in(path, root)))
            || self.is_pipeline(path)
            || is_component()
    }

    /// Whether a pipeline is there, or was: `path` is whole.
    fn is_pipeline(&self, path: &Path) -> bool {
        let stands_in = |folder: &Path| {
            let folder = if folder == Path::new("") { Path::new(".") } else { folder };
            folder.canonicalize().is_ok_and(|folder| path.parent() == Some(folder.as_path()))
        };
        let among = self.pipelines.as_ref().is_some_and(|folder| stands_in(folder));
        let alone = self.pipeline.as_ref().and_then(|file| file.parent()).is_some_and(stands_in);
        among && pipeline_files::is_one(path) || alone && path.ends_with(PIPELINE)
    }

    /// What is not active as these files say it, by name: of plugins and of pipelines.
    pub(super) fn unbuilt(&self, paths: &BTreeSet<PathBuf>) -> Unbuilt {
        let files = [self.components(), self.pipeline_files()].concat();
        let changed = files.into_iter().filter(|file| paths.iter().any(|path| is_same(file, path)));
        Self::names_of(self.plugins_of(paths).into_iter().chain(changed))
    }

    /// The same at the start, when nothing of it is known to be.
    pub(super) fn all_unbuilt(&self) -> Unbuilt {
        Self::names_of([self.plugin_folders(), self.components(), self.pipeline_files()].concat())
    }

    /// What is made of folders with sources, of components and of files of pipelines.
    pub(super) fn names_of(made_of: impl IntoIterator<Item = impl AsRef<Path>>) -> Unbuilt {
        let mut names = Unbuilt::default();
        for path in made_of {
            let path = path.as_ref();
            if path.is_dir() {
                names.plugins.extend(plugin_build::name_of(path));
            } else if has_extension(path, &["wasm"]) {
                // It is usually called as its plugin is: the name stands in it, where only the API looks.
                names.plugins.extend(path.file_stem().and_then(|stem| Some(stem.to_str()?.to_owned())));
            } else {
                names.pipelines.extend(pipeline_files::name_in(path));
            }
        }
        names
    }

    /// The plugins that are to be built again when these files have changed.
    pub(super) fn plugins_of(&self, paths: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let is_of = |folder: &PathBuf, path: &PathBuf| {
            self.read.get(folder).is_some_and(|read| read.contains(path)) || (is_source(path) && lies_in(path, folder))
        };
        let mut folders = self.plugin_folders();
        folders.retain(|folder| paths.iter().any(|path| is_of(folder, path)));
        folders
    }

    /// Folders to be watched, each without those below it.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        // The system tells whole paths.
        let root = |folder: &PathBuf| folder.canonicalize().ok();
        for folder in [&self.plugins, &self.pipelines].into_iter().flatten().filter_map(root) {
            below(&folder, &mut folders);
        }
        folders.extend(self.pipeline.as_ref().and_then(|file| file.canonicalize().ok()?.parent().map(Path::to_owned)));
        folders.extend(self.read.values().flatten().filter_map(|file| file.parent().map(Path::to_owned)));
        folders.sort();
        folders.dedup();
        folders
    }
}

/// Whether a file or folder of this name may be the author's.
pub(super) fn is_authors(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with(['.', '#']) && !name.ends_with('~') && !IGNORED.contains(&&*name)
}

/// Whether a file of this name is something that builds read.
fn is_source(path: &Path) -> bool {
    let is_manifest = path.file_name().is_some_and(|name| MANIFESTS.iter().any(|manifest| name == *manifest));
    is_authors(path) && (is_manifest || has_extension(path, &SOURCES))
}

/// `path` is whole, as the system tells it.
fn lies_in(path: &Path, folder: &Path) -> bool {
    folder.canonicalize().is_ok_and(|folder| path.starts_with(folder))
}

/// `path` is whole, and may be gone.
pub(super) fn is_same(file: &Path, path: &Path) -> bool {
    file.canonicalize().is_ok_and(|file| file == path)
}

fn below(folder: &Path, folders: &mut Vec<PathBuf>) {
    folders.push(folder.to_owned());
    for entry in entries(folder) {
        if entry.is_dir() && is_authors(&entry) {
            below(&entry, folders);
        }
    }
}

fn has_extension(path: &Path, wanted: &[&str]) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| wanted.contains(&extension))
}

/// What is in a folder, by name; nothing if it can't be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_build_reads_makes_a_difference() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let write = |name: &str, text: &str| {
            let file = root.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write("plugins/hello/Cargo.toml", "[lib]\ncrate-type = [\"cdylib\"]\n");
        write("pipelines/hello.toml", "");
        let mut sources = Sources::of(Some(root.join("plugins")), Some(root.join("pipelines"))).unwrap();
        let data = root.join("shared/data.csv");
        sources.has_read(&root.join("plugins/hello"), [data, root.join("target/made.rs")]);
        for (file, is_read) in [
            ("plugins/hello/src/lib.rs", true),
            ("plugins/hello/src/new.rs", true),
            ("plugins/hello/Cargo.toml", true),
            ("shared/data.csv", true),
            ("pipelines/hello.toml", true),
            ("pipelines/gone.json", true),
            ("pipelines/.hello.toml.swp", false),
            ("pipelines/notes.txt", false),
            ("plugins/hello/pawl.log", false),
            ("plugins/hello/src/lib.rs~", false),
            ("plugins/hello/src/.lib.rs.swp", false),
            ("plugins/hello/src/#lib.rs#", false),
            ("plugins/hello/src/lib.rs.bak", false),
            ("plugins/hello/Cargo.lock", false),
            ("plugins/hello/README.md", false),
            ("shared/other.csv", false),
            ("target/made.rs", false),
        ] {
            let path = root.join(file);
            assert_eq!(sources.is_read(&path), is_read, "{file}");
            let is_built = is_read && !file.starts_with("pipelines");
            assert_eq!(!sources.plugins_of(&BTreeSet::from([path])).is_empty(), is_built, "{file}");
        }
    }
}

//! What `pawl dev` looks after: plugin sources, components and pipeline files, by where they are.

use std::path::{Path, PathBuf};

use super::super::exit::usage;
use super::super::plugin_build;

/// The file of a pipeline that stands beside a plugin's source.
const PIPELINE: &str = "pipeline.toml";

/// Folders that hold nothing of the author's.
const IGNORED: [&str; 5] = ["target", "node_modules", "__pycache__", "build", "dist"];

/// Where plugins and pipelines are.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    plugins: Option<PathBuf>,
    pipelines: Option<PathBuf>,
    /// A pipeline on its own.
    pipeline: Option<PathBuf>,
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
                .or_else(|| usual("plugins")),
            pipelines: pipelines.or_else(|| usual("pipelines")),
            pipeline,
        })
    }

    /// Folders of plugins' sources.
    pub(super) fn plugin_folders(&self) -> Vec<PathBuf> {
        let Some(root) = &self.plugins else { return Vec::new() };
        if plugin_build::is_source(root) {
            return vec![root.clone()];
        }
        entries(root).into_iter().filter(|path| plugin_build::is_source(path)).collect()
    }

    /// Components that somebody else has built.
    pub(super) fn components(&self) -> Vec<PathBuf> {
        let Some(root) = &self.plugins else { return Vec::new() };
        entries(root).into_iter().filter(|path| has_extension(path, &["wasm"])).collect()
    }

    /// Files of pipelines.
    pub(super) fn pipeline_files(&self) -> Vec<PathBuf> {
        let mut files = self.pipelines.as_deref().map(entries).unwrap_or_default();
        files.retain(|path| has_extension(path, &["toml", "json"]));
        files.extend(self.pipeline.clone());
        files
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
        folders.sort();
        folders.dedup();
        folders
    }

    /// Whether a file or folder of this name may be the author's.
    pub(super) fn matters(path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.')
            && !name.ends_with('~')
            && !IGNORED.contains(&&*name)
            && !has_extension(path, &["lock", "partial", "swp"])
    }
}

fn below(folder: &Path, folders: &mut Vec<PathBuf>) {
    folders.push(folder.to_owned());
    for entry in entries(folder) {
        if entry.is_dir() && Sources::matters(&entry) {
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
    fn only_the_authors_files_matter() {
        for (path, matters) in [
            ("/p/src/lib.rs", true),
            ("/target/p/step.py", true),
            ("/p/pipeline.toml", true),
            ("/p/target", false),
            ("/p/src/.lib.rs.swp", false),
            ("/p/src/lib.rs~", false),
            ("/p/node_modules", false),
            ("/p/.pawl", false),
            ("/p/Cargo.lock", false),
        ] {
            assert_eq!(Sources::matters(Path::new(path)), matters, "{path}");
        }
    }
}

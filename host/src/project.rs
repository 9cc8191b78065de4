//! A project: a folder in which `pawl dev` finds several plugins and their pipelines, each in a folder of its own. What makes,
//! builds or renews plugins goes by the same folders, also from the project's folder.

use std::path::{Path, PathBuf};

use super::exit::usage;
use super::plugin_build;
use super::settings::Settings;

/// Where plugins and pipelines are, unless a setting says otherwise.
pub(super) const PLUGINS: &str = "plugins";
pub(super) const PIPELINES: &str = "pipelines";

/// The settings of a project.
const SETTINGS: &str = "pawl.toml";

/// Where things are in a project, as seen from the folder that somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project {
    /// The project's folder: `.`, or `..` from its plugins.
    pub(super) root: PathBuf,
    pub(super) plugins: PathBuf,
    pub(super) pipelines: PathBuf,
}

impl Project {
    /// The project whose folder, or whose folder of plugins, somebody is in; none if that is a plugin's own, or nothing of Pawl's.
    pub(super) fn here(settings: &Settings) -> Option<Self> {
        let (_, plugins, pipelines) = settings.folders();
        Self::at(&std::env::current_dir().unwrap_or_default(), plugins, pipelines)
    }

    /// The same of the folder `here`, which is the current one, where settings name these folders.
    fn at(here: &Path, plugins: Option<PathBuf>, pipelines: Option<PathBuf>) -> Option<Self> {
        if plugin_build::is_source(here) || plugins.as_ref().is_some_and(|plugins| plugin_build::is_source(plugins)) {
            return None;
        }
        let has = |folder: &Path, name: &str| folder.join(name).is_dir();
        let is_named = plugins.is_some() || pipelines.is_some() || here.join(SETTINGS).is_file();
        if is_named || has(here, PLUGINS) || has(here, PIPELINES) {
            return Some(Self {
                root: PathBuf::from("."),
                plugins: plugins.unwrap_or_else(|| PLUGINS.into()),
                pipelines: pipelines.unwrap_or_else(|| PIPELINES.into()),
            });
        }
        let above = here.parent().filter(|above| has(above, PIPELINES) || above.join(SETTINGS).is_file());
        above.filter(|_| here.ends_with(PLUGINS)).map(|_| Self {
            root: PathBuf::from(".."),
            plugins: PathBuf::from("."),
            pipelines: Path::new("..").join(PIPELINES),
        })
    }
}

/// The folders of plugins that are meant: those that were given, with each folder of plugins taken for all in it; if none was, the
/// plugin or all plugins of the project that somebody is in.
pub(super) fn folders(given: &[PathBuf], settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
    let here = [PathBuf::from(".")];
    let project = if given.is_empty() { Project::here(settings) } else { None };
    let meant = match (&project, given) {
        (Some(project), _) => std::slice::from_ref(&project.plugins),
        (None, []) => &here[..],
        (None, given) => given,
    };
    let mut all = Vec::new();
    for folder in meant {
        match plugin_build::sources_in(folder) {
            sources if !sources.is_empty() && !plugin_build::is_source(folder) => all.extend(sources),
            _ => all.push(folder.clone()),
        }
    }
    match project {
        Some(Project { plugins, .. }) if all == [plugins.clone()] => {
            let plugins = plugins.display();
            Err(usage(format!("this project has no plugin yet, in {plugins}: `pawl plugin new NAME` makes one there")))
        }
        _ => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_known_by_its_folders_its_settings_or_from_within_its_plugins() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let folder = root.path().join(path);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        let usual = Project { root: ".".into(), plugins: PLUGINS.into(), pipelines: PIPELINES.into() };
        let of = |folder: &Path| Project::at(folder, None, None);
        assert_eq!(of(&at("empty")), None);
        for inside in ["a/plugins", "b/pipelines"] {
            assert_eq!(of(at(inside).parent().unwrap()), Some(usual.clone()), "{inside}");
        }
        std::fs::write(at("c").join(SETTINGS), "").unwrap();
        assert_eq!(of(&at("c")), Some(usual.clone()));
        let named = Project::at(&at("empty"), Some("steps".into()), None).unwrap();
        assert_eq!((named.plugins, named.pipelines), (PathBuf::from("steps"), PathBuf::from(PIPELINES)));

        // A folder of plugins alone is none: nobody knows where its pipelines go.
        assert_eq!(of(&at("a/plugins")), None);
        at("a/pipelines");
        let within = of(&at("a/plugins")).unwrap();
        assert_eq!((within.plugins, within.pipelines), (PathBuf::from("."), PathBuf::from("../pipelines")));
        // A plugin is none, whatever stands in it.
        let plugin = at("plugin/plugins");
        std::fs::write(plugin.parent().unwrap().join("Cargo.toml"), "[lib]\ncrate-type = [\"cdylib\"]\n").unwrap();
        assert_eq!(of(plugin.parent().unwrap()), None);
    }
}

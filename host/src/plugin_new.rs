//! `pawl plugin new`: a plugin that builds and runs at once, in a folder of its own.
//!
//! What it writes are the files in `plugin_new/`. It never overwrites one: if any is there already, nothing is
//! written.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use pawl_base::tell;

use super::exit::usage;
use super::output::print;
use super::plugin_build;
use super::project::Project;

/// Arguments of `pawl plugin new`.
#[derive(Debug, Args)]
pub(super) struct New {
    /// The plugin's name, and the folder's: lower-case letters, digits and hyphens
    name: String,
    /// The language of the step
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Python,
    Js,
}

/// The file of the pipeline, beside the step if it has no other place.
const PIPELINE: &str = "pipeline.toml";

/// A name, bytes.
const NAME_BYTES: usize = 64;

/// Names that are valid and that cargo refuses for a crate.
const RESERVED: [&str; 7] = ["alloc", "core", "pawl-sdk", "proc-macro", "proc_macro", "std", "test"];

/// Writes the plugin, and tells what to do next.
pub(super) fn run(new: &New, project: Option<&Project>) -> anyhow::Result<()> {
    check_name(&new.name)?;
    let parent = project.map_or(Path::new("."), |project| project.plugins.as_path());
    let folder = if parent == Path::new(".") { PathBuf::from(&new.name) } else { parent.join(&new.name) };
    let sdk = plugin_build::path_for_new(&std::path::absolute(parent)?, project.is_some());
    let pipeline = project.map(|project| project.pipelines.join(&new.name).with_extension("toml"));
    let was_watched = project.is_some_and(|project| project.plugins.is_dir() && project.pipelines.is_dir());
    write(&folder, pipeline.as_deref(), &new.lang.files(&new.name, &sdk, pipeline.is_some()))?;
    if let Some(sdk) = plugin_build::Sdk::of(&folder) {
        sdk.restore()?;
    }
    let here = std::env::current_dir().unwrap_or_default();
    match (project, &pipeline) {
        (Some(project), Some(pipeline)) => {
            tell!("{}", next_of(project, &folder, pipeline, new.lang.setup(), was_watched));
        }
        _ => tell!("{}", next(&new.name, &here, new.lang.setup())),
    }
    Ok(print(&folder.display().to_string())?)
}

/// What to type next in a project, which has a plugin more now.
fn next_of(project: &Project, folder: &Path, pipeline: &Path, setup: Option<&str>, was_watched: bool) -> String {
    let (folder, pipeline) = (folder.display(), pipeline.display());
    let setup = setup.map(|command| format!("    (cd {folder} && {command})\n")).unwrap_or_default();
    let up = if project.root == Path::new(".") { "" } else { "    cd ..\n" };
    let runs = if was_watched { "    # one that runs already builds it by itself" } else { "" };
    format!(
        "the plugin is in {folder}, its pipeline in {pipeline}; next:\n\n{setup}{up}    pawl dev{runs}\n\n{folder}/README.md says \
         more"
    )
}

/// What to type next, from the folder `here` on, in which the plugin was made.
fn next(name: &str, here: &Path, setup: Option<&str>) -> String {
    let setup = setup.map(|command| format!("    {command}\n")).unwrap_or_default();
    let more = format!("{name}/README.md says more");
    if !here.ends_with("plugins") {
        return format!("next:\n\n    cd {name}\n{setup}    pawl dev\n\n{more}");
    }
    let get = if setup.is_empty() { setup } else { format!("    (cd {name} && {})\n", setup.trim()) };
    format!(
        "next, with all plugins of this folder:\n\n{get}    cd ..\n    mkdir -p pipelines\n    \
         mv plugins/{name}/pipeline.toml pipelines/{name}.toml\n    pawl dev\n\n\
         or this plugin alone: `pawl dev` in {name}; {more}"
    )
}

impl Language {
    /// The files of a plugin, by their names in its folder; its pipeline lies elsewhere if it is `of_project`.
    fn files(self, name: &str, sdk: &str, of_project: bool) -> Vec<(&'static str, String)> {
        let (source, step, manifest, manifest_text) = match self {
            Self::Rust => {
                let text = include_str!("plugin_new/rust/manifest.toml");
                ("src/lib.rs", include_str!("plugin_new/rust/lib.rs"), "Cargo.toml", text)
            }
            Self::Python => {
                let text = include_str!("plugin_new/python/manifest.toml");
                ("step.py", include_str!("plugin_new/python/step.py"), "pyproject.toml", text)
            }
            Self::Js => {
                let text = include_str!("plugin_new/js/manifest.json");
                ("step.js", include_str!("plugin_new/js/step.js"), "package.json", text)
            }
        };
        let setup = self.setup().map(|command| format!("\n    {command}")).unwrap_or_default();
        let commit = match self {
            Self::Rust => {
                format!(" Its SDK is in `{sdk}`: commit\nthat, too. `pawl plugin update` brings it up to date.")
            }
            _ => String::new(),
        };
        let fill = |text: &str| {
            let text = text.replace("{{name}}", name).replace("{{source}}", source).replace("{{setup}}", &setup);
            let place = if of_project { "in the project's folder: " } else { "" };
            text.replace("{{sdk}}", sdk).replace("{{commit}}", &commit).replace("{{place}}", place)
        };
        let mut files = vec![
            (manifest, fill(manifest_text)),
            (source, step.to_owned()),
            (PIPELINE, fill(include_str!("plugin_new/pipeline.toml"))),
            ("README.md", fill(include_str!("plugin_new/README.md"))),
            (".gitignore", include_str!("plugin_new/gitignore").to_owned()),
        ];
        if self == Self::Rust {
            // The versions that Pawl itself was tested with; cargo leaves out what it does not need.
            files.push(("Cargo.lock", plugin_build::LOCK.to_owned()));
        } else {
            files[4].1.push_str(".venv/\nnode_modules/\n");
        }
        files
    }

    /// What gets the compiler, beside Rust's, which `pawl plugin build` asks for itself.
    fn setup(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::Python => Some(plugin_build::GET_PYTHON),
            Self::Js => Some("npm install"),
        }
    }
}

fn is_name(name: &str) -> bool {
    let fits = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    begins && !name.ends_with('-') && name.chars().all(fits) && name.len() <= NAME_BYTES
}

/// A name that cargo, npm, Python and Pawl all take, and that needs no quotes in a shell.
fn check_name(name: &str) -> anyhow::Result<()> {
    if !is_name(name) {
        let example = name.to_lowercase().replace(['_', ' ', '.', '/'], "-");
        let example = if is_name(&example) { &example } else { "fetch-prices" };
        return Err(usage(format!(
            "`{name}` can't be a plugin's name: it has up to {NAME_BYTES} lower-case letters, digits and hyphens, \
             begins with a letter and does not end with a hyphen, for example `{example}`"
        )));
    }
    if RESERVED.contains(&name) {
        return Err(usage(format!("`{name}` can't be a plugin's name: there is a crate of that name, choose another")));
    }
    Ok(())
}

/// Writes the files into the folder, but for the pipeline if that has another place.
fn write(folder: &Path, pipeline: Option<&Path>, files: &[(&str, String)]) -> anyhow::Result<()> {
    let place = |name: &str| match pipeline {
        Some(pipeline) if name == PIPELINE => pipeline.to_owned(),
        _ => folder.join(name),
    };
    let paths: Vec<_> = files.iter().map(|(name, text)| (place(name), text)).collect();
    if let Some((there, _)) = paths.iter().find(|(path, _)| path.exists()) {
        return Err(usage(format!("{} is there already: choose another name; nothing was written", there.display())));
    }
    for (path, text) in paths {
        let write = || -> std::io::Result<()> {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            File::create_new(&path)?.write_all(text.as_bytes())
        };
        write().with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_some_tool_would_refuse_is_refused_first() {
        for name in ["hello", "fetch-prices-2", "a"] {
            check_name(name).unwrap();
        }
        for name in ["", "Hello", "2nd", "a_b", "a/b", "..", "-a", "a-", "é", "test", "with space", &"a".repeat(65)] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains("can't be a plugin's name"), "{error}");
        }
        for (name, example) in [("My_Plugin", "`my-plugin`"), ("2nd", "`fetch-prices`")] {
            assert!(check_name(name).unwrap_err().to_string().ends_with(&format!("for example {example}")), "{name}");
        }
    }

    #[test]
    fn nothing_is_written_where_one_of_the_files_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pipeline.toml"), "mine").unwrap();
        let error = write(dir.path(), None, &Language::Js.files("hello", "pawl-sdk", false)).unwrap_err().to_string();
        assert!(error.contains("pipeline.toml is there already"), "{error}");
        let there: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(there.len(), 1, "{there:?}");
    }

    #[test]
    fn what_comes_next_is_right_from_where_one_stands() {
        let said = next("hello", Path::new("/home/ada"), None);
        assert!(said.starts_with("next:\n\n    cd hello\n    pawl dev\n"), "{said}");
        let said = next("hello", Path::new("/home/ada/plugins"), Some("npm install"));
        let commands: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        let wanted = [
            "(cd hello && npm install)",
            "cd ..",
            "mkdir -p pipelines",
            "mv plugins/hello/pipeline.toml pipelines/hello.toml",
            "pawl dev",
        ];
        assert_eq!(commands, wanted, "{said}");
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for language in [Language::Rust, Language::Python, Language::Js] {
            for of_project in [false, true] {
                for (name, text) in language.files("hello", "pawl-sdk", of_project) {
                    assert!(!text.contains("{{"), "{language:?} {name}: {text}");
                }
            }
        }
    }
}

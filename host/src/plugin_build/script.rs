//! Plugins in a language whose interpreter becomes part of the component: what stands in their manifest, what a
//! compiler is given of them, and where it is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::{strangers, toolchain};

/// Folders that hold no sources.
const NOT_SOURCES: [&str; 3] = ["__pycache__", "node_modules", "target"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    JavaScript,
}

/// A plugin of such a language.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) language: Language,
    /// Its folder.
    pub(super) dir: PathBuf,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    /// The module with the step, in the folder.
    pub(super) main: String,
}

/// What matters of `[project]` in pyproject.toml, and of package.json.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    main: Option<String>,
}

#[derive(Deserialize)]
struct PyProject {
    project: Manifest,
}

impl Script {
    /// The plugin in a folder; `None` if it is one in Rust.
    pub(super) fn of(dir: &Path) -> anyhow::Result<Option<Self>> {
        let read = |name: &str| -> anyhow::Result<Option<String>> {
            let path = dir.join(name);
            let text = path.exists().then(|| std::fs::read_to_string(&path)).transpose();
            text.with_context(|| format!("can't read {}", path.display()))
        };
        if dir.join("Cargo.toml").exists() {
            return Ok(None);
        }
        let (language, manifest, main) = if let Some(text) = read("pyproject.toml")? {
            let project: PyProject = toml::from_str(&text).with_context(|| {
                format!("{} needs [project] with name and version", dir.join("pyproject.toml").display())
            })?;
            (Language::Python, project.project, "step.py")
        } else if let Some(text) = read("package.json")? {
            let manifest: Manifest = serde_json::from_str(&text)
                .with_context(|| format!("{} needs a name and a version", dir.join("package.json").display()))?;
            (Language::JavaScript, manifest, "step.js")
        } else {
            bail!(
                "there is no plugin in {}: a plugin has a Cargo.toml, pyproject.toml or package.json; \
                 `pawl plugin new` makes one",
                dir.display()
            );
        };
        let Manifest { name, version, description, main: given } = manifest;
        let main = given.filter(|_| language == Language::JavaScript).unwrap_or_else(|| main.to_owned());
        let dir = dir.canonicalize().with_context(|| format!("can't open {}", dir.display()))?;
        if !dir.join(&main).is_file() {
            bail!("`{name}` is no step: there is no {main} in {}", dir.display());
        }
        Ok(Some(Self { language, dir, name, version, description, main }))
    }

    /// Puts the author's modules and ours into one folder. Compilers are not let into the author's own: Python
    /// leaves files there, which looks like a change to who watches it.
    pub(super) fn stage(&self, work: &Path, extensions: &[&str], ours: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
        let sources = work.join("sources");
        let stage = || -> std::io::Result<()> {
            // A module that the author has taken away must not be found any more.
            if sources.exists() {
                std::fs::remove_dir_all(&sources)?;
            }
            copy_sources(&self.dir, &self.dir, &sources, extensions)?;
            ours.iter().try_for_each(|(name, text)| std::fs::write(sources.join(name), text))
        };
        stage().with_context(|| format!("can't copy the sources to {}", sources.display()))?;
        Ok(sources)
    }

    /// A compiler: in the plugin's folder or one above it, else where the path says.
    pub(super) fn find(&self, program: &str, places: &[&str], how_to_get: &str) -> anyhow::Result<PathBuf> {
        let near = self.dir.ancestors().flat_map(|dir| places.iter().map(move |place| dir.join(place).join(program)));
        if let Some(found) = near.into_iter().find(|file| file.is_file()) {
            let is_trusted = strangers::is_trusted(&found, &self.dir);
            if !is_trusted.with_context(|| format!("can't look at {}", found.display()))? {
                bail!("{} belongs to another user and is not executed: run `{how_to_get}`", found.display());
            }
            return Ok(found);
        }
        toolchain::on_path(program)
            .with_context(|| format!("{program} is not installed: run `{how_to_get}` in {}", self.dir.display()))
    }
}

/// Copies the sources in a folder of the plugin in `root`.
fn copy_sources(root: &Path, from: &Path, to: &Path, extensions: &[&str]) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let is_source = extensions.iter().any(|extension| path.extension().is_some_and(|it| it == *extension));
        if path.is_dir() {
            if !name.starts_with('.') && !NOT_SOURCES.contains(&&*name) {
                strangers::check_link(root, &path)?;
                copy_sources(root, &path, &to.join(&*name), extensions)?;
            }
        } else if is_source {
            strangers::check_link(root, &path)?;
            std::fs::copy(&path, to.join(&*name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin_build::replace;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn the_manifest_tells_the_language() {
        let python = folder(&[("pyproject.toml", "[project]\nname = \"a\"\nversion = \"1.0\"\n"), ("step.py", "")]);
        let script = Script::of(python.path()).unwrap().unwrap();
        assert_eq!((script.language, script.name.as_str(), script.main.as_str()), (Language::Python, "a", "step.py"));
        let package = r#"{"name": "b", "version": "2.0", "main": "src/main.js"}"#;
        let javascript = folder(&[("package.json", package)]);
        std::fs::create_dir(javascript.path().join("src")).unwrap();
        std::fs::write(javascript.path().join("src/main.js"), "").unwrap();
        let script = Script::of(javascript.path()).unwrap().unwrap();
        assert_eq!((script.language, script.main.as_str()), (Language::JavaScript, "src/main.js"));
        assert!(Script::of(folder(&[("Cargo.toml", "")]).path()).unwrap().is_none());
    }

    #[test]
    fn a_folder_without_a_plugin_says_what_is_missing() {
        for (files, says) in [
            (&[][..], "`pawl plugin new` makes one"),
            (&[("pyproject.toml", "")][..], "needs [project] with name and version"),
            (&[("package.json", "{}")][..], "needs a name and a version"),
            (&[("package.json", r#"{"name": "a", "version": "1"}"#)][..], "there is no step.js in"),
        ] {
            let error = Script::of(folder(files).path()).unwrap_err().to_string();
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
    }

    #[test]
    fn a_missing_compiler_is_told_with_the_command_that_gets_it() {
        let dir = folder(&[("package.json", r#"{"name": "a", "version": "1"}"#), ("step.js", "")]);
        let script = Script::of(dir.path()).unwrap().unwrap();
        let error = script.find("no-such-compiler", &["bin"], "get no-such-compiler").unwrap_err().to_string();
        assert!(error.starts_with("no-such-compiler is not installed: run `get no-such-compiler` in "), "{error}");
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::write(dir.path().join("bin/no-such-compiler"), "").unwrap();
        assert!(script.find("no-such-compiler", &["bin"], "").unwrap().ends_with("bin/no-such-compiler"));
    }

    #[test]
    fn sources_are_modules_in_folders_that_are_not_somebody_elses() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for file in ["step.js", "lib/part.mjs", "node_modules/a/index.js", ".git/hook.js", "target/old.js", "README.md"]
        {
            replace(&from.path().join(file), b"").unwrap();
        }
        copy_sources(from.path(), from.path(), to.path(), &["js", "mjs"]).unwrap();
        let there = |file: &str| to.path().join(file).exists();
        assert!(there("step.js") && there("lib/part.mjs"));
        for left_out in ["node_modules", ".git", "target", "README.md"] {
            assert!(!there(left_out), "{left_out}");
        }
    }
}

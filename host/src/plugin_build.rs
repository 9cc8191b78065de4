//! `pawl plugin build`: makes a component of a plugin's sources, in Rust, Python or JavaScript.
//!
//! Called by the command line and by the tests' harness; it talks to compilers and the file system only.
//!
//! ```text
//!  Cargo.toml       ──▶ package, toolchain ──▶ cargo ──────────▶ component: checked to be a step
//!  pyproject.toml   ──▶ script, python ──────▶ componentize-py ──────▲
//!  package.json     ──▶ script, javascript ──▶ componentize-js ──────┘
//! ```
//!
//! Several crates of one workspace go through one cargo call, because a call costs more than a crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

mod component;
mod componentize;
mod heard;
mod javascript;
mod package;
mod python;
mod script;
mod sdk;
mod shared;
mod strangers;
mod toolchain;

use crate::busy::Busy;
pub(super) use heard::NotMade;
use package::Package;
pub(super) use python::HOW_TO_GET as GET_PYTHON;
use script::Script;
pub(super) use sdk::{LOCK, Sdk, path_for_new, update as update_sdk};
use shared::Shared;
pub use shared::sources_in;
use toolchain::Toolchain;

/// Before anything is said of a build: that a compiler is missing is known by then.
const MOMENT: Duration = Duration::from_millis(500);

/// A component on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Built {
    /// The plugin's name: its crate's or package's.
    pub name: String,
    /// Where the component is.
    pub path: PathBuf,
    /// Of the component.
    pub size_bytes: u64,
    /// The interfaces that it asks of the host, for example `pawl:step/durable@0.1.0`.
    pub imports: Vec<String>,
    /// What it was made with, for example `wasm32-unknown-unknown` or `componentize-py`.
    pub target: String,
    /// The files that the compiler has read, where it says so: those of the crate, of crates beside it, and what they
    /// include.
    #[serde(skip)]
    pub sources: Vec<PathBuf>,
}

/// What a component is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be small and quick at every start: optimised as a whole.
    Release,
    /// To be there soon: after an edit, only the crate itself is compiled anew.
    Development,
}

impl Purpose {
    /// Where components go, in a target folder: one is not taken for the other.
    fn folder(self) -> &'static str {
        match self {
            Self::Release => "plugins",
            Self::Development => "plugins/dev",
        }
    }
}

/// Whether `dir` looks like the source of a plugin.
#[must_use]
pub fn is_source(dir: &Path) -> bool {
    package::is_source(dir) || Script::of(dir).is_ok_and(|script| script.is_some())
}

/// Builds the plugin in `dir` and writes its component to `out`, or to `target/plugins/NAME.wasm` of its
/// workspace or folder.
///
/// # Errors
/// `dir` holds no plugin, no toolchain can compile it (the error names the command that helps), it does not
/// compile, or what comes out is no step.
pub fn build(dir: &Path, out: Option<&Path>) -> anyhow::Result<Built> {
    if let Some(script) = Script::of(dir)? {
        let _busy = busy_with([&script]);
        return build_script(&script, Purpose::Release, out);
    }
    let mut built = build_packages(vec![(Package::of(dir)?, out.map(Path::to_owned))], Purpose::Release, None)?;
    built.pop().context("cargo built nothing")
}

/// Builds the plugins in `dirs` into their `target/plugins`, with one cargo call per workspace. Components come in the
/// order of their folders.
///
/// # Errors
/// As for [`build`].
pub fn build_many(dirs: &[PathBuf], purpose: Purpose) -> anyhow::Result<Vec<Built>> {
    build_all(dirs, purpose, None)
}

/// The same for development, into `target/plugins/dev`. What workspaces have in common is compiled once, in
/// `shared_target`, if they are given such a folder.
///
/// # Errors
/// As for [`build`].
pub fn build_for_development(dirs: &[PathBuf], shared_target: Option<&Path>) -> anyhow::Result<Vec<Built>> {
    build_all(dirs, Purpose::Development, shared_target)
}

fn build_all(dirs: &[PathBuf], purpose: Purpose, shared_target: Option<&Path>) -> anyhow::Result<Vec<Built>> {
    let (mut packages, mut scripts) = (Vec::new(), Vec::new());
    for (number, dir) in dirs.iter().enumerate() {
        match Script::of(dir)? {
            Some(script) => scripts.push((number, script)),
            None => packages.push((number, (Package::of(dir)?, None))),
        }
    }
    let (numbers, packages): (Vec<usize>, Vec<_>) = packages.into_iter().unzip();
    let packages = if packages.is_empty() { Vec::new() } else { build_packages(packages, purpose, shared_target)? };
    let mut built: Vec<(usize, Built)> = numbers.into_iter().zip(packages).collect();
    let _busy = (!scripts.is_empty()).then(|| busy_with(scripts.iter().map(|(_, script)| script)));
    // Their compilers use one core each.
    std::thread::scope(|scope| {
        let building: Vec<_> = scripts
            .iter()
            .map(|(number, script)| (*number, scope.spawn(|| build_script(script, purpose, None))))
            .collect();
        for (number, one) in building {
            built.push((number, one.join().map_err(|_| anyhow::anyhow!("a build panicked"))??));
        }
        anyhow::Ok(())
    })?;
    built.sort_by_key(|(number, _)| *number);
    Ok(built.into_iter().map(|(_, built)| built).collect())
}

/// The name of the plugin in `dir`, by its manifest alone.
#[must_use]
pub fn name_of(dir: &Path) -> Option<String> {
    match Script::of(dir) {
        Ok(Some(script)) => Some(script.name),
        _ => package::name_of(dir),
    }
}

/// Their compilers are silent, and take their time.
fn busy_with<'a>(scripts: impl IntoIterator<Item = &'a Script>) -> Busy {
    let named = |script: &Script| format!("`{}` with {}", script.name, script.language.compiler());
    let named: Vec<String> = scripts.into_iter().map(named).collect();
    let what = "the language's interpreter becomes part of the component, which may take a minute or two";
    Busy::with(format!("building {}: {what}", named.join(", ")), MOMENT)
}

/// Makes the component of a plugin in a language with an interpreter.
fn build_script(script: &Script, purpose: Purpose, out: Option<&Path>) -> anyhow::Result<Built> {
    let made = script.componentize(purpose)?;
    let bytes = std::fs::read(&made).with_context(|| format!("can't read {}", made.display()))?;
    let path = place(&script.dir.join("target"), purpose, &script.name, out);
    write(&script.name, script.language.compiler(), &bytes, path)
}

fn build_packages(
    packages: Vec<(Package, Option<PathBuf>)>,
    purpose: Purpose,
    shared_target: Option<&Path>,
) -> anyhow::Result<Vec<Built>> {
    let toolchain = toolchain::find()?;
    let shared_target = shared_target.map(std::path::absolute).transpose()?;
    let mut workspaces: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
    for (number, (package, _)) in packages.iter().enumerate() {
        workspaces.entry(package.workspace.clone()).or_default().push(number);
    }
    let mut built = BTreeMap::new();
    for numbers in workspaces.values() {
        let together: Vec<&Package> = numbers.iter().map(|number| &packages[*number].0).collect();
        let modules = compile(&toolchain, &together, purpose, shared_target.as_deref())?;
        // At once: in a shared folder, the next one may be written in its place.
        for number in numbers {
            let (package, out) = &packages[*number];
            let path = place(&package.target_dir, purpose, &package.name, out.as_deref());
            built.insert(*number, finish(&toolchain, package, path, &modules)?);
        }
    }
    Ok(built.into_values().collect())
}

fn place(target_dir: &Path, purpose: Purpose, name: &str, out: Option<&Path>) -> PathBuf {
    out.map_or_else(|| target_dir.join(purpose.folder()).join(format!("{name}.wasm")), Path::to_owned)
}

/// Runs cargo for packages of one workspace; the modules by manifest.
fn compile(
    toolchain: &Toolchain,
    packages: &[&Package],
    purpose: Purpose,
    shared_target: Option<&Path>,
) -> anyhow::Result<BTreeMap<PathBuf, PathBuf>> {
    let Some(first) = packages.first() else { return Ok(BTreeMap::new()) };
    let dir = first.manifest.parent().unwrap_or(&first.workspace);
    let shared_target = shared_target.filter(|_| !shared::has_namesake(dir));
    // With other flags, what is shared would be compiled anew for each: the path that is hidden is the same for all.
    let (target, hidden) = match (shared_target, purpose) {
        (Some(target), _) => (target.to_owned(), None),
        (None, Purpose::Release) => match Shared::by(first) {
            Some(Shared { root, target }) => (target, Some(root)),
            None => (first.target_dir.join("guest"), Some(first.workspace.clone())),
        },
        (None, Purpose::Development) => (first.target_dir.join("guest"), Some(first.workspace.clone())),
    };
    let mut cargo = toolchain.cargo(&first.workspace, hidden.as_deref());
    cargo.args(["build", "--message-format=json-render-diagnostics", "--profile", package::PROFILE]);
    cargo.arg("--manifest-path").arg(first.workspace.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target);
    for setting in package::profile_settings(&first.workspace, purpose)? {
        cargo.args(["--config", setting]);
    }
    for package in packages {
        cargo.args(["--package", &package.name]);
    }
    artifacts(cargo, purpose)
}

/// The part of cargo's messages that matters: <https://doc.rust-lang.org/cargo/reference/external-tools.html>.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn artifacts(mut cargo: Command, purpose: Purpose) -> anyhow::Result<BTreeMap<PathBuf, PathBuf>> {
    // What cargo has to say to people goes where this process' standard error goes.
    let (output, said) = heard::run(&mut cargo, purpose == Purpose::Development)
        .with_context(|| format!("can't start {}", cargo.get_program().display()))?;
    if !output.status.success() {
        return Err(NotMade::new("the crate does not compile; cargo's messages are above", &said).into());
    }
    let mut modules = BTreeMap::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Message>(line) else { continue };
        let module = message.filenames.into_iter().find(|file| file.extension().is_some_and(|it| it == "wasm"));
        if let (Some(module), "compiler-artifact") = (module, message.reason.as_str()) {
            modules.insert(message.manifest_path, module);
        }
    }
    Ok(modules)
}

/// Makes the component of a package's module and writes it.
fn finish(
    toolchain: &Toolchain,
    package: &Package,
    path: PathBuf,
    modules: &BTreeMap<PathBuf, PathBuf>,
) -> anyhow::Result<Built> {
    let name = &package.name;
    let module = modules.get(&package.manifest).with_context(|| format!("cargo made no module of `{name}`"))?;
    let bytes = std::fs::read(module).with_context(|| format!("can't read {}", module.display()))?;
    let built = write(name, toolchain.target, &bytes, path)?;
    Ok(Built { sources: package::files_read_for(module), ..built })
}

/// Checks what a compiler made and puts it where it belongs.
fn write(name: &str, target: &str, module: &[u8], path: PathBuf) -> anyhow::Result<Built> {
    let component = component::from_module(module).with_context(|| format!("`{name}` is not a step"))?;
    replace(&path, &component.bytes).with_context(|| format!("can't write {}", path.display()))?;
    Ok(Built {
        name: name.to_owned(),
        path,
        size_bytes: component.bytes.len() as u64,
        imports: component.imports,
        target: target.to_owned(),
        sources: Vec::new(),
    })
}

/// Readers see the old file or the new one, never a part. A file that would not change is left alone, so
/// that who watches it sees changes only.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, path)
}

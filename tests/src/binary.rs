//! Finds what was built: the `pawl` binary beside the running program, and the components that
//! `make guests` leaves in `target/plugins`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context as _;

/// The repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository")
}

/// The folder with the programs of the same profile as this one.
///
/// # Errors
/// If the system can't tell where this program is.
pub fn programs() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().context("a program lies in a folder")?;
    // Test programs lie one level deeper than others.
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}

/// The one setting that tests inherit: everything end to end holds with it and without it.
const RUN_AHEAD: &str = "PAWL_RUN_AHEAD";

/// Whether the processes of this test run steps ahead of their commits.
#[must_use]
pub fn runs_ahead() -> bool {
    std::env::var_os(RUN_AHEAD).is_none_or(|value| value != "false")
}

/// A `pawl` command with an environment free of other `PAWL_` settings than [`RUN_AHEAD`].
///
/// # Errors
/// If it isn't built.
pub fn pawl() -> anyhow::Result<Command> {
    Ok(pawl_at(&pawl_file()?))
}

/// Where the program lies.
///
/// # Errors
/// If it isn't built.
pub fn pawl_file() -> anyhow::Result<PathBuf> {
    let file = programs()?.join("pawl");
    anyhow::ensure!(file.is_file(), "{} is missing: run `make build`", file.display());
    Ok(file)
}

/// The same of another build.
#[must_use]
pub fn pawl_at(file: &Path) -> Command {
    let mut command = Command::new(file);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PAWL_") && name != RUN_AHEAD {
            command.env_remove(name);
        }
    }
    command
}

/// The build before this one, for tests of both beside each other.
///
/// # Errors
/// If nobody says where it is.
pub fn previous() -> anyhow::Result<PathBuf> {
    let file = std::env::var_os("PAWL_PREVIOUS").context("PAWL_PREVIOUS does not name it: run `make side-by-side`")?;
    anyhow::ensure!(Path::new(&file).is_file(), "{} is no program", file.display());
    Ok(file.into())
}

/// The bytes of a component of `target/plugins`.
///
/// # Errors
/// If it isn't built.
pub fn component(name: &str) -> anyhow::Result<Vec<u8>> {
    let file = component_file(name)?;
    std::fs::read(&file).with_context(|| format!("{} is missing: run `make guests`", file.display()))
}

/// Where a component of `target/plugins` lies.
///
/// # Errors
/// If the target folder can't be found.
pub fn component_file(name: &str) -> anyhow::Result<PathBuf> {
    let programs = programs()?;
    let target = programs.parent().context("a profile is a folder of the target folder")?;
    Ok(target.join("plugins").join(format!("{name}.wasm")))
}

/// What a `pawl` command with these words has printed; it must have succeeded.
///
/// # Errors
/// If it hasn't, with what it said.
pub fn succeeded(words: &[&str], output: Output) -> anyhow::Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`pawl {}` ended with {}: {said}", words.join(" "), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

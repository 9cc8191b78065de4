//! What builds are kept from: a plugin's own code is executed while it is built (build scripts, macros, a module's top level), and
//! its folder may lie beside those of others.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;

/// A command that builds, without Pawl's own variables: tokens, passwords and secrets are among them, and no build needs any.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PAWL_")) {
        command.env_remove(name);
    }
    command
}

/// Refuses a link of a plugin that leads out of its folder `root`: whoever may read the component would read what is there.
pub(super) fn check_link(root: &Path, path: &Path) -> io::Result<()> {
    if !path.is_symlink() || path.canonicalize()?.starts_with(root.canonicalize()?) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} is a link that leads out of the plugin: put what it leads to in its place",
        path.display()
    )))
}

/// Whether a program that lies near a plugin may be executed: it is this user's, the system's, or of whoever has the plugin.
pub(super) fn is_trusted(program: &Path, plugin: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let us = rustix::process::geteuid().as_raw();
        let trusted = [us, 0, plugin.metadata()?.uid()];
        let folder = program.parent().map(Path::metadata).transpose()?;
        let owners = folder.into_iter().chain([program.metadata()?]).map(|found| found.uid());
        Ok(are_trusted(owners, trusted))
    }
    #[cfg(not(unix))]
    {
        let _ = (program, plugin);
        Ok(true)
    }
}

fn are_trusted(mut owners: impl Iterator<Item = u32>, trusted: [u32; 3]) -> bool {
    owners.all(|owner| trusted.contains(&owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_sees_no_variable_of_pawl() {
        // Cargo's own stands for any other; `PAWL_`s are those of whoever runs the tests.
        let removed = |name: &OsStr| name.as_encoded_bytes().starts_with(b"PAWL_");
        let own = std::env::vars_os().filter(|(name, _)| removed(name)).count();
        let command = command("cargo");
        assert_eq!(command.get_envs().filter(|(name, value)| removed(name) && value.is_none()).count(), own);
        assert_eq!(command.get_envs().count(), own);
    }

    #[test]
    fn a_link_stays_in_the_plugin_or_is_refused_by_its_name() {
        let (plugin, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        std::fs::write(plugin.path().join("step.py"), "").unwrap();
        for (name, to, fits) in [
            ("inside.py", plugin.path().join("step.py"), true),
            ("outside.py", outside.path().join("secret"), false),
            ("folder", outside.path().to_owned(), false),
        ] {
            let link = plugin.path().join(name);
            std::os::unix::fs::symlink(to, &link).unwrap();
            let checked = check_link(plugin.path(), &link);
            assert_eq!(checked.is_ok(), fits, "{name}");
            if let Err(error) = checked {
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn compilers_of_other_users_are_not_executed() {
        let (us, system, author, other) = (1_000, 0, 1_001, 1_002);
        let trusted = [us, system, author];
        assert!(are_trusted([us, us].into_iter(), trusted));
        assert!(are_trusted([author, system].into_iter(), trusted));
        assert!(!are_trusted([us, other].into_iter(), trusted), "whoever has the folder may put another there");
        assert!(!are_trusted([other, us].into_iter(), trusted));
    }
}

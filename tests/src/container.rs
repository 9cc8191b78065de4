//! The limit that a container sets, without the rest of one: a control group with a bound of memory, beyond which the
//! system kills. Of either version, whichever holds the memory on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// A group of the system's; it is removed when it is dropped, and must be empty by then.
#[derive(Debug)]
pub struct Container {
    folder: PathBuf,
    second: bool,
}

impl Container {
    /// A group whose processes may have so many bytes together.
    ///
    /// # Errors
    /// If the system allows this user no groups.
    pub fn with_memory(bytes: usize) -> anyhow::Result<Self> {
        let second = Path::new("/sys/fs/cgroup/cgroup.controllers");
        let second = std::fs::read_to_string(second).is_ok_and(|names| names.split_whitespace().any(|n| n == "memory"));
        let root = Path::new(if second { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/memory" });
        let container = Self { folder: root.join(format!("pawl-test-{}", std::process::id())), second };
        std::fs::create_dir(&container.folder)
            .with_context(|| format!("can't create the control group {}", container.folder.display()))?;
        container.set(if second { "memory.max" } else { "memory.limit_in_bytes" }, bytes)?;
        Ok(container)
    }

    fn set(&self, file: &str, value: usize) -> anyhow::Result<()> {
        let file = self.folder.join(file);
        std::fs::write(&file, value.to_string()).with_context(|| format!("can't write {}", file.display()))
    }

    /// The same command, whose process is in the group from its first instruction on.
    #[must_use]
    pub fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("/bin/sh");
        wrapped.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        wrapped.arg(self.folder.join("cgroup.procs")).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped
    }

    /// How many of its processes the system has killed for want of memory.
    ///
    /// # Errors
    /// If the system doesn't tell.
    pub fn killed(&self) -> anyhow::Result<u64> {
        let file = if self.second { "memory.events" } else { "memory.oom_control" };
        let told = std::fs::read_to_string(self.folder.join(file))?;
        let killed = told.lines().find_map(|line| line.strip_prefix("oom_kill ")).context("a count of kills")?;
        Ok(killed.trim().parse()?)
    }

    /// The most that its processes had at a time, bytes, files that they read included.
    ///
    /// # Errors
    /// If the system doesn't tell.
    pub fn peak_bytes(&self) -> anyhow::Result<usize> {
        let file = if self.second { "memory.peak" } else { "memory.max_usage_in_bytes" };
        Ok(std::fs::read_to_string(self.folder.join(file))?.trim().parse()?)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.folder) {
            eprintln!("the control group {} is left: {error}", self.folder.display());
        }
    }
}

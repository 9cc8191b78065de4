//! How much memory this process may take before the system kills it: the smallest limit of the control groups that it
//! is in, which is what a container's limit is, or what the machine has.

use std::fs;
use std::path::{Path, PathBuf};

/// Of what the process may take, guests get so many eighths. The rest is for compiled components, for what waits to be
/// written, for what the pool keeps of ended guests, and for what a call hands over while the call lasts.
const GUESTS_EIGHTHS: usize = 5;

/// What guests may hold together if nobody says otherwise, bytes.
#[must_use]
pub fn usual_budget_bytes() -> usize {
    let limit = limit_bytes(Path::new("/")).unwrap_or(usize::MAX);
    limit / 8 * GUESTS_EIGHTHS
}

/// A cache's size, if the machine is not a small one: then an eighth of what the process may take.
#[must_use]
pub fn at_most_an_eighth(bytes: usize) -> usize {
    limit_bytes(Path::new("/")).map_or(bytes, |limit| bytes.min(limit / 8))
}

/// What another process beside this one may take, if the machine is not a small one: then three quarters of what both may.
pub(super) fn at_most_three_quarters(bytes: u64) -> u64 {
    limit_bytes(Path::new("/")).map_or(bytes, |limit| bytes.min(limit as u64 / 4 * 3))
}

/// What the process may take; `root` is where the system's files are.
fn limit_bytes(root: &Path) -> Option<usize> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(group).flat_map(|(mount, path, file)| {
        // Inside a container its own group is the root of what it sees, whatever its path is called.
        ancestors(root.join(mount), path).filter_map(move |folder| read_limit(&folder.join(file)))
    });
    limits.chain(machine_bytes(root)).min()
}

/// Where the limit of a line of /proc/self/cgroup stands: `0::/a/b` in version 2, `4:memory:/a/b` in version 1.
fn group(line: &str) -> Option<(&'static str, &str, &'static str)> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    match controllers {
        "" => Some(("sys/fs/cgroup", path, "memory.max")),
        _ if controllers.split(',').any(|name| name == "memory") => {
            Some(("sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
        }
        _ => None,
    }
}

/// The group's folder and those above it: each of them is a limit, too.
fn ancestors(mount: PathBuf, path: &str) -> impl Iterator<Item = PathBuf> + '_ {
    Path::new(path.trim_start_matches('/')).ancestors().map(move |folder| mount.join(folder))
}

/// `max` is no number, and no limit.
fn read_limit(file: &Path) -> Option<usize> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn machine_bytes(root: &Path) -> Option<usize> {
    let told = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = told.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system of these files.
    fn system(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("pawl-container-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_smallest_limit_of_all_groups_above_counts() {
        for (name, files, limit) in [
            ("none", &[MACHINE][..], 16 << 20),
            ("own", &[MACHINE, ("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "4096\n")], 4096),
            (
                "above",
                &[
                    MACHINE,
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/memory.max", "5000\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ],
                5000,
            ),
            ("contained", &[MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "6000\n")], 6000),
            (
                "first version",
                &[
                    MACHINE,
                    ("proc/self/cgroup", "7:cpu,memory:/c\n3:pids:/c\n"),
                    ("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "7000\n"),
                ],
                7000,
            ),
            (
                "more than there is",
                &[MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "9223372036854771712\n")],
                16 << 20,
            ),
        ] {
            let root = system(name, files);
            assert_eq!(limit_bytes(&root), Some(limit), "{name}");
            fs::remove_dir_all(root).expect("it was made here");
        }
        assert_eq!(limit_bytes(Path::new("/nowhere")), None);
    }
}

//! Free space, where this machine can tell it: of the folder of `pawl dev`, and of the cache of compiled components.

use std::path::Path;

use crate::output::size;
use pawl_dispatch::doctor::Check;

/// Less is as good as none: a commit of `pawl dev` may take as much.
const NONE_BYTES: u64 = 64 << 20;

/// Of the whole disk.
const LITTLE: f64 = 0.05;

/// The disk of a folder; nothing if there is no such folder here.
pub(super) fn look(check: &'static str, folder: &Path) -> Option<Check> {
    if !folder.is_dir() {
        return None;
    }
    Some(match rustix::fs::statvfs(folder) {
        Ok(disk) => judge(check, folder, disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
        Err(error) => Check::unknown(check, format!("the disk of {} does not tell: {error}", folder.display())),
    })
}

fn judge(check: &'static str, folder: &Path, free_bytes: u64, whole_bytes: u64) -> Check {
    let found = format!("{} of {} are free for {}", size(free_bytes), size(whole_bytes), folder.display());
    let judged = if free_bytes < NONE_BYTES {
        Check::fail(check, found, "make room on this disk: nothing more can be written")
    } else if (free_bytes as f64) < whole_bytes as f64 * LITTLE {
        Check::warn(check, found, "make room on this disk")
    } else {
        Check::ok(check, found)
    };
    judged.figure("free_bytes", free_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_dispatch::doctor::Status;

    #[test]
    fn a_disk_that_fills_up_is_told_before_it_is_full() {
        let gib = 1 << 30;
        for (free, expected) in [(50 * gib, Status::Ok), (4 * gib, Status::Warn), (NONE_BYTES - 1, Status::Fail)] {
            assert_eq!(judge("disk", Path::new("."), free, 100 * gib).status, expected, "{free}");
        }
        let here = look("disk", Path::new(".")).expect("it is there");
        assert!(here.figures["free_bytes"] > 0, "{here:?}");
        assert_eq!(look("disk", Path::new("/nonexistent")), None);
    }
}

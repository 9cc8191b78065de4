//! Whom a client talks to that nobody has told.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use pawl_base::tell;

/// A folder with nothing of Pawl: whichever `pawl dev` has the usual address answers.
#[derive(Debug)]
pub(super) struct Outside {
    folder: PathBuf,
    is_told: AtomicBool,
}

impl Outside {
    pub(super) fn of(folder: PathBuf) -> Self {
        Self { folder, is_told: AtomicBool::new(false) }
    }

    /// Says once whose API it is that answers, if that is not what one would think here.
    pub(super) fn tell(&self, home: &Path) {
        if !is_near(&self.folder, home) && !self.is_told.swap(true, Ordering::Relaxed) {
            tell!(
                "note: this talks to the `pawl dev` of {}, which is another folder's; --api-url or PAWL_API_URL says which API \
                 is meant",
                home.display()
            );
        }
    }
}

/// Whether one of two folders lies in the other.
fn is_near(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_near_those_above_and_below_it() {
        for (one, other, near) in [
            ("/home/ada/hello", "/home/ada", true),
            ("/home/ada", "/home/ada/hello/src", true),
            ("/home/ada/hello", "/home/ada/hello", true),
            ("/home/ada/hello", "/home/ada/hello-2", false),
            ("/tmp", "/home/ada", false),
        ] {
            assert_eq!(is_near(Path::new(one), Path::new(other)), near, "{one} {other}");
        }
    }
}

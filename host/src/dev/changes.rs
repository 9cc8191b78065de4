//! Which files have changed: the system's notifications, gathered until it is quiet for a moment, because an
//! editor writes one file in several steps. What no build reads is not heard at all, however often it is written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use pawl_base::tell;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::sources::{Sources, is_authors};

/// Silence that ends a change.
const QUIET: Duration = Duration::from_millis(30);

/// Notifications of all folders.
pub(super) struct Changes {
    watcher: notify::RecommendedWatcher,
    changed: mpsc::UnboundedReceiver<PathBuf>,
    watched: BTreeSet<PathBuf>,
}

impl Changes {
    /// Begins to watch.
    pub(super) fn begin(sources: &Sources) -> anyhow::Result<Self> {
        let (tell, changed) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            if !matches!(event.kind, EventKind::Access(_)) {
                for path in event.paths.into_iter().filter(|path| is_authors(path)) {
                    // Nobody listens any more when the process ends.
                    let _ = tell.send(path);
                }
            }
        });
        let watcher = watcher.context("can't watch files: the system gives no notifications")?;
        let mut changes = Self { watcher, changed, watched: BTreeSet::new() };
        changes.watch_new(sources);
        Ok(changes)
    }

    /// Watches what the builds since `begun` have come to read, too. Returns those files that have changed meanwhile: nobody
    /// has heard of it.
    pub(super) fn follow(&mut self, sources: &Sources, begun: SystemTime) -> BTreeSet<PathBuf> {
        let new = self.watch_new(sources);
        let is_missed = |file: &&PathBuf| {
            let changed = file.metadata().and_then(|metadata| metadata.modified());
            file.parent().is_some_and(|folder| new.contains(folder)) && changed.is_ok_and(|at| at >= begun)
        };
        sources.files_read().filter(is_missed).cloned().collect()
    }

    /// Watches folders that are new; returns them.
    fn watch_new(&mut self, sources: &Sources) -> BTreeSet<PathBuf> {
        let mut new = BTreeSet::new();
        for folder in sources.folders() {
            if self.watched.insert(folder.clone()) {
                if let Err(error) = self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                    tell!("{} is not watched: {error}", folder.display());
                }
                new.insert(folder);
            }
        }
        new
    }

    /// The files that have changed and that builds read, when it is quiet again: besides `paths`, of which that is known
    /// already. `heard` is told at once, and whenever there are more of them.
    pub(super) async fn next(
        &mut self,
        sources: &Sources,
        mut paths: BTreeSet<PathBuf>,
        mut heard: impl FnMut(&BTreeSet<PathBuf>),
    ) -> BTreeSet<PathBuf> {
        while paths.is_empty() {
            let Some(path) = self.changed.recv().await else { return std::future::pending().await };
            self.take(path, sources, &mut paths);
        }
        heard(&paths);
        let mut quiet = Instant::now() + QUIET;
        while let Ok(Some(path)) = timeout_at(quiet, self.changed.recv()).await {
            if self.take(path, sources, &mut paths) {
                heard(&paths);
                quiet = Instant::now() + QUIET;
            }
        }
        paths
    }

    /// Those of which it was heard while nobody waited for the next one.
    pub(super) fn meanwhile(&mut self, sources: &Sources) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        while let Ok(path) = self.changed.try_recv() {
            self.take(path, sources, &mut paths);
        }
        paths
    }

    /// Whether it was something that a build reads.
    fn take(&mut self, path: PathBuf, sources: &Sources, paths: &mut BTreeSet<PathBuf>) -> bool {
        let before = paths.len();
        if path.is_dir() {
            // What was put into a new folder before it was watched was heard by nobody.
            self.watch_new(sources);
            self.watched.retain(|folder| folder.is_dir());
            paths.extend(read_below(&path, sources));
        } else if sources.is_read(&path) {
            paths.insert(path);
        }
        paths.len() > before
    }
}

fn read_below(folder: &Path, sources: &Sources) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = Vec::new();
    for path in entries.filter(|path| is_authors(path)) {
        match path.is_dir() {
            true => files.extend(read_below(&path, sources)),
            false if sources.is_read(&path) => files.push(path),
            false => {}
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_changes_before_it_is_watched_is_not_missed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["plugins", "shared"] {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        let (old, edited) = (root.join("shared/old.txt"), root.join("shared/edited.txt"));
        std::fs::write(&old, "").unwrap();
        let mut sources = Sources::of(Some(root.join("plugins")), None).unwrap();
        let mut changes = Changes::begin(&sources).unwrap();
        let begun = SystemTime::now() + Duration::from_secs(60);
        sources.has_read(&root.join("plugins/hello"), [old, edited.clone()]);
        std::fs::write(&edited, "").unwrap();
        std::fs::File::open(&edited).unwrap().set_modified(begun).unwrap();
        assert_eq!(changes.follow(&sources, begun), BTreeSet::from([edited.clone()]));
        assert_eq!(changes.follow(&sources, begun), BTreeSet::new(), "from now on it is heard");
        std::fs::write(&edited, "again").unwrap();
        let mut heard = Vec::new();
        let next = changes.next(&sources, BTreeSet::new(), |paths| heard.push(paths.clone())).await;
        assert_eq!(next, BTreeSet::from([edited.clone()]));
        assert_eq!(heard[0], BTreeSet::from([edited]), "somebody may be about to submit");
    }
}

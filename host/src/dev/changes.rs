//! Which files have changed: the system's notifications, gathered until it is quiet for a moment, because an
//! editor writes one file in several steps.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::sources::Sources;

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
                for path in event.paths.into_iter().filter(|path| Sources::matters(path)) {
                    // Nobody listens any more when the process ends.
                    let _ = tell.send(path);
                }
            }
        });
        let watcher = watcher.context("can't watch files: the system gives no notifications")?;
        let mut changes = Self { watcher, changed, watched: BTreeSet::new() };
        changes.follow(sources);
        Ok(changes)
    }

    /// Watches folders that are new, too.
    fn follow(&mut self, sources: &Sources) {
        for folder in sources.folders() {
            if self.watched.insert(folder.clone())
                && let Err(error) = self.watcher.watch(&folder, RecursiveMode::NonRecursive)
            {
                eprintln!("{} is not watched: {error}", folder.display());
            }
        }
    }

    /// The files that have changed, when it is quiet again.
    pub(super) async fn next(&mut self, sources: &Sources) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        let Some(first) = self.changed.recv().await else { return std::future::pending().await };
        paths.insert(first);
        while let Ok(Some(path)) = tokio::time::timeout(QUIET, self.changed.recv()).await {
            paths.insert(path);
        }
        self.follow(sources);
        paths
    }
}

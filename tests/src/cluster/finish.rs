//! The end of a test: all that is promised is checked, and all processes end in good order.

use super::Cluster;
use crate::{Target, bounds, invariants, wait};

impl Cluster {
    /// Waits until all is quiet and checks all promises; then stops everything, which must end politely,
    /// and removes the folder.
    ///
    /// # Errors
    /// If a promise is broken, a process panicked or does not end.
    pub fn finish(self) -> anyhow::Result<()> {
        self.finish_with(&[])
    }

    /// The same, with the targets that the steps spoke to.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_with(mut self, targets: &[&Target]) -> anyhow::Result<()> {
        // What is left in a stream is cleared by a worker: one must be there.
        if !self.workers.values_mut().any(|worker| worker.is_running()) {
            self.worker("closing").start()?;
            // Asked to end before it listens to signals, it would die of this one.
            let log = self.log("closing");
            wait::until_true(bounds::PROCESS, "the closing worker to be ready", || {
                Ok(std::fs::read_to_string(&log)?.contains("the worker is ready"))
            })?;
        }
        invariants::wait_until_quiet(&self, bounds::QUIET)?;
        let violations = invariants::violations(&self, targets)?;
        anyhow::ensure!(violations.is_empty(), "broken promises:\n{}", violations.join("\n"));
        self.stop()?;
        let panics = self.panics();
        anyhow::ensure!(panics.is_empty(), "a process panicked:\n{}", panics.join("\n"));
        self.finished = true;
        Ok(())
    }

    /// Asks all processes to end, the API last.
    fn stop(&mut self) -> anyhow::Result<()> {
        for (name, worker) in &mut self.workers {
            if worker.is_running() {
                let status = worker.terminate(bounds::PROCESS)?;
                anyhow::ensure!(status.success(), "worker {name} ended with {status} when asked to end");
            }
        }
        if let Some(mut api) = self.api.take() {
            let status = api.terminate(bounds::PROCESS)?;
            anyhow::ensure!(status.success(), "the API ended with {status} when asked to end");
        }
        Ok(())
    }

    fn panics(&self) -> Vec<String> {
        let logs = std::fs::read_dir(self.folder.join("logs")).into_iter().flatten().filter_map(Result::ok);
        logs.filter_map(|log| std::fs::read_to_string(log.path()).ok())
            .flat_map(|text| {
                text.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }
}

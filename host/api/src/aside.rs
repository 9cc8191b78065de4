//! Work that takes long and can't be interrupted, a few pieces at a time: on threads that may block, or in other processes.
//!
//! A piece's place is its own: whoever asked for it may go away or stop waiting, and the next one must wait all the same
//! until it has ended. So however many ask, and however impatient they are, no more than so many are under way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// The places; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Aside(Arc<Semaphore>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfinished {
    /// Others were before it all the time.
    #[error("no place has become free in time")]
    Busy,
    /// It is under way, and goes on.
    #[error("it is not done in time")]
    Late,
    /// A bug.
    #[error("the work panicked")]
    Panicked(#[source] JoinError),
}

impl Aside {
    /// For so many pieces at a time.
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Does `work`; waits for a place and for the answer, for as long as `patience` each.
    ///
    /// # Errors
    /// [`Unfinished`].
    pub(super) async fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let turn = tokio::time::timeout(patience, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(place)) = turn else { return Err(Unfinished::Busy) };
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        tokio::time::timeout(patience, working).await.map_err(|_| Unfinished::Late)?.map_err(Unfinished::Panicked)
    }

    /// The same for `work` that blocks no thread and has a bound of its own: it goes on though whoever has asked has gone, and
    /// its place is free when it has ended.
    ///
    /// # Errors
    /// [`Unfinished`], but not that it is late.
    pub(super) async fn carry_out<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Unfinished> {
        let turn = tokio::time::timeout(patience, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(place)) = turn else { return Err(Unfinished::Busy) };
        let working = tokio::spawn(async move {
            let done = work.await;
            drop(place);
            done
        });
        working.await.map_err(Unfinished::Panicked)
    }

    /// The same for `work` that ends when it is dropped, with whoever has asked for it.
    ///
    /// # Errors
    /// [`Unfinished::Busy`].
    pub(super) async fn while_asked<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Unfinished> {
        let turn = tokio::time::timeout(patience, self.0.acquire()).await;
        let Ok(Ok(_place)) = turn else { return Err(Unfinished::Busy) };
        Ok(work.await)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const AT_ONCE: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_place_is_the_works_and_not_that_of_who_asked_for_it() {
        let aside = Aside::new(1);
        let (end, ended) = mpsc::channel::<()>();
        let asking = aside.clone();
        let asked = tokio::spawn(async move { asking.run(LONG, move || ended.recv().is_ok()).await });
        while aside.0.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // The client goes away.
        asked.abort();
        assert!(asked.await.is_err_and(|error| error.is_cancelled()));
        assert!(matches!(aside.run(AT_ONCE, || ()).await, Err(Unfinished::Busy)));
        end.send(()).unwrap();
        aside.run(LONG, || ()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_carried_out_has_its_place_to_its_end_though_nobody_waits_for_it() {
        let aside = Aside::new(1);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let asking = aside.clone();
        let asked = tokio::spawn(async move { asking.carry_out(LONG, ended).await });
        while aside.0.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        asked.abort();
        assert!(asked.await.is_err_and(|error| error.is_cancelled()));
        assert!(matches!(aside.carry_out(AT_ONCE, async {}).await, Err(Unfinished::Busy)));
        end.send(()).unwrap();
        aside.carry_out(LONG, async {}).await.unwrap();
    }

    #[tokio::test]
    async fn what_ends_with_who_has_asked_leaves_its_place_to_the_next_one() {
        let aside = Aside::new(1);
        let asking = aside.clone();
        let asked = tokio::spawn(async move { asking.while_asked(LONG, std::future::pending::<()>()).await });
        while aside.0.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(aside.while_asked(AT_ONCE, async {}).await, Err(Unfinished::Busy)));
        asked.abort();
        assert!(asked.await.is_err_and(|error| error.is_cancelled()));
        aside.while_asked(LONG, async {}).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_late_goes_on_and_keeps_its_place() {
        let aside = Aside::new(1);
        let (end, ended) = mpsc::channel::<()>();
        let late = aside.run(AT_ONCE, move || ended.recv().is_ok()).await;
        assert!(matches!(late, Err(Unfinished::Late)));
        assert!(matches!(aside.run(AT_ONCE, || ()).await, Err(Unfinished::Busy)));
        drop(end);
        aside.run(LONG, || ()).await.unwrap();
    }
}

//! The API's lookout: what happens to the whole installation is seen also when no worker is there to see it, and nobody reads
//! figures. It looks every few seconds, whether anybody asks or not: at the store, with one bounded question, and at the queue,
//! whose answer may be a second old.
//!
//! That something is wrong is believed at the second look, with the time of the first: one that went wrong may have been a
//! connection's own end, or a moment between two workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pawl_dispatch::incidents::Seeing;
use pawl_domain::incident::UNSERVED_FOR_MS;
use pawl_store as store;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::state::AppState;

/// Between two looks; after one that went wrong.
const PACE: Duration = Duration::from_millis(UNSERVED_FOR_MS.cast_unsigned());
const AGAIN: Duration = Duration::from_secs(1);

/// A look that is dear comes rarely: all of them take this part of the time at most.
const SHARE: u32 = 20;

/// How long the queue is waited for; the store bounds its own answers.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks for ever.
pub(super) async fn run(state: AppState) {
    let seeing = Seeing::new("an API", state.store.name(), state.queue.name());
    let store_was_there = Notify::new();
    tokio::join!(Arc::clone(&seeing).tell(&*state.store), look_at_store(&state, &seeing, &store_was_there), async {
        // It tells which installation this is: until then nothing can be asked of the queue.
        store_was_there.notified().await;
        look_at_queue(&state, &seeing).await;
    });
}

/// What looks at one server have come to.
#[derive(Debug, Default)]
struct Outage {
    /// Since when they go wrong.
    since: Option<Instant>,
    /// That was believed.
    is_told: bool,
}

impl Outage {
    /// One went wrong that began then; since when it does, if that is to be believed, and whether that is news.
    fn goes_on(&mut self, begun: Instant) -> Option<(Instant, bool)> {
        match self.since {
            None => {
                self.since = Some(begun);
                None
            }
            Some(since) => Some((since, !std::mem::replace(&mut self.is_told, true))),
        }
    }

    /// One went well; whether there was an outage.
    fn ends(&mut self) -> bool {
        std::mem::take(self).is_told
    }
}

async fn look_at_store(state: &AppState, seeing: &Seeing, is_there: &Notify) {
    let mut outage = Outage::default();
    let mut unserved = Unserved::default();
    let mut is_checked = false;
    loop {
        let begun = Instant::now();
        let found = match is_checked {
            true => state.store.unattended().await,
            // Its tables may be those of an older build, or not there yet.
            false => store::check(&*state.store).await.map(|()| Vec::new()),
        };
        let mut pause = PACE.max(begun.elapsed() * SHARE);
        match found {
            Ok(queues) => {
                if !std::mem::replace(&mut is_checked, true) {
                    is_there.notify_one();
                }
                seeing.store_is_there();
                if outage.ends() {
                    tracing::info!("{} is back", state.store.name());
                }
                unserved.are(queues, begun, seeing);
            }
            // Slow is not away.
            Err(error) if is_away(&error) => {
                if let Some((since, is_news)) = outage.goes_on(begun) {
                    seeing.store_is_away(Some(since));
                    // At its start, somebody else says that the process waits.
                    if is_news && state.fits.load(Ordering::Relaxed) {
                        tracing::warn!(error = error.chain(), "{} is away", state.store.name());
                    }
                }
                pause = AGAIN;
            }
            Err(error) => tracing::debug!(error = error.chain(), "no look at what nobody attends to"),
        }
        sleep(pause).await;
    }
}

fn is_away(error: &store::Error) -> bool {
    use store::Error::{Denied, ReadOnly, Silent, Unavailable, Unsafe};
    matches!(error, Unavailable(..) | Denied(..) | Unsafe(..) | ReadOnly(_) | Silent)
}

async fn look_at_queue(state: &AppState, seeing: &Seeing) {
    let mut outage = Outage::default();
    loop {
        let begun = Instant::now();
        let answer = timeout(PATIENCE, state.queue.ping()).await;
        let why = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.chain()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let Some(why) = why else {
            seeing.queue_is_there();
            if outage.ends() {
                tracing::info!("{} is back", state.queue.name());
            }
            sleep(PACE).await;
            continue;
        };
        if let Some((since, is_news)) = outage.goes_on(begun) {
            seeing.queue_is_away(Some(since));
            if is_news {
                tracing::warn!(error = why, "{} is away", state.queue.name());
            }
        }
        sleep(AGAIN).await;
    }
}

/// Queues in which steps wait for a worker that serves them: since when that is seen, and whether it is believed.
#[derive(Debug, Default)]
struct Unserved(BTreeMap<String, (Instant, bool)>);

impl Unserved {
    /// A look that began then has found these.
    fn are(&mut self, queues: Vec<String>, begun: Instant, seeing: &Seeing) {
        let mut before = std::mem::take(&mut self.0);
        for queue in queues {
            let (since, was_believed) = before.remove(&queue).unwrap_or((begun, false));
            let is_believed = was_believed || begun.duration_since(since) >= PACE;
            if is_believed {
                seeing.queue_is_unserved(&queue, since);
            }
            if is_believed && !was_believed {
                tracing::warn!(queue, "steps wait, and no live worker serves their queue");
            }
            self.0.insert(queue, (since, is_believed));
        }
        for (queue, _) in before.into_iter().filter(|(_, (_, is_believed))| *is_believed) {
            seeing.queue_is_served(&queue);
            tracing::info!(queue, "no step waits for a worker that serves its queue any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_that_goes_wrong_is_no_outage_and_the_second_tells_when_it_began() {
        let (mut outage, begun) = (Outage::default(), Instant::now());
        assert_eq!(outage.goes_on(begun), None);
        assert!(!outage.ends());
        assert_eq!(outage.goes_on(begun), None);
        let later = begun + AGAIN;
        assert_eq!(outage.goes_on(later), Some((begun, true)));
        assert_eq!(outage.goes_on(later + AGAIN), Some((begun, false)), "it is no news");
        assert!(outage.ends() && !outage.ends());
    }

    #[test]
    fn a_queue_is_unserved_once_that_has_lasted() {
        let seeing = Seeing::new("a test", "the store", "the queue");
        let (mut unserved, begun) = (Unserved::default(), Instant::now());
        let mut look = |queues: &[&str], after: Duration| {
            unserved.are(queues.iter().map(ToString::to_string).collect(), begun + after, &seeing);
            let believed: Vec<String> =
                unserved.0.iter().filter(|(_, (_, believed))| *believed).map(|(queue, _)| queue.clone()).collect();
            believed
        };
        assert_eq!(look(&["gpu"], Duration::ZERO), [""; 0]);
        assert_eq!(look(&[], PACE), [""; 0], "there was a moment between two workers");
        assert_eq!(look(&["gpu"], PACE * 2), [""; 0]);
        assert_eq!(look(&["default", "gpu"], PACE * 3), ["gpu"]);
        assert_eq!(look(&["default", "gpu"], PACE * 4), ["default", "gpu"]);
        assert_eq!(look(&["default"], PACE * 5), ["default"]);
    }
}

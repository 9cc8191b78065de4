//! What follows a commit, in one round trip to the queue for all commits that wait: acknowledgements, deliveries of
//! steps that became ready, wake-ups of readers.
//!
//! The queue may be away. Acknowledgements are kept until it is back: an unacknowledged message of a live
//! worker would stay pending for ever. Deliveries are kept too, up to a bound, after which the sweep for
//! lost messages makes up for them.

use std::time::Duration;

use pawl_domain::ready::{Moved, Ready};
use pawl_queue::{Delivery, FollowUp, SharedQueue};
use tokio::sync::{mpsc, oneshot};

/// What one commit has caused.
#[derive(Debug, Default)]
pub struct Done {
    /// Messages whose consequence is committed.
    pub acknowledged: Vec<Delivery>,
    /// Steps to be delivered.
    pub ready: Vec<Ready>,
    /// Runs that moved.
    pub moved: Vec<Moved>,
    /// Told when all of it, and all before it, has reached the queue.
    pub flushed: Option<oneshot::Sender<()>>,
}

/// Deliveries kept while the queue is away.
const KEPT: usize = 10_000;

/// Pause before trying again.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes up what follows commits, for as long as there are senders. `queue` may be away at any time.
pub async fn run(queue: SharedQueue, mut done: mpsc::UnboundedReceiver<Done>) {
    let mut outage = false;
    while let Some(mut all) = done.recv().await {
        while let Ok(more) = done.try_recv() {
            all.merge(more);
        }
        loop {
            if !all.acknowledged.is_empty() {
                pawl_base::fault::point("outcome.committed.before_ack");
            }
            let after = FollowUp { done: &all.acknowledged, ready: &all.ready, moved: &all.moved };
            match queue.follow_up(after).await {
                Ok(()) => break,
                Err(error) if !std::mem::replace(&mut outage, true) => {
                    tracing::warn!(error = error.chain(), "acknowledgements and deliveries wait");
                }
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
            while let Ok(more) = done.try_recv() {
                all.merge(more);
            }
            all.ready.truncate(KEPT);
            all.moved.clear();
        }
        if std::mem::take(&mut outage) {
            tracing::info!("{} is back: what waited has been delivered and acknowledged", queue.name());
        }
        if let Some(flushed) = all.flushed {
            let _ = flushed.send(());
        }
    }
}

impl Done {
    fn merge(&mut self, more: Self) {
        self.acknowledged.extend(more.acknowledged);
        self.ready.extend(more.ready);
        self.moved.extend(more.moved);
        self.flushed = more.flushed.or(self.flushed.take());
    }
}

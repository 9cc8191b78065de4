//! What follows a commit, in one round trip to the queue for all commits that wait: acknowledgements, deliveries of
//! steps that became ready, wake-ups of readers.
//!
//! The queue may be away. Acknowledgements are kept until it is back: an unacknowledged message of a live
//! worker would stay pending for ever. Deliveries are kept too, up to a bound and for a few tries, after which the sweep
//! for lost messages makes up for them.

use std::time::Duration;

use pawl_domain::ready::{Moved, Ready};
use pawl_queue::{Delivery, FollowUp, Queue, SharedQueue};
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

/// Times that a delivery is tried. Then the sweep finds the step as lost.
const TRIES: u32 = 3;

/// Of each kind, what is told in one round trip.
const PIECE: usize = 1_000;

/// Pause before trying again.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes up what follows commits, for as long as there are senders. `queue` may be away at any time.
pub async fn run(queue: SharedQueue, mut done: mpsc::UnboundedReceiver<Done>) {
    let mut failed = 0;
    while let Some(mut all) = done.recv().await {
        while !all.is_empty() || !done.is_empty() {
            while let Ok(more) = done.try_recv() {
                all.merge(more);
            }
            if !all.acknowledged.is_empty() {
                pawl_base::fault::point("outcome.committed.before_ack");
            }
            match tell(&*queue, &mut all).await {
                Ok(()) if failed == 0 => {}
                Ok(()) => {
                    failed = 0;
                    tracing::info!("{} is back: what waited has been delivered and acknowledged", queue.name());
                }
                Err(error) => {
                    failed += 1;
                    if failed == 1 {
                        tracing::warn!(error = error.chain(), "acknowledgements and deliveries wait");
                    }
                    // Whether they were delivered is not known: told again and again, they would fill the streams.
                    all.ready.truncate(if failed < TRIES { KEPT } else { 0 });
                    all.moved.clear();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        if let Some(flushed) = all.flushed {
            let _ = flushed.send(());
        }
    }
}

/// Tells a piece of it, so that a round trip stays short however much one commit has caused; what was told is left out
/// from then on.
async fn tell(queue: &dyn Queue, all: &mut Done) -> pawl_queue::Result<()> {
    let (done, ready) = (PIECE.min(all.acknowledged.len()), PIECE.min(all.ready.len()));
    let moved = PIECE.min(all.moved.len());
    let after = FollowUp { done: &all.acknowledged[..done], ready: &all.ready[..ready], moved: &all.moved[..moved] };
    queue.follow_up(after).await?;
    all.acknowledged.drain(..done);
    all.ready.drain(..ready);
    all.moved.drain(..moved);
    Ok(())
}

impl Done {
    fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.ready.is_empty() && self.moved.is_empty()
    }

    fn merge(&mut self, more: Self) {
        self.acknowledged.extend(more.acknowledged);
        self.ready.extend(more.ready);
        self.moved.extend(more.moved);
        self.flushed = more.flushed.or(self.flushed.take());
    }
}

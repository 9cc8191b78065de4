//! What guests record, where it is much: it goes on a connection of its own, so that the claims and outcomes of others
//! don't wait for its bytes. A guest that records as fast as it can then costs its neighbours what it takes of the
//! processors and of the disk, and not a place in each of their commits.
//!
//! ```text
//!  collect ──▶ part ──without long journals──▶ lane
//!                └───────long journals───────▶ here: all that came meanwhile, in one commit ──▶ written, or aside
//! ```
//!
//! A step whose journal is here has nothing else on its way: its outcome follows by the lane, once this is answered.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::Writing;
use super::collect::BATCH_BYTES;
use super::lane::{Lane, SetAside};
use super::part::Part;

/// The loop; ends with its task, or with those who pass journals on. As many wait in it as there are steps, at most.
pub(super) async fn run(
    writing: Arc<Writing>,
    mut journals: UnboundedReceiver<Part>,
    aside: UnboundedSender<SetAside>,
) {
    let mut lane = Lane::new(writing, Arc::default());
    while let Some(mut part) = journals.recv().await {
        while part.payload_bytes() < BATCH_BYTES
            && let Ok(more) = journals.try_recv()
        {
            part.join(more);
        }
        for part in lane.send(part).await {
            let _ = aside.send(part);
        }
    }
}

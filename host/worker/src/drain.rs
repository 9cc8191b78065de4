//! The drain: what a worker does that is asked to end. It takes nothing new, lets running steps end, hands back those
//! that take too long, and waits until everything is committed and acknowledged. Whatever it does not get done, others
//! do once its lease has run out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_dispatch::requeue;
use pawl_domain::id::WorkerId;
use pawl_engine::recorder::Stop;
use pawl_queue::{Queue, Stream};
use tokio::sync::{mpsc, oneshot};

use crate::acknowledge::Done;
use crate::config::Config;
use crate::desk::Desk;
use crate::flow::Flow;
use crate::vitals::Vitals;

/// How often it looks whether steps are left.
const LOOK: Duration = Duration::from_millis(10);

/// Drains the flow. Its receiver must have been stopped.
pub async fn drain(flow: &Flow, desk: &Desk, done: &mpsc::UnboundedSender<Done>, config: &Config, vitals: &Vitals) {
    desk.drain();
    flow.return_backlog();
    if !desk.is_empty() {
        tracing::info!(steps = desk.running_count(), "draining: running steps may end");
    }
    wait_until_empty(desk, config.drain, vitals).await;
    if !desk.is_empty() {
        flow.stop_all(Stop::Draining);
        wait_until_empty(desk, config.lease, vitals).await;
    }
    let (flushed, all_flushed) = oneshot::channel();
    let _ = done.send(Done { flushed: Some(flushed), ..Done::default() });
    let _ = tokio::time::timeout(config.lease, all_flushed).await;
}

/// Puts back what the receiver was being told when it was stopped: until then, only this worker has it.
pub async fn put_back(queue: &dyn Queue, streams: &[Arc<Stream>], worker: WorkerId, at_most: Duration) {
    let all = async {
        for stream in streams {
            requeue::put_back(queue, stream, &worker.to_string()).await?;
        }
        Ok::<_, pawl_dispatch::Error>(())
    };
    match tokio::time::timeout(at_most, all).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = error.chain(), "what was read last is found by others"),
        Err(_) => tracing::warn!("the queue does not answer: what was read last is found by others"),
    }
}

async fn wait_until_empty(desk: &Desk, at_most: Duration, vitals: &Vitals) {
    let end = Instant::now() + at_most;
    while !desk.is_empty() && Instant::now() < end {
        vitals.tick();
        tokio::time::sleep(LOOK).await;
    }
}

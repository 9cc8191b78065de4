//! The drain: what a worker does that is asked to end. It takes nothing new, lets running steps end, hands back those
//! that take too long, and waits until everything is committed and acknowledged. Whatever it does not get done, others
//! do once its lease has run out.

use std::time::{Duration, Instant};

use pawl_engine::recorder::Stop;
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

async fn wait_until_empty(desk: &Desk, at_most: Duration, vitals: &Vitals) {
    let end = Instant::now() + at_most;
    while !desk.is_empty() && Instant::now() < end {
        vitals.tick();
        tokio::time::sleep(LOOK).await;
    }
}

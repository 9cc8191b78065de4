//! The heartbeat: renews the worker's lease on a thread, a runtime and a connection of its own, so that
//! neither guests nor a full pool can hold it up. It renews only while the rest of the process lives.
//!
//! ```text
//!   begin ──▶ renewed ──every lease/5──▶ renewed ── … ──▶ expired: the incarnation ends
//! ```
//!
//! It asks nothing besides: what is to be done is told by the scheduler's look, which may take its time. Only that somebody has
//! asked the worker to drain comes with the answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pawl_dispatch::incidents::{Seeing, host_name};
use pawl_domain::id::WorkerId;
use pawl_engine::{boot_time, local_unix_ns};
use pawl_metrics::figures;
use pawl_store::leases::Heartbeat;
use pawl_store::{self as store, Link, SharedStore};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::desk::Desk;
use crate::trust::{Trust, boottime_ms, ms};
use crate::vitals::Vitals;
use crate::watch;

/// Who beats.
#[derive(Clone)]
pub struct Beating {
    /// This start of the worker.
    pub worker: WorkerId,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// Where the lease is recorded.
    pub store: SharedStore,
    /// How long it lasts.
    pub lease: Duration,
    /// What the worker runs.
    pub desk: Arc<Desk>,
    /// Who is told how long the lease may be relied on.
    pub trust: Arc<Trust>,
    /// Whether the process makes progress.
    pub vitals: Arc<Vitals>,
    /// Who is told that this one has ended leases.
    pub ended: Arc<Notify>,
    /// Who is told that somebody has asked the worker to drain.
    pub drain_asked: Arc<Notify>,
    /// Who is told whether the store is there.
    pub seeing: Arc<Seeing>,
}

/// Begins the lease, then renews it on a thread of its own. The receiver hears when the lease can't be
/// renewed any more.
///
/// # Errors
/// If the lease can't be begun.
pub async fn begin(beating: Beating) -> store::Result<oneshot::Receiver<()>> {
    let mut heart = Heart { host: host_name(), link: beating.store.link_of(beating.worker), beating };
    let begun = store::within(heart.beating.lease / 2, heart.beat(true)).await;
    heart.beating.tell_whether(begun.is_ok());
    begun?;
    let (expired, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("heartbeat".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(heart.run(expired)),
                Err(error) => tracing::error!(%error, "the heartbeat can't start"),
            }
        })
        .map_err(|error| store::Error::Unavailable("a thread for the heartbeat", error.into()))?;
    Ok(end)
}

impl Beating {
    /// Tells whether the store takes writes.
    fn tell_whether(&self, is_there: bool) {
        figures().store_up.set_whether(is_there);
        if is_there { self.seeing.store_is_there() } else { self.seeing.store_is_away(None) }
    }
}

struct Heart {
    beating: Beating,
    host: String,
    link: Box<dyn Link>,
}

impl Heart {
    async fn run(mut self, mut expired: oneshot::Sender<()>) {
        // The first beat's connection belongs to the runtime that made it. It is kept until there is another: a worker is
        // never without a session.
        let mut replaced = vec![std::mem::replace(&mut self.link, self.beating.store.link_of(self.beating.worker))];
        tokio::spawn(watch::run(self.beating.clone()));
        let (interval, patience) = (self.beating.lease / 5, self.beating.lease / 2);
        let mut outage = false;
        let mut next = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let renews = tokio::select! {
                () = &mut next => true,
                () = self.beating.trust.wanted() => false,
                () = expired.closed() => return,
            };
            if renews {
                next.as_mut().reset(Instant::now() + if outage { interval / 4 } else { interval });
            }
            if renews && let Some(part) = self.beating.vitals.stuck(patience) {
                tracing::error!(part, "no progress: the lease is not renewed");
                continue;
            }
            let answer = async { if renews { self.beat(false).await } else { self.confirm().await } };
            let answered = tokio::time::timeout(patience, answer).await;
            if renews {
                // A renewal is a write: a store that only reads is of no use.
                self.beating.tell_whether(matches!(answered, Ok(Ok(_))));
            }
            match answered {
                Ok(Ok(true)) => {
                    replaced.clear();
                    if std::mem::take(&mut outage) {
                        tracing::info!("{} is back: the lease is renewed", self.beating.store.name());
                    }
                }
                Ok(Ok(false)) => {
                    let _ = expired.send(());
                    return;
                }
                failed => {
                    next.as_mut().reset(Instant::now() + interval / 4);
                    if !std::mem::replace(&mut outage, true) {
                        let reason = match failed {
                            Ok(Err(error)) => error.chain(),
                            _ => "no answer in time".to_owned(),
                        };
                        tracing::warn!(reason, "the lease was not renewed");
                    }
                }
            }
        }
    }

    /// One renewal; whether the lease still stands.
    async fn beat(&mut self, begin: bool) -> store::Result<bool> {
        let Beating { worker, queues, lease, desk, trust, drain_asked, .. } = &self.beating;
        let beat = Heartbeat {
            worker: *worker,
            lease_ms: u32::try_from(lease.as_millis()).unwrap_or(u32::MAX),
            begin,
            host: &self.host,
            pid: std::process::id(),
            slots: desk.slots(),
            queues,
            running: desk.running_count(),
            draining: desk.is_draining(),
            version: env!("CARGO_PKG_VERSION"),
            clock_ms: i64::try_from(local_unix_ns() / 1_000_000).unwrap_or(i64::MAX),
        };
        let sent = boot_time();
        let renewal = self.link.heartbeat(&beat).await?;
        trust.clock.told(renewal.now_ns, sent);
        if renewal.drain {
            drain_asked.notify_one();
        }
        if renewal.alive {
            trust.renewed(ms(sent), *lease);
        }
        Ok(renewal.alive)
    }

    /// Asks for those who are about to let something leave, unless it was answered meanwhile.
    async fn confirm(&mut self) -> store::Result<bool> {
        let Beating { worker, trust, .. } = &self.beating;
        if trust.is_clear() {
            return Ok(true);
        }
        let sent_ms = boottime_ms();
        let alive = self.link.confirm(*worker).await?;
        if alive {
            trust.confirmed(sent_ms);
        }
        Ok(alive)
    }
}

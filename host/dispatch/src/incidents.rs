//! What this process sees of incidents, on its way to the store: kept in memory, for the store may be what is away, and told as
//! soon as it can be. What others see of the same, the store makes one of it.
//!
//! ```text
//!   heartbeat, reader, lookout ──▶ what is seen ──tell──▶ the store
//!   (it lasts, it is over)         at most 100            at the begin, now and then while it lasts, at the end
//! ```
//!
//! Who looks says all the time that all is well: that costs one load of a number, unless something lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::lock;
use pawl_domain::incident::{Kind, SAID_EVERY_MS};
use pawl_store::incidents::Sighting;
use pawl_store::{Store, within};
use tokio::sync::Notify;

/// What is kept in memory: each queue that nobody serves is one.
const MOST: usize = 100;

/// How often one that lasts is told again.
const SAID_EVERY: Duration = Duration::from_millis(SAID_EVERY_MS.cast_unsigned());

/// How long the store is waited for, and between two attempts.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a process has seen.
#[derive(Debug)]
pub struct Seeing {
    /// For people: who sees it.
    by: String,
    store: &'static str,
    queue: &'static str,
    seen: Mutex<Vec<Seen>>,
    /// Something lasts.
    lasts: AtomicBool,
    news: Notify,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: Kind,
    subject: String,
    began: Instant,
    last: Instant,
    ended: Option<Instant>,
    /// When the store was last told, while it lasted.
    told: Option<Instant>,
}

impl Seeing {
    /// For a process that is such a role, with the names of its store and its queue.
    #[must_use]
    pub fn new(role: &str, store: &'static str, queue: &'static str) -> Arc<Self> {
        let (seen, lasts, news) = Default::default();
        Arc::new(Self { by: format!("seen by {role} on {}", host_name()), store, queue, seen, lasts, news })
    }

    /// The store can't be reached, or takes no writes; since then, if that was seen before now.
    pub fn store_is_away(&self, since: Option<Instant>) {
        self.last(Kind::StoreAway, self.store, since);
    }

    /// It is there.
    pub fn store_is_there(&self) {
        self.is_over(Kind::StoreAway, self.store);
    }

    /// The queue can't be reached.
    pub fn queue_is_away(&self, since: Option<Instant>) {
        self.last(Kind::QueueAway, self.queue, since);
    }

    /// It is there.
    pub fn queue_is_there(&self) {
        self.is_over(Kind::QueueAway, self.queue);
    }

    /// It is there, and what it held is not.
    pub fn queue_has_lost(&self) {
        let now = Instant::now();
        self.keep(Seen { ended: Some(now), ..Seen::at(Kind::QueueLost, self.queue, now) });
    }

    /// Nobody serves a queue in which steps wait.
    pub fn queue_is_unserved(&self, queue: &str, since: Instant) {
        self.last(Kind::WorkersNone, queue, Some(since));
    }

    /// Somebody does, or none wait.
    pub fn queue_is_served(&self, queue: &str) {
        self.is_over(Kind::WorkersNone, queue);
    }

    fn last(&self, kind: Kind, subject: &str, since: Option<Instant>) {
        let now = Instant::now();
        let mut seen = lock(&self.seen);
        if let Some(known) = seen.iter_mut().find(|it| it.is_lasting(kind, subject)) {
            known.last = now;
            return;
        }
        drop(seen);
        self.keep(Seen { last: now, ..Seen::at(kind, subject, since.unwrap_or(now)) });
    }

    fn is_over(&self, kind: Kind, subject: &str) {
        if !self.lasts.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let mut seen = lock(&self.seen);
        if let Some(known) = seen.iter_mut().find(|it| it.is_lasting(kind, subject)) {
            (known.last, known.ended) = (now, Some(now));
            self.lasts.store(seen.iter().any(|it| it.ended.is_none()), Ordering::Relaxed);
            self.news.notify_one();
        }
    }

    fn keep(&self, one: Seen) {
        let mut seen = lock(&self.seen);
        if seen.len() < MOST {
            self.lasts.fetch_or(one.ended.is_none(), Ordering::Relaxed);
            seen.push(one);
            self.news.notify_one();
        }
    }

    /// The next one that the store should hear of. That it is away itself it can't, before it is back.
    fn untold(&self, now: Instant) -> Option<Seen> {
        let is_news = |it: &&Seen| match it.ended {
            Some(_) => true,
            None => it.kind != Kind::StoreAway && it.told.is_none_or(|told| now.duration_since(told) >= SAID_EVERY),
        };
        lock(&self.seen).iter().find(is_news).cloned()
    }

    /// The store has heard of it, as it was then.
    fn was_told(&self, one: &Seen, now: Instant) {
        let mut seen = lock(&self.seen);
        match one.ended {
            Some(_) => seen.retain(|it| it != one),
            None => {
                let known = seen.iter_mut().find(|it| it.is_lasting(one.kind, &one.subject));
                if let Some(known) = known {
                    known.told = Some(now);
                }
            }
        }
    }

    /// Tells the store, for ever.
    pub async fn tell(self: Arc<Self>, store: &dyn Store) {
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(one) = self.untold(Instant::now()) else {
                tokio::select! {
                    () = self.news.notified() => {}
                    () = tokio::time::sleep(SAID_EVERY / 10), if self.lasts.load(Ordering::Relaxed) => {}
                }
                continue;
            };
            let now = Instant::now();
            match within(PATIENCE, store.record_incident(one.sighting(&self.by, now))).await {
                Ok(()) => {
                    self.was_told(&one, now);
                    pause = FIRST_PAUSE;
                }
                Err(error) => {
                    tracing::debug!(error = error.chain(), kind = %one.kind, "an incident is recorded later");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

impl Seen {
    fn at(kind: Kind, subject: &str, began: Instant) -> Self {
        Self { kind, subject: subject.to_owned(), began, last: began, ended: None, told: None }
    }

    fn is_lasting(&self, kind: Kind, subject: &str) -> bool {
        self.ended.is_none() && self.kind == kind && self.subject == subject
    }

    fn sighting<'a>(&'a self, by: &'a str, now: Instant) -> Sighting<'a> {
        let ago = |at: Instant| now.saturating_duration_since(at);
        let (began, seen, ended) = (ago(self.began), ago(self.last), self.ended.map(ago));
        Sighting { kind: self.kind, subject: &self.subject, detail: by, began, seen, ended }
    }
}

/// This machine's name, for people.
#[must_use]
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seeing: &Seeing, now: Instant) -> Option<(Kind, String, bool)> {
        seeing.untold(now).map(|it| (it.kind, it.subject, it.ended.is_some()))
    }

    #[test]
    fn what_lasts_is_told_at_its_begin_now_and_then_and_at_its_end() {
        let seeing = Seeing::new("a test", "the store", "the queue");
        let now = Instant::now();
        seeing.queue_is_there();
        assert_eq!(told(&seeing, now), None, "all is well");
        seeing.queue_is_away(None);
        seeing.queue_is_away(None);
        let begun = seeing.untold(now).expect("it lasts");
        assert_eq!((begun.kind, begun.subject.as_str(), begun.ended), (Kind::QueueAway, "the queue", None));
        seeing.was_told(&begun, now);
        assert_eq!(told(&seeing, now), None, "it was told");
        assert!(told(&seeing, now + SAID_EVERY).is_some_and(|(.., is_over)| !is_over), "it is told again");
        seeing.queue_is_there();
        let over = seeing.untold(now).expect("it is over");
        assert!(over.ended.is_some() && over.began == begun.began, "{over:?}");
        seeing.was_told(&over, now);
        assert_eq!(told(&seeing, now + SAID_EVERY), None);
        assert!(!seeing.lasts.load(Ordering::Relaxed));
    }

    #[test]
    fn that_the_store_is_away_is_told_when_it_is_back_with_the_time_at_which_it_went() {
        let seeing = Seeing::new("a test", "the store", "the queue");
        let went = Instant::now();
        seeing.store_is_away(Some(went));
        seeing.queue_has_lost();
        let lost = seeing.untold(went).expect("it has lost what it held");
        assert_eq!((lost.kind, lost.ended), (Kind::QueueLost, Some(lost.began)));
        seeing.was_told(&lost, went);
        assert_eq!(told(&seeing, went + SAID_EVERY), None, "the store can't hear of it");
        seeing.store_is_there();
        let over = seeing.untold(went).expect("it is back");
        let back = went + Duration::from_secs(7);
        assert_eq!((over.kind, over.sighting("x", back).began), (Kind::StoreAway, Duration::from_secs(7)));
    }

    #[test]
    fn one_that_comes_back_while_its_end_is_told_is_another() {
        let seeing = Seeing::new("a test", "the store", "the queue");
        let now = Instant::now();
        seeing.queue_is_unserved("gpu", now);
        seeing.queue_is_unserved("default", now);
        seeing.queue_is_served("gpu");
        let over = seeing.untold(now).expect("gpu is served again");
        seeing.queue_is_unserved("gpu", now);
        seeing.was_told(&over, now);
        let left: Vec<(String, bool)> =
            lock(&seeing.seen).iter().map(|it| (it.subject.clone(), it.ended.is_some())).collect();
        assert_eq!(left, [("default".to_owned(), false), ("gpu".to_owned(), false)]);
    }

    #[test]
    fn only_so_many_are_kept() {
        let seeing = Seeing::new("a test", "the store", "the queue");
        (0..2 * MOST).for_each(|_| seeing.queue_has_lost());
        assert_eq!(lock(&seeing.seen).len(), MOST);
    }
}

//! How far a run's history goes, for who shows the run and asks for the rest: however many events there are, a reader
//! is told as often as it has asked to be, and the store nothing more than what the hub asks for all.

use std::time::Duration;

use axum::response::sse;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use crate::types::EventMark;
use crate::watch::{Seen, Subscription};

/// The longest pause that may be asked for: a reader who waits for longer asks again.
const LONGEST: Duration = Duration::from_secs(60);

struct Marks {
    subscription: Subscription,
    /// What the reader has been told last.
    after: u32,
    every: Duration,
    /// Whether it was told anything.
    has_told: bool,
    _place: OwnedSemaphorePermit,
}

/// Marks of a run after an event, until its last one or until the server ends.
pub(super) fn stream(
    subscription: Subscription,
    after: u32,
    every_ms: u32,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<sse::Event, axum::Error>> {
    let every = Duration::from_millis(every_ms.into()).min(LONGEST);
    let marks = Marks { subscription, after, every, has_told: false, _place: place };
    unfold(marks, |mut marks| async move {
        let mark = marks.next().await?;
        let sent = sse::Event::default().id(mark.number.to_string()).json_data(mark);
        Some((sent, marks))
    })
}

impl Marks {
    async fn next(&mut self) -> Option<EventMark> {
        if self.has_told {
            // The end is told at once, and a server that ends waits for nobody.
            tokio::select! {
                () = sleep(self.every) => {}
                _ = self.subscription.until(|mark| mark.status.is_ended()) => {}
            }
        }
        let after = self.after;
        let seen = self.subscription.until(|mark| mark.event_count > after || mark.status.is_ended()).await;
        let Seen::At(mark) = seen else { return None };
        if mark.event_count <= after {
            return None;
        }
        (self.after, self.has_told) = (mark.event_count, true);
        Some(EventMark { number: mark.event_count, status: mark.status })
    }
}

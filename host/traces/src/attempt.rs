//! An attempt of a step, as the first span of its trace, and what links it to other traces: the one that its run was submitted
//! in, and that of the attempt before. Both are asked for when the span is sent, for many attempts at once, so that no claim
//! carries them and no step waits for them. What follows from the answer is decided here, and nothing is done.

use async_trait::async_trait;
use pawl_domain::id::{Fence, StepId};
use pawl_domain::recovery::Stage;
use pawl_domain::trace::{AttemptTrace, TraceContext};

use crate::span::{Link, Span};

/// Of the spans of an attempt, the one that tells of the end of a lease; others are counted from 2 on.
const LEASE_EXPIRED: u32 = 1;

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Which.
    pub asked: Asked,
    /// Its span, from the claim on, or from when its step was ready.
    pub span: Span,
}

/// Of which attempt something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The step.
    pub step: StepId,
    /// The claim.
    pub fence: Fence,
    /// Whether a takeover has raised the fence before: then the one before this is no claim's.
    pub is_raised: bool,
}

impl Asked {
    /// Whether there was a claim before, which only the store knows for sure: a person may have raised the fence since.
    #[must_use]
    pub fn is_later(&self) -> bool {
        self.fence.0 > 1
    }
}

/// Where an attempt comes from, as the store knows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origin {
    /// What the submission of its run has brought.
    pub submitted: Option<TraceContext>,
    /// The claim before, if it is known.
    pub before: Option<Fence>,
    /// If it was taken over since: when the lease ended, and when that was seen; ns since 1970.
    pub lease_ended_ns: Option<(u64, u64)>,
}

/// Who knows where attempts come from.
#[async_trait]
pub trait Origins: Send + Sync {
    /// Of each of these, in their order; `None` if that can't be said now.
    async fn of(&self, attempts: &[Asked]) -> Option<Vec<Origin>>;
}

impl Attempt {
    /// The claim before it, if there was one.
    fn before(&self, origin: &Origin) -> Option<Fence> {
        // Of what the history does not tell any more, most likely: few fences are raised by a person.
        let likely = || (self.asked.is_later() && !self.asked.is_raised).then_some(Fence(self.asked.fence.0 - 1));
        origin.before.or_else(likely)
    }

    /// The spans to send: its own, with its links; and that of the end of the lease before, with which such an attempt begins.
    pub(crate) fn linked(mut self, origin: Origin) -> Vec<Span> {
        let link = |to, what: &'static str| Link { to, attributes: vec![("pawl.link", what.into())] };
        let before = self.before(&origin).map(|fence| AttemptTrace::of(self.asked.step, fence).context(true));
        self.span.links.extend(origin.submitted.map(|context| link(context, "submitted")));
        self.span.links.extend(before.map(|context| link(context, "attempt_before")));
        let lease = origin.lease_ended_ns.map(|(ended_ns, seen_ns)| {
            let id = AttemptTrace::of(self.asked.step, self.asked.fence).span(LEASE_EXPIRED);
            self.span.begun_ns = self.span.begun_ns.min(ended_ns);
            Span::new(self.span.trace, id, Stage::LeaseExpired.as_str(), ended_ns, seen_ns).under(self.span.id)
        });
        [self.span].into_iter().chain(lease).collect()
    }
}

#[cfg(test)]
mod tests {
    use pawl_domain::id::{RunId, StepNo};

    use super::*;

    fn attempt(fence: i64, is_raised: bool) -> Attempt {
        let step = StepId { run: RunId::new(), step: StepNo(2) };
        let ids = AttemptTrace::of(step, Fence(fence));
        let span = Span::new(ids.trace, ids.span(0), "load", 1_000, 2_000);
        Attempt { asked: Asked { step, fence: Fence(fence), is_raised }, span }
    }

    /// What it is linked to, as the fences of attempts.
    fn linked(attempt: Attempt, origin: Origin) -> Vec<i64> {
        let step = attempt.asked.step;
        let spans = attempt.linked(origin);
        let fence_of = |link: &Link| (1..10).find(|fence| AttemptTrace::of(step, Fence(*fence)).trace == link.to.trace);
        spans[0].links.iter().filter_map(fence_of).collect()
    }

    #[test]
    fn an_attempt_is_linked_to_the_one_before() {
        let told = |before: i64| Origin { before: Some(Fence(before)), ..Origin::default() };
        assert_eq!(linked(attempt(1, false), Origin::default()), Vec::<i64>::new());
        assert_eq!(linked(attempt(3, false), Origin::default()), [2]);
        assert_eq!(linked(attempt(5, true), told(3)), [3], "a takeover in between");
        assert_eq!(linked(attempt(5, false), told(3)), [3], "a person in between");
        assert_eq!(linked(attempt(5, true), Origin::default()), Vec::<i64>::new(), "nobody knows");
    }

    #[test]
    fn an_attempt_is_linked_to_the_trace_of_the_submission() {
        let context: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 a=b".parse().unwrap();
        let spans = attempt(1, false).linked(Origin { submitted: Some(context.clone()), ..Origin::default() });
        let [Link { to, attributes }] = &spans[0].links[..] else { panic!("one link: {spans:?}") };
        assert_eq!((to, &attributes[..]), (&context, &[("pawl.link", "submitted".into())][..]));
        assert_eq!(spans.len(), 1);
    }

    #[test]
    fn after_a_takeover_the_trace_begins_with_the_end_of_the_lease() {
        let origin = Origin { before: Some(Fence(1)), lease_ended_ns: Some((400, 700)), ..Origin::default() };
        let spans = attempt(3, true).linked(origin);
        let [own, lease] = &spans[..] else { panic!("two spans: {spans:?}") };
        assert_eq!((own.begun_ns, own.ended_ns), (400, 2_000));
        assert_eq!((lease.name.as_ref(), lease.begun_ns, lease.ended_ns), ("lease_expired", 400, 700));
        assert_eq!((lease.trace, lease.parent), (own.trace, Some(own.id)));
    }
}

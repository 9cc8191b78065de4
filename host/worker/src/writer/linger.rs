//! A batch waits a moment for the ends of chains: the steps that are run ahead of what it holds go into it, too, if they end
//! by then, and would need a commit of their own just after it.
//!
//! Nobody waits for it but people who look on: the next steps are executed already, and one of them that has to wait for
//! its claim ends the wait, as does whatever else there is to write.

use std::time::Duration;

use crate::outbox::Outbox;
use crate::session::Session;

/// How long at most.
const MOMENT: Duration = Duration::from_millis(1);

/// More chains than this are worth a commit.
const FEW: usize = 8;

/// Waits as long as nothing waits but chains that go on, and a moment at most.
pub(super) async fn linger(outbox: &Outbox<Session>) {
    let until_one_has_ended = async {
        while chains_go_on(outbox) {
            outbox.stirred().await;
        }
    };
    let _ = tokio::time::timeout(MOMENT, until_one_has_ended).await;
}

fn chains_go_on(outbox: &Outbox<Session>) -> bool {
    let chains = outbox.few(FEW).unwrap_or_default();
    !chains.is_empty() && chains.iter().all(|session| session.goes_on())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pawl_domain::attempt::Claim;
    use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo};
    use pawl_domain::succession::Succession;
    use pawl_engine::recorder::{Interrupt, Recorder as _};
    use pawl_store::write::Settlement;

    use super::*;
    use crate::trust::{Trust, boottime_ms};
    use crate::writer::collect::collect;

    fn success() -> Settlement {
        Settlement::Succeeded { output: b"1".to_vec(), then: Succession::default() }
    }

    /// A step that was given a head start and has succeeded, and the one that is run ahead of its commit.
    fn chain(outbox: &Arc<Outbox<Session>>) -> (Arc<Session>, Arc<Session>) {
        let run = RunId::new();
        let claim = |step| Claim::bare(StepId { run, step: StepNo(step) }, Fence(1));
        let trust = Arc::new(Trust::default());
        trust.renewed(boottime_ms(), Duration::from_secs(60));
        let first = Session::unclaimed(claim(0), Digest::of(b"request"), Arc::clone(outbox), trust);
        let next = Session::ahead_of(&first, claim(1));
        assert!(first.lead(&next));
        first.hand_over(success(), None);
        (first, next)
    }

    #[tokio::test]
    async fn what_ends_by_then_goes_along() {
        let (outbox, _bulk) = Outbox::new();
        let (first, next) = chain(&outbox);
        assert!(chains_go_on(&outbox));
        next.hand_over(success(), None);
        assert!(!chains_go_on(&outbox));
        linger(&outbox).await;
        let sent: Vec<StepId> = collect(&outbox).batch.members.iter().map(|member| member.id).collect();
        assert_eq!(sent, [first.claim.id, next.claim.id]);
    }

    #[tokio::test]
    async fn what_takes_longer_does_not() {
        let (outbox, _bulk) = Outbox::new();
        let (first, _next) = chain(&outbox);
        linger(&outbox).await;
        assert!(chains_go_on(&outbox), "for longer than a moment");
        let sent: Vec<StepId> = collect(&outbox).batch.members.iter().map(|member| member.id).collect();
        assert_eq!(sent, [first.claim.id]);
    }

    /// Without a clock: only what is awaited ends the wait.
    #[tokio::test]
    async fn a_step_that_waits_for_its_claim_ends_the_wait() {
        let (outbox, _bulk) = Outbox::new();
        let (_first, next) = chain(&outbox);
        let guest = std::thread::spawn(move || next.clear_to_ask(Duration::from_millis(100)));
        while chains_go_on(&outbox) {
            outbox.stirred().await;
        }
        assert_eq!(guest.join().expect("the guest ends"), Err(Interrupt::Timeout));
    }

    #[tokio::test]
    async fn a_step_that_is_given_up_ends_the_wait() {
        let (outbox, _bulk) = Outbox::new();
        let (_first, next) = chain(&outbox);
        assert_eq!(next.discard(), Some(false));
        assert!(!chains_go_on(&outbox));
    }

    #[tokio::test]
    async fn nothing_waits_beside_other_things() {
        let (outbox, _bulk) = Outbox::new();
        let (_chain, _other) = (chain(&outbox), chain(&outbox));
        assert!(chains_go_on(&outbox));
        let (last, _next) = chain(&outbox);
        last.take_next();
        assert!(!chains_go_on(&outbox), "nothing is run ahead of one of them");
    }

    #[tokio::test]
    async fn many_chains_wait_for_none() {
        let (outbox, _bulk) = Outbox::new();
        let chains: Vec<_> = (0..=FEW).map(|_| chain(&outbox)).collect();
        assert!(chains.iter().all(|(first, _)| first.goes_on()));
        assert!(!chains_go_on(&outbox));
    }
}

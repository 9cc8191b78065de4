//! When the process prints what a guest says, for whoever reads along: at once, but of a session that is ahead of its claim only
//! when that is confirmed. A line that was printed can't be taken back, and of an attempt that is given up, which nobody has
//! seen, there must be none: the step is executed again, perhaps on another component, and says it again, or something else.
//!
//! ```text
//!  guest ──print──▶ claimed? ──yes──▶ printed
//!                      └──no──▶ early ──confirmed, or written with its claim──▶ printed
//!                                 └────given up──▶ forgotten
//! ```
//!
//! Nobody waits noticeably for that: a step that goes on for longer than moments is claimed meanwhile, and whoever confirms the
//! claim has printed what was said by then, whether the guest says more or not. Whoever confirms it writes for all steps, and
//! does not print by itself: a terminal may take nothing for hours.

use std::sync::atomic::Ordering;

use pawl_base::lock;
use pawl_engine::Spoken;
use tokio::runtime::Handle;

use super::Session;
use super::saying::DROPPED;

impl Session {
    pub(super) fn print(&self, line: Spoken) {
        let mut early = lock(&self.saying.early);
        // Before it is asked whether the claim is confirmed: whoever confirms it sees this, or is seen here.
        self.saying.has_said.store(true, Ordering::Relaxed);
        let (is_ahead, is_lost) = {
            let state = self.state();
            (state.is_ahead(), state.is_lost())
        };
        if !is_ahead {
            // What was said before comes before it, also if whoever confirms has not come to it.
            self.print_all(&mut early);
            line.print();
        } else if !is_lost {
            self.hold(&mut early, line);
        }
    }

    /// The claim is confirmed: has printed what waited for that. Never blocks.
    pub(super) fn print_early(&self) {
        let said = self.saying.has_said.load(Ordering::Relaxed).then(|| self.this.upgrade()).flatten();
        let Some(this) = said else { return };
        let print = move || this.print_all(&mut lock(&this.saying.early));
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(print)),
            // Nobody else is written for.
            Err(_) => print(),
        }
    }

    /// The session is given up: what it has said was said by nobody.
    pub(super) fn forget_early(&self) {
        self.take_early(&mut lock(&self.saying.early));
    }

    /// What waits is charged to the logbook, as what is kept is.
    fn hold(&self, early: &mut Vec<Spoken>, line: Spoken) {
        let has_room = self.saying.logbook().is_none_or(|logbook| logbook.take_room(line.size()));
        if has_room { early.push(line) } else { DROPPED.one() }
    }

    fn print_all(&self, early: &mut Vec<Spoken>) {
        self.take_early(early).iter().for_each(Spoken::print);
    }

    fn take_early(&self, early: &mut Vec<Spoken>) -> Vec<Spoken> {
        let taken = std::mem::take(early);
        if let Some(logbook) = self.saying.logbook()
            && !taken.is_empty()
        {
            logbook.give_back(taken.iter().map(Spoken::size).sum());
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use pawl_domain::attempt::Claim;
    use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo, WorkerId};
    use pawl_domain::log::Level;
    use pawl_engine::recorder::Recorder;

    use super::*;
    use crate::logbook::Logbook;
    use crate::outbox::Outbox;
    use crate::session::Said;
    use crate::trust::{Trust, boottime_ms};

    fn ahead() -> (Arc<Session>, Arc<Logbook<Session>>) {
        let trust = Arc::new(Trust::default());
        trust.renewed(boottime_ms(), Duration::from_secs(60));
        let claim = Claim::bare(StepId { run: RunId::new(), step: StepNo(3) }, Fence(1));
        let session = Session::unclaimed(claim, Digest([0; 32]), Outbox::new().0, trust);
        let logbook = Arc::default();
        session.keep_log(&logbook, WorkerId::new());
        (session, logbook)
    }

    /// What the host does for each line.
    fn say(session: &Session, text: &str) {
        let (step_name, level) = ("load".to_owned(), Level::Info);
        session.prints(Spoken { step: session.claim.id, step_name, level, text: text.to_owned() });
        session.says(level, text.to_owned(), &[]);
    }

    fn held(session: &Session) -> usize {
        lock(&session.saying.early).len()
    }

    #[test]
    fn what_is_said_ahead_of_a_claim_is_printed_with_its_confirmation_and_from_then_on_at_once() {
        let (session, logbook) = ahead();
        say(&session, "one");
        say(&session, "two");
        assert_eq!(held(&session), 2, "nobody knows yet whether it counts");
        assert!(session.confirm());
        assert_eq!(held(&session), 0, "though the guest says nothing more");
        say(&session, "three");
        assert_eq!(held(&session), 0);
        let Said::Lines(lines, bytes, false) = session.take_said(10_000) else { panic!("three lines are kept") };
        logbook.take();
        logbook.give_back(bytes);
        assert!(lines.length == 3 && logbook.is_empty(), "what was printed holds no room");
    }

    #[test]
    fn what_is_given_up_prints_nothing_and_holds_nothing() {
        let (session, logbook) = ahead();
        say(&session, "one");
        session.discard();
        say(&session, "two");
        assert_eq!(held(&session), 1, "what is said after it is not even held");
        assert!(matches!(session.take_said(10_000), Said::Nothing));
        logbook.take();
        assert!(held(&session) == 0 && logbook.is_empty());
        assert!(!session.confirm(), "nobody prints it any more");
    }

    #[test]
    fn without_room_a_line_that_waits_is_dropped_and_no_step_waits_for_it() {
        let (session, logbook) = ahead();
        let all = usize::MAX / 2;
        logbook.take_more(all);
        say(&session, "one");
        logbook.give_back(all);
        say(&session, "two");
        assert_eq!(held(&session), 1);
    }
}

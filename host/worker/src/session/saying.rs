//! What a session's guest has said and the store has not got: lines on their way to the [logbook](crate::logbook). Of a session
//! that is ahead of its claim they wait here until the claim is confirmed, and go with it if it is given up: nobody has seen
//! such an attempt.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use pawl_base::lock;
use pawl_domain::id::WorkerId;
use pawl_domain::log::{self, Level, Line};
use pawl_engine::Spoken;
use pawl_metrics::{Count, figures};
use pawl_store::logs::NewLines;

use super::Session;
use crate::logbook::Logbook;

/// Handle for lines that there was no room for, made once.
pub(super) static DROPPED: LazyLock<Count> = LazyLock::new(|| figures().log_lines_dropped.of(&["room"]));

/// The lines of one attempt.
#[derive(Default)]
pub(super) struct Saying {
    /// Where they go, and under whose name; none if nobody keeps them.
    kept: OnceLock<(Arc<Logbook<Session>>, WorkerId)>,
    lines: Mutex<Lines>,
    /// What the process has not printed yet: see `printing`. Never taken while the session's state is held.
    pub(super) early: Mutex<Vec<Spoken>>,
    /// Whether there was a line at all.
    pub(super) has_said: AtomicBool,
}

impl Saying {
    pub(super) fn logbook(&self) -> Option<&Logbook<Session>> {
        self.kept.get().map(|(logbook, _)| &**logbook)
    }
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<Line>,
    /// Lines that were said before these.
    place: u32,
    /// Lines that there was no room for, since the last that there was.
    dropped: u64,
    /// It stands in the logbook.
    is_listed: bool,
}

/// What the store is to get of a session.
pub enum Said {
    /// These lines, which hold so many bytes of the logbook; and whether there are more.
    Lines(NewLines, usize, bool),
    /// Nothing yet: its claim is not confirmed.
    NotYet,
    /// Nothing (any more).
    Nothing,
}

impl Session {
    /// From now on, what its guest says is kept.
    pub fn keep_log(&self, logbook: &Arc<Logbook<Session>>, worker: WorkerId) {
        // Set before the guest begins, and once.
        let _ = self.saying.kept.set((Arc::clone(logbook), worker));
    }

    pub(super) fn is_kept(&self) -> bool {
        self.saying.kept.get().is_some()
    }

    pub(super) fn say(&self, level: Level, message: String, fields: &[(&str, String)]) {
        let Some((logbook, _)) = self.saying.kept.get() else { return };
        let line = Line { at_ms: self.now_ms(), level, message, fields: log::fields(fields) };
        let mut lines = lock(&self.saying.lines);
        if logbook.take_room(line.size()) {
            lines.tell_dropped(line.at_ms, logbook);
            lines.waiting.push_back(line);
        } else {
            lines.dropped += 1;
            DROPPED.one();
        }
        if !std::mem::replace(&mut lines.is_listed, true)
            && let Some(this) = self.this.upgrade()
        {
            drop(lines);
            logbook.push(this);
        }
    }

    /// What the store is to get next: lines of about `most` bytes. A session of which nothing is left stands in the logbook no
    /// more.
    pub fn take_said(&self, most: usize) -> Said {
        let Some((logbook, worker)) = self.saying.kept.get() else { return Said::Nothing };
        let (is_ahead, is_lost) = (self.is_ahead(), self.is_lost());
        let mut lines = lock(&self.saying.lines);
        if is_ahead && !is_lost {
            return Said::NotYet;
        }
        if is_ahead {
            let forgotten = std::mem::take(&mut *lines).waiting;
            logbook.give_back(forgotten.iter().map(Line::size).sum());
            drop(lines);
            self.forget_early();
            return Said::Nothing;
        }
        lines.tell_dropped(self.now_ms(), logbook);
        let mut bytes = 0;
        let mut taken = Vec::new();
        while bytes < most
            && let Some(line) = lines.waiting.pop_front()
        {
            bytes += line.size();
            taken.push(line);
        }
        lines.is_listed = !lines.waiting.is_empty();
        if taken.is_empty() {
            return Said::Nothing;
        }
        let claim = &self.claim;
        let said = NewLines::of(claim.id, claim.fence, *worker, claim.failures + 1, lines.place, &taken);
        lines.place += said.length;
        Said::Lines(said, bytes, lines.is_listed)
    }
}

impl Lines {
    /// There is a line in the place of those that were dropped.
    fn tell_dropped(&mut self, at_ms: i64, logbook: &Logbook<Session>) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let message = format!("{dropped} lines dropped: the store did not take them in time");
            let note = Line { at_ms, level: Level::Warn, message, fields: None };
            logbook.take_more(note.size());
            self.waiting.push_back(note);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pawl_domain::attempt::Claim;
    use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo};
    use pawl_domain::log::unpack;
    use pawl_engine::recorder::Recorder;

    use super::*;
    use crate::outbox::Outbox;
    use crate::trust::{Trust, boottime_ms};

    fn claim() -> Claim {
        Claim { failures: 2, ..Claim::bare(StepId { run: RunId::new(), step: StepNo(3) }, Fence(7)) }
    }

    fn trust() -> Arc<Trust> {
        let trust = Arc::new(Trust::default());
        trust.renewed(boottime_ms(), Duration::from_secs(60));
        trust
    }

    fn kept(session: &Arc<Session>) -> Arc<Logbook<Session>> {
        let logbook = Arc::default();
        session.keep_log(&logbook, WorkerId::new());
        logbook
    }

    fn taken(session: &Session, most: usize) -> (NewLines, usize, bool) {
        match session.take_said(most) {
            Said::Lines(lines, bytes, more) => (lines, bytes, more),
            Said::NotYet => panic!("its claim is confirmed"),
            Said::Nothing => panic!("it has said something"),
        }
    }

    fn texts(lines: &NewLines) -> Vec<String> {
        unpack(&lines.bytes).expect("it was packed").into_iter().map(|line| line.message).collect()
    }

    #[test]
    fn a_session_stands_in_the_book_once_and_its_lines_keep_their_places() {
        let session = Session::new(claim(), 0, Outbox::new().0, trust());
        session.says(Level::Info, "nobody keeps it".into(), &[]);
        assert!(!session.keeps_log());
        let logbook = kept(&session);
        assert!(session.keeps_log() && logbook.is_empty());
        session.says(Level::Info, "one".into(), &[("row", "7".into())]);
        session.says(Level::Error, "two".into(), &[]);
        assert_eq!(logbook.take().len(), 1);
        let (first, bytes, more) = taken(&session, 1);
        assert_eq!((first.place, first.length, first.level, more), (0, 1, Level::Info, true));
        assert_eq!((first.fence, first.attempt, first.id), (Fence(7), 3, session.claim.id));
        logbook.give_back(bytes);
        let (second, bytes, more) = taken(&session, 1_000);
        assert_eq!((second.place, second.length, second.level, more), (1, 1, Level::Error, false));
        logbook.give_back(bytes);
        assert!(matches!(session.take_said(1), Said::Nothing) && logbook.is_empty());
        session.says(Level::Info, "three".into(), &[]);
        assert_eq!((logbook.take().len(), texts(&taken(&session, 1).0)), (1, vec!["three".to_owned()]));
    }

    #[test]
    fn what_an_attempt_ahead_of_its_claim_says_is_kept_with_the_claim_and_forgotten_without() {
        let ahead = |claim| Session::unclaimed(claim, Digest([0; 32]), Outbox::new().0, trust());
        for is_confirmed in [true, false] {
            let session = ahead(claim());
            let logbook = kept(&session);
            session.says(Level::Info, "early".into(), &[]);
            assert!(matches!(session.take_said(1_000), Said::NotYet));
            if is_confirmed {
                assert!(session.confirm());
                assert_eq!(texts(&taken(&session, 1_000).0), ["early"]);
            } else {
                session.discard();
                assert!(matches!(session.take_said(1_000), Said::Nothing));
                logbook.take();
                assert!(logbook.is_empty(), "what it held is given back");
            }
        }
    }

    #[test]
    fn without_room_lines_are_dropped_and_a_line_says_how_many() {
        let session = Session::new(claim(), 0, Outbox::new().0, trust());
        let logbook = kept(&session);
        let all = usize::MAX / 2;
        logbook.take_more(all);
        for text in ["one", "two"] {
            session.says(Level::Info, text.into(), &[]);
        }
        logbook.give_back(all);
        session.says(Level::Info, "three".into(), &[]);
        let said = texts(&taken(&session, 1_000).0);
        assert_eq!(said, ["2 lines dropped: the store did not take them in time", "three"]);
    }
}

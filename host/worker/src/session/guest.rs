//! The guest's side of a session: what its thread hands over, and what it waits for.

use std::time::{Duration, Instant};

use pawl_domain::attempt::Deferral;
use pawl_domain::decision::circuit::{Probe, Sign};
use pawl_domain::journal::{Checkpoint, Entry, Knowledge};
use pawl_domain::log::Level;
use pawl_domain::recovery::Stage;
use pawl_domain::trace::TraceContext;
use pawl_engine::Spoken;
use pawl_engine::recorder::{Interrupt, Recorder, Sent, Stop};

use super::{BULK_BYTES, Session, TRUST_CHECK};

impl Recorder for Session {
    fn record(&self, entry: &Entry) -> Result<bool, Stop> {
        let mut state = self.state();
        if let Some(stop) = state.stop {
            return Err(stop);
        }
        state.append(entry);
        self.makes_news(&mut state);
        self.queue(&mut state);
        Ok(state.unwritten.has_room())
    }

    fn room(&self, at_most: Duration) -> Result<(), Interrupt> {
        let mut state = self.state();
        self.queue_unclaimed(&mut state);
        self.wait(state, at_most, |state| state.unwritten.has_room())
    }

    fn barrier(&self, at_most: Duration) -> Result<(), Interrupt> {
        let mut state = self.state();
        let target = state.recorded;
        self.queue_unclaimed(&mut state);
        self.wait(state, at_most, |state| !state.is_ahead() && state.durable >= target)
    }

    fn clear_to_ask(&self, at_most: Duration) -> Result<(), Interrupt> {
        let mut state = self.state();
        self.queue_unclaimed(&mut state);
        self.wait(state, at_most, |state| !state.is_ahead())
    }

    fn clear_to_leave(&self, at_most: Duration) -> Result<(), Interrupt> {
        let began = Instant::now();
        self.clear_to_ask(at_most)?;
        while !self.trust.is_clear() {
            self.allowed(&self.state())?;
            let left = at_most.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Interrupt::Timeout);
            }
            self.trust.refresh(TRUST_CHECK.min(left));
        }
        Ok(())
    }

    fn may_leave(&self) -> bool {
        self.stop().is_none() && self.trust.is_fresh()
    }

    fn may_call(&self, origin: &str, timeout: Duration) -> Result<Option<Probe>, Deferral> {
        self.circuits.get().map_or(Ok(None), |circuits| circuits.may_call(self.claim.id.run, origin, timeout))
    }

    fn called(&self, origin: &str, probe: Option<Probe>, sign: Sign) -> Option<Deferral> {
        self.circuits.get()?.called((self.claim.id, self.claim.fence), origin, probe, &sign)
    }

    fn lacks_secret(&self, name: &str, why: &str) -> Option<Deferral> {
        self.circuits.get()?.lacks_secret(self.claim.id.run, name, why)
    }

    fn leaves_to_newer(&self, needs: Knowledge, why: &str) -> Option<Deferral> {
        self.circuits.get()?.leaves_to_newer(self.claim.id.run, needs, why)
    }

    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Stop> {
        // Here, on the guest's thread: the writer is everybody's.
        let checkpoint = self.seal().checkpoint(self.claim.id.step, checkpoint);
        let mut state = self.state();
        if let Some(stop) = state.stop {
            return Err(stop);
        }
        if state.pending.checkpoint.is_some() || state.bulk.waiting.is_some() {
            pawl_base::fault::point("checkpoint.in_flight.superseded");
        }
        self.makes_news(&mut state);
        if checkpoint.state.len() < BULK_BYTES {
            state.bulk.waiting = None;
            state.pending.checkpoint = Some(checkpoint);
            self.queue(&mut state);
        } else {
            state.pending.checkpoint = None;
            state.bulk.waiting = Some(checkpoint);
            state.bulk.needs = state.recorded;
            self.queue_bulk(&state);
        }
        Ok(())
    }

    fn unix_ns(&self) -> u64 {
        self.trust.clock.unix_ns()
    }

    fn progress(&self, fraction: f64, message: String) {
        // A store's text may hold no NUL. Written along with the next write, never a reason for one.
        self.state().pending.progress = Some((fraction.clamp(0.0, 1.0) as f32, message.replace('\0', "")));
    }

    fn awaits_stages(&self) -> bool {
        self.claim.recovers || self.traces_stages()
    }

    fn passed(&self, stage: Stage, replayed: u32) {
        self.pass(stage, replayed);
    }

    fn instantiated(&self, took: Duration) {
        let began_ns = |now_ns: u64| now_ns.saturating_sub(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.trace_part("instantiate", self.now_if_traced().map(began_ns));
    }

    fn leaves(&self) -> Option<TraceContext> {
        self.context_of_request()
    }

    fn was_answered(&self, sent: Sent) {
        self.trace_request(sent);
    }

    fn prints(&self, line: Spoken) {
        self.print(line);
    }

    fn keeps_log(&self) -> bool {
        self.is_kept()
    }

    fn says(&self, level: Level, message: String, fields: &[(&str, String)]) {
        self.say(level, message, fields);
    }

    fn stop(&self) -> Option<Stop> {
        self.allowed(&self.state()).err()
    }
}

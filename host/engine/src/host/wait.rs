//! Sleeps and signals: answered by the journal, or the end of this guest. Its step then waits without a worker.

use pawl_domain::replay::Step;
use pawl_domain::wait::{Wait, check_signal_name};

use crate::guest::{Guest, Halt};

pub(super) fn sleep(guest: &mut Guest, duration_ms: u64) -> Result<(), Halt> {
    guest.recorder()?;
    match guest.replay.sleep(duration_ms)? {
        Step::Recorded(()) => {
            guest.has_replayed();
            guest.pass_monotonic(duration_ms.saturating_mul(1_000_000));
            Ok(())
        }
        Step::Live => Err(suspend(guest, Wait::Sleep { duration_ms })),
    }
}

pub(super) fn await_signal(guest: &mut Guest, name: String, timeout_ms: Option<u64>) -> Result<Option<String>, Halt> {
    guest.recorder()?;
    check_signal_name(&name).map_err(|rule| Halt::Limit(format!("the name of a signal {rule}")))?;
    match guest.replay.await_signal(&name, timeout_ms)? {
        Step::Recorded(payload) => {
            guest.has_replayed();
            let payload = payload.map(String::from_utf8).transpose();
            payload.map_err(|_| Halt::Limit(format!("what the signal {name:?} carries is not text in UTF-8")))
        }
        Step::Live => Err(suspend(guest, Wait::Signal { name, timeout_ms })),
    }
}

/// Ends the guest. The entry of the wait itself is recorded by the commit that suspends the step.
fn suspend(guest: &mut Guest, wait: Wait) -> Halt {
    match guest.make_room_for_entry() {
        Ok(()) => Halt::Suspend(wait),
        Err(halt) => halt,
    }
}

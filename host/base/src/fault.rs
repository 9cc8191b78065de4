//! Named places where a test lets the process die, stop, wait or lose an answer, so that every crash in
//! between two steps of a protocol can be played on the real binary.
//!
//! The variable `PAWL_FAULT` names them; without it every point costs one load and a branch:
//!
//! ```text
//! PAWL_FAULT="effect.intent_durable.before_send=kill"            SIGKILL to itself at the first hit
//! PAWL_FAULT="once.finish.before_commit=stop@3"                  SIGSTOP to itself at the third hit
//! PAWL_FAULT="batch.sent=pause:500,claim.committed.reply_lost=lose"
//! ```
//!
//! | action | what happens |
//! |---|---|
//! | `kill` | the process kills itself, as `kill -9` would |
//! | `stop` | the process stops until it gets SIGCONT |
//! | `pause:MS` | the thread sleeps |
//! | `lose` | [`lost`] says yes: the caller throws an answer away that it has received |
//!
//! An action happens once, at the first hit or at the one that `@N` gives (`@*`: at every hit). The points
//! are listed in `docs/protocol.md`. Anybody may call this; it must never do anything when the variable
//! is not set.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// The environment variable.
pub const VARIABLE: &str = "PAWL_FAULT";

/// Runs the action that is set for this point: kill, stop or pause.
#[inline]
pub fn point(name: &str) {
    if let Some(faults) = active() {
        faults.iter().filter(|fault| fault.point == name && fault.action != Action::Lose).for_each(Fault::hit);
    }
}

/// Whether the answer that was just received counts as lost; the other actions happen here too.
#[inline]
#[must_use]
pub fn lost(name: &str) -> bool {
    point(name);
    let is_lost = active().is_some_and(|faults| {
        faults.iter().any(|fault| fault.point == name && fault.action == Action::Lose && fault.is_due())
    });
    if is_lost {
        tracing::warn!(fault.point = name, fault.action = ?Action::Lose, "a fault point was hit");
    }
    is_lost
}

/// Reads the variable and says loudly what is set. For the start of a process; without it, the first point
/// that is hit does the same.
///
/// # Errors
/// [`Malformed`] if it can't be read as described above.
pub fn announce() -> Result<(), Malformed> {
    if let Ok(text) = std::env::var(VARIABLE) {
        parse(&text)?;
    }
    active();
    Ok(())
}

#[derive(Debug)]
struct Fault {
    point: String,
    action: Action,
    /// Which hit; `None` is every one.
    at: Option<u64>,
    hits: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Stop,
    Pause(Duration),
    Lose,
}

impl Fault {
    fn is_due(&self) -> bool {
        let hit = self.hits.fetch_add(1, Ordering::Relaxed) + 1;
        self.at.is_none_or(|at| at == hit)
    }

    fn hit(&self) {
        if !self.is_due() {
            return;
        }
        tracing::warn!(fault.point = %self.point, fault.action = ?self.action, "a fault point was hit");
        match self.action {
            Action::Kill => signal(Signal::KILL),
            Action::Stop => signal(Signal::STOP),
            Action::Pause(time) => std::thread::sleep(time),
            Action::Lose => {}
        }
    }
}

fn signal(signal: Signal) {
    if let Err(error) = kill_process(getpid(), signal) {
        tracing::error!(%error, "a fault point could not signal its own process");
    }
}

fn active() -> Option<&'static [Fault]> {
    static ACTIVE: OnceLock<Option<Vec<Fault>>> = OnceLock::new();
    ACTIVE.get_or_init(read).as_deref()
}

fn read() -> Option<Vec<Fault>> {
    let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
    match parse(&text) {
        Ok(faults) => {
            tracing::warn!(faults = %text, "fault points are active: this process is going to be broken on purpose");
            Some(faults)
        }
        Err(error) => {
            tracing::error!(%error, "the fault points are ignored");
            None
        }
    }
}

/// A setting of `PAWL_FAULT` that can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE} can't be read at {0:?}: give name=kill, name=stop, name=pause:MS or name=lose, each with @N or @* if \
         it isn't the first hit, separated by commas"
)]
pub struct Malformed(String);

fn parse(text: &str) -> Result<Vec<Fault>, Malformed> {
    text.split(',').map(|part| parse_one(part.trim()).ok_or_else(|| Malformed(part.to_owned()))).collect()
}

fn parse_one(text: &str) -> Option<Fault> {
    let (point, action) = text.split_once('=')?;
    let (action, at) = match action.split_once('@') {
        None => (action, Some(1)),
        Some((action, "*")) => (action, None),
        Some((action, hit)) => (action, Some(hit.parse().ok()?)),
    };
    let action = match action.split_once(':') {
        None if action == "kill" => Action::Kill,
        None if action == "stop" => Action::Stop,
        None if action == "lose" => Action::Lose,
        Some(("pause", ms)) => Action::Pause(Duration::from_millis(ms.parse().ok()?)),
        _ => return None,
    };
    Some(Fault { point: point.to_owned(), action, at, hits: AtomicU64::new(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_can_be_written() {
        let faults = parse("a.b=kill, c=stop@3,d=pause:500@*,e=lose").unwrap();
        let read: Vec<_> = faults.iter().map(|fault| (fault.point.as_str(), fault.action, fault.at)).collect();
        assert_eq!(
            read,
            [
                ("a.b", Action::Kill, Some(1)),
                ("c", Action::Stop, Some(3)),
                ("d", Action::Pause(Duration::from_millis(500)), None),
                ("e", Action::Lose, Some(1)),
            ]
        );
    }

    #[test]
    fn a_fault_happens_at_its_hit_only() {
        let third = parse_one("x=lose@3").unwrap();
        assert_eq!([(); 4].map(|()| third.is_due()), [false, false, true, false]);
        let every = parse_one("x=lose@*").unwrap();
        assert_eq!([(); 3].map(|()| every.is_due()), [true; 3]);
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        for text in ["x", "x=explode", "x=pause", "x=pause:soon", "x=kill@first", ""] {
            assert_eq!(parse(text).unwrap_err(), Malformed(text.to_owned()));
        }
    }

    #[test]
    fn without_the_variable_nothing_happens() {
        assert!(std::env::var(VARIABLE).is_err(), "this test needs {VARIABLE} to be unset");
        point("effect.intent_durable.before_send");
        assert!(!lost("claim.committed.reply_lost"));
    }
}

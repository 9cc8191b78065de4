//! A sign of life while something takes long: a line on standard error that says what and why, and on a terminal the seconds
//! since, in place. Whoever reads a file is told the line alone.

use std::io::{IsTerminal as _, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pawl_base::terminal::harmless;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// Takes back what stands on a terminal's line.
const CLEAR: &str = "\r\u{1b}[K";

/// Says it as long as it lives.
pub(crate) struct Busy {
    done: Option<Sender<()>>,
    saying: Option<JoinHandle<()>>,
}

/// Where it is said, and how.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Before anything is said: most things are done by then.
    after: Duration,
    /// Between two signs, if there are some.
    tick: Option<Duration>,
}

impl Busy {
    /// Says `what` if it is not done `after` a moment.
    pub(crate) fn with(what: String, after: Duration) -> Self {
        Self::begin(what, after, std::io::stderr().is_terminal())
    }

    /// The same without a count of seconds: others write to the terminal, too.
    pub(crate) fn beside_others(what: String, after: Duration) -> Self {
        Self::begin(what, after, false)
    }

    fn begin(what: String, after: Duration, counts: bool) -> Self {
        let way = Way { after, tick: counts.then_some(TICK) };
        let (done, end) = mpsc::channel();
        // Without a thread, it is silent.
        let saying = std::thread::Builder::new()
            .name("busy".into())
            .spawn(move || say(&what, way, &end, &mut std::io::stderr()))
            .ok();
        Self { done: Some(done), saying }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.done.take());
        // What is said next begins on a line of its own.
        if let Some(saying) = self.saying.take() {
            let _ = saying.join();
        }
    }
}

fn say(what: &str, way: Way, end: &Receiver<()>, out: &mut impl Write) {
    let begun = Instant::now();
    if !is_over(end, way.after) {
        // Nobody can be told that nothing can be told.
        let _ = writeln!(out, "{}", harmless(what));
        let Some(tick) = way.tick else { return };
        while !is_over(end, tick) {
            let _ = write!(out, "{CLEAR}  {} s", begun.elapsed().as_secs()).and_then(|()| out.flush());
        }
        let _ = write!(out, "{CLEAR}").and_then(|()| out.flush());
    }
}

fn is_over(end: &Receiver<()>, wait: Duration) -> bool {
    // What takes long in any case has not ended before it was said.
    !wait.is_zero() && end.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(way: Way, is_done: bool) -> String {
        let (done, end) = mpsc::channel();
        let ending = (!is_done).then(|| {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                drop(done);
            })
        });
        let mut out = Vec::new();
        say("compiling", way, &end, &mut out);
        ending.into_iter().for_each(|ending| ending.join().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_a_terminal_is_told_the_seconds_and_it_keeps_none_of_them() {
        let tick = Some(Duration::from_millis(5));
        assert_eq!(said(Way { after: Duration::ZERO, tick: None }, false), "compiling\n");
        let counted = said(Way { after: Duration::ZERO, tick }, false);
        assert!(counted.starts_with("compiling\n\r") && counted.contains("  0 s") && counted.ends_with(CLEAR));
        assert_eq!(said(Way { after: Duration::from_millis(1), tick }, true), "", "it was done soon");
    }
}

//! One life of a step: attempts until it has an output, fails for good, or does what no step may. Between
//! two attempts only the journal, the checkpoint and the world remain.

use std::fmt;

use serde::de::DeserializeOwned;

use super::attempt::{Attempt, Durable, Ending};
use super::calls::{self, Ended};
use super::host::Host;
use super::journal::{Call, Entry, Facts, Told};
use super::loss::{Crash, Loss};
use super::replay::{Fault, Replay};
use super::run::Run;
use super::world::World;
use crate::context::Context;
use crate::document;
use crate::facade;
use crate::failure::Failure;

/// A life that came to an end.
pub(super) struct Lived<O> {
    pub(super) run: Run<O>,
    /// Whether the crash that was wanted took place.
    pub(super) crashed: bool,
}

/// What no step may do: the test fails.
pub(super) struct Broken(pub(super) String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs `step` on JSON text.
pub(super) fn live<I, O, E>(
    host: &Host,
    step: &impl Fn(&mut Context, I) -> Result<O, E>,
    input: &str,
    crash: Option<Crash>,
) -> Result<Lived<O>, Broken>
where
    I: DeserializeOwned,
    E: Into<Failure>,
{
    facade::install();
    let mut attempt = Attempt::first(host, crash);
    loop {
        let (ended_attempt, ended) = calls::during(attempt, || {
            let input = document::read("input", input.as_bytes())?;
            step(&mut Context::new(), input).map_err(Into::into)
        });
        attempt = ended_attempt;
        let outcome = match ended {
            Ended::Left(Ending::Suspended) => {
                attempt = attempt.resumed(host);
                continue;
            }
            Ended::Left(Ending::Crashed(crash)) => {
                attempt = attempt.crashed(crash.loss).resumed(host);
                continue;
            }
            Ended::Left(Ending::Faulted(Fault::Refused(rule))) => Err(Failure::fatal(rule)),
            Ended::Left(Ending::Faulted(fault)) => return Err(diverged(fault)),
            Ended::Left(Ending::Stuck(why)) => return Err(Broken(why)),
            Ended::Returned(outcome) => outcome,
            Ended::Panicked(message) => Err(Failure::retry(format!("the step panicked: {message}"))),
        };
        match judge(&attempt, outcome)? {
            Err(failure) if !failure.is_fatal() && attempt.facts.attempt < host.attempts => {
                attempt = attempt.failed(&failure).resumed(host);
            }
            outcome => {
                let crashed = crash.is_some() && attempt.crash.is_none();
                return Ok(Lived { run: Run::new(outcome, attempt.facts.attempt, attempt.world), crashed });
            }
        }
    }
}

/// The step ended by itself; has it done what it did before, and finished what it began?
fn judge<O>(attempt: &Attempt, outcome: Result<O, Failure>) -> Result<Result<O, Failure>, Broken> {
    let how = match &outcome {
        Ok(_) => "return".to_owned(),
        Err(failure) => format!("return the failure {:?}", failure.to_string()),
    };
    attempt.replay.finish(&how).map_err(diverged)?;
    Ok(match (attempt.replay.open_once(), outcome) {
        (Some(name), Ok(_)) => Err(Failure::fatal(format!("the step returned inside once({name:?})"))),
        (_, outcome) => outcome,
    })
}

fn diverged(fault: Fault) -> Broken {
    Broken(match fault {
        Fault::Refused(rule) => rule,
        Fault::Diverged { position, expected, actual, has_restored } => {
            let why = if has_restored {
                ", after it had restored its checkpoint. A question between `restore` and the work that follows is asked \
                 once more at each resumption, and meets the answers of that work: ask it before `restore`, or keep its \
                 answer in the saved state. What is asked after it must follow from the input and the saved state alone"
            } else {
                ". A step must ask the same questions in the same order whenever it runs: what it decides by must come \
                 from its input, its saved state or the answers before"
            };
            format!(
                "the replay diverged at journal position {position}: expected {expected}, the step called {actual}{why}"
            )
        }
    })
}

impl Attempt {
    fn first(host: &Host, crash: Option<Crash>) -> Self {
        let world = World::new(host);
        Self {
            replay: Replay::new(Vec::new(), None),
            facts: Facts { attempt: 1, deadline_ms: world.deadline_ms(host.timeout_ms) },
            world,
            durable: Durable::default(),
            checkpoints: [None, None],
            crash,
            ending: None,
        }
    }

    /// The next attempt: journal, checkpoints and the world are all that it gets.
    fn resumed(self, host: &Host) -> Self {
        let journal = self.replay.journal;
        Self {
            durable: Durable { entries: journal.len(), checkpoints: self.checkpoints.clone() },
            replay: Replay::new(journal, self.checkpoints[1].clone()),
            facts: Facts { deadline_ms: self.world.deadline_ms(host.timeout_ms), ..self.facts },
            ..self
        }
    }

    /// What a crash leaves.
    fn crashed(mut self, loss: Loss) -> Self {
        self.crash = None;
        match loss {
            Loss::Nothing | Loss::Answer => {}
            Loss::Checkpoint => self.checkpoints = [None, self.checkpoints[0].take()],
            Loss::Unwritten => {
                self.replay.journal.truncate(self.durable.entries);
                self.checkpoints = std::mem::take(&mut self.durable.checkpoints);
            }
        }
        self
    }

    /// What the commit of a failure leaves that is retried.
    fn failed(mut self, failure: &Failure) -> Self {
        let wishes = failure.wishes();
        for dropped in self.replay.cut(wishes.is_some_and(|retry| retry.from_checkpoint)).iter().rev() {
            if let Entry::Answered(Call::AwaitSignal { name, .. }, Told::Signal(Some(payload))) = dropped {
                self.world.give_back(name, payload);
            }
        }
        self.facts.attempt += 1;
        self.world.sleep(wishes.and_then(|retry| retry.delay_ms).unwrap_or(0));
        self
    }
}

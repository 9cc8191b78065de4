//! What happens to runs besides their workers' batches: leases end, times come, people and plugins interfere.

use std::collections::BTreeMap;

use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::namespace::Namespace;
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_domain::suspicion::Suspicion;
use pawl_domain::transition::StepChange;
use pawl_domain::wait::Wait;
use pawl_store::control::{Resume, ResumeOn, Sent, Signal, SignalChange, since_checkpoint};
use pawl_store::seal::Seal;
use pawl_store::{Error, SharedStore};

use crate::chance::Chance;
use crate::model::{ModelStep, REJECTED, REMOVED, reopen};
use crate::pipelines::COMPONENTS;
use crate::world::{SIGNALS, Tested, World, beat};

const SUSPICION: Suspicion = Suspicion { suspect_from: 1, crash_limit: 2 };

impl World {
    /// A worker's lease ends, and its steps are taken over.
    pub async fn expire(&mut self, chance: &mut Chance) {
        let dead = self.workers.swap_remove(chance.below(self.workers.len()));
        for Tested { store, link } in &mut self.stores {
            // A lease that lasts no time.
            link.heartbeat(&beat(dead, 0, &self.queues)).await.expect("a heartbeat");
            store.take_over(1_000, true, SUSPICION).await.expect("taken over");
        }
        for run in self.model.values_mut() {
            for number in 0..run.steps.len() {
                let step = &mut run.steps[number];
                if step.status != StepStatus::Running || step.owner != Some(dead) {
                    continue;
                }
                let reached = step.journal + step.checkpoints;
                step.crashes = SUSPICION.after_crash(step.crashes, reached > step.crash_mark, step.alone);
                step.crash_mark = reached;
                step.alone = false;
                let poisoned = SUSPICION.is_poison(step.crashes);
                run.change(
                    number,
                    match (run.failing, poisoned) {
                        (true, _) => StepChange::Stopped,
                        (_, true) => StepChange::Poisoned,
                        _ => StepChange::LeaseEnded,
                    },
                );
            }
            run.settle();
        }
        self.new_worker().await;
    }

    /// Another version is active: steps that start from now on may get it.
    pub async fn activate(&mut self) {
        self.active = (self.active + 1) % COMPONENTS.len();
        for Tested { store, .. } in &self.stores {
            store.activate(&Namespace::default(), "p", COMPONENTS[self.active].0).await.expect("activated");
        }
    }

    pub async fn wake(&mut self) {
        for Tested { store, .. } in &self.stores {
            store.wake(1_000, None).await.expect("woken");
        }
        for run in self.model.values_mut() {
            for number in 0..run.steps.len() {
                let for_ever = matches!(run.steps[number].waits, Some((Wait::Signal { timeout_ms: None, .. }, _)));
                if run.steps[number].status == StepStatus::Waiting && !for_ever {
                    run.change(number, StepChange::Due);
                    run.steps[number].waits = None;
                }
            }
        }
    }

    pub async fn signal(&mut self, chance: &mut Chance) {
        let runs: Vec<RunId> = self.model.keys().copied().collect();
        let id = runs[chance.below(runs.len())];
        let run = self.model.get_mut(&id).expect("a known run");
        let name = SIGNALS[chance.below(SIGNALS.len())];
        let key = (chance.below(3) == 0).then_some(name);
        let payload: &'static [u8] = if chance.below(4) == 0 { b"2" } else { b"1" };
        let known = key.and_then(|key| run.keys.get(key).copied());
        for Tested { store, .. } in &self.stores {
            let signal =
                Signal { name: name.into(), payload: payload.into(), key: key.map(str::to_owned), room: 1_000 };
            let sent = store.signal(id, signal).await;
            let fits = match (known, run.status.is_ended()) {
                (Some(before), _) if before == payload => matches!(sent, Ok(Sent::Same)),
                (Some(_), _) | (None, true) => matches!(sent, Err(Error::Conflict(_))),
                (None, false) => matches!(sent, Ok(Sent::New(_))),
            };
            assert!(fits, "{} says {sent:?} to {run:?}", store.name());
        }
        if known.is_none() && !run.status.is_ended() {
            run.signals.push((name, None));
            run.signal_count += 1;
            run.numbers.push(run.signal_count);
            run.keys.extend(key.map(|key| (key, payload)));
        }
        run.give_signals();
    }

    /// A person changes a signal of a run, whatever has become of both.
    pub async fn inbox(&mut self, chance: &mut Chance) {
        let runs: Vec<RunId> = self.model.keys().copied().collect();
        let id = runs[chance.below(runs.len())];
        let run = self.model.get_mut(&id).expect("a known run");
        if run.signals.is_empty() {
            return;
        }
        let place = chance.below(run.signals.len());
        let how = match chance.below(4) {
            0 => SignalChange::Remove,
            1 => SignalChange::Replace(b"3".to_vec()),
            _ => SignalChange::Return,
        };
        let state = run.signals[place].1;
        for Tested { store, .. } in &self.stores {
            let changed = store.change_signal(id, run.numbers[place], how.clone()).await;
            let fits = match state {
                None | REJECTED => changed.is_ok(),
                REMOVED => matches!(changed, Err(Error::NotFound(_))),
                Some(_) => matches!(changed, Err(Error::Conflict(_))),
            };
            assert!(fits, "{} says {changed:?} to {how:?} of signal {place} of {run:?}", store.name());
        }
        let stays = state.is_none() && how == SignalChange::Return;
        if stays || !matches!(state, None | REJECTED) {
            return;
        }
        run.signals[place].1 = if how == SignalChange::Remove { REMOVED } else { None };
        run.signal_count += 1;
        run.give_signals();
    }

    pub async fn person(&mut self, chance: &mut Chance) {
        let runs: Vec<RunId> = self.model.keys().copied().collect();
        let id = runs[chance.below(runs.len())];
        let run = self.model.get_mut(&id).expect("a known run");
        let number = chance.below(run.steps.len());
        match chance.below(11) {
            8 | 9 => {
                let pauses =
                    all(&self.stores, async |store| store.pause_run(id, Some("why".into())).await.is_ok()).await;
                assert_eq!(pauses, !run.status.is_ended(), "pause {run:?}");
                run.paused |= pauses;
            }
            10 => {
                let ends = all(&self.stores, async |store| store.unpause_run(id).await.is_ok()).await;
                assert_eq!(ends, !run.status.is_ended(), "unpause {run:?}");
                run.paused &= !ends;
            }
            6 => {
                let step = StepNo(number as i32);
                let may = matches!(run.steps[number].status, StepStatus::Failed | StepStatus::Parked);
                let done = all(&self.stores, async |store| store.skip(id, step, b"4".to_vec()).await.is_ok()).await;
                assert_eq!(done, may, "skip step {number} of {run:?}");
                if done {
                    run.skip(number);
                    run.give_signals();
                }
            }
            7 => {
                let step = StepNo(number as i32);
                let may = run.steps[number].status != StepStatus::Blocked;
                let done = all(&self.stores, async |store| store.again(id, step, BTreeMap::new()).await.is_ok()).await;
                assert_eq!(done, may, "again from step {number} of {run:?}");
                if done {
                    run.again(number);
                    run.give_signals();
                }
            }
            0 => {
                let done = all(&self.stores, async |store| store.cancel(id).await.is_ok()).await;
                assert_eq!(done, !run.status.is_ended(), "cancel {run:?}");
                if done {
                    run.stop_all();
                    run.status = RunStatus::Cancelled;
                }
            }
            2 => {
                let done = all(&self.stores, async |store| store.fail(id, "bad data".into()).await.is_ok()).await;
                assert_eq!(done, !run.status.is_ended(), "fail {run:?}");
                if done {
                    run.stop_all();
                    (run.status, run.failing) = (RunStatus::Failed, true);
                }
            }
            1 => {
                let step = StepNo(number as i32);
                let from_checkpoint = chance.below(2) == 0;
                let resume = async |store: &SharedStore| {
                    let forget = match from_checkpoint {
                        true => since_checkpoint(&**store, StepId { run: id, step }, &Seal::CLEAR).await.map(Some),
                        false => Ok(None),
                    };
                    let Ok(forget) = forget else { return false };
                    store.resume(id, step, Resume { on: ResumeOn::Pinned, forget }).await.is_ok()
                };
                let done = all(&self.stores, resume).await;
                let may = match run.steps[number].status {
                    StepStatus::Waiting => run.steps[number].awaits().is_none(),
                    status => matches!(status, StepStatus::Parked | StepStatus::Ready),
                };
                assert_eq!(done, may, "resume step {number} of {run:?}");
                if done {
                    run.change(number, StepChange::Resumed);
                    run.steps[number].waits = None;
                    (run.steps[number].crashes, run.steps[number].crash_mark) = (0, 0);
                }
                if done && from_checkpoint {
                    run.forget(number);
                    run.give_signals();
                }
            }
            _ => {
                let retried = |step: &ModelStep| matches!(step.status, StepStatus::Failed | StepStatus::Parked);
                let was_ended_so = matches!(run.status, RunStatus::Failed | RunStatus::Cancelled);
                let may = was_ended_so || run.steps.iter().any(retried);
                let done = all(&self.stores, async |store| store.retry(id, None, BTreeMap::new()).await.is_ok()).await;
                assert_eq!(done, may, "retry {run:?}");
                if done {
                    reopen(run);
                    run.give_signals();
                }
            }
        }
    }
}

/// What all stores answer.
async fn all(stores: &[Tested], ask: impl AsyncFn(&SharedStore) -> bool) -> bool {
    let mut answers = Vec::new();
    for Tested { store, .. } in stores {
        answers.push(ask(store).await);
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "the stores disagree: {answers:?}");
    answers[0]
}

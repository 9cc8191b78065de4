//! One batch of one worker, made by chance, and what must come of it.

use pawl_domain::id::{Digest, Fence, StepId, StepNo};
use pawl_domain::journal::{Checkpoint, Entry, Held, pack};
use pawl_domain::recovery::{Outcome, Recovered};
use pawl_domain::status::StepStatus;
use pawl_domain::wait::Wait;
use pawl_store::write::{Ahead, Batch, Member, Segment, Settlement, Verdict};

use crate::chance::Chance;
use crate::model::{Claimant, ModelRun, ModelStep, apply};
use crate::world::{INPUT, SIGNALS, World};

impl World {
    /// One batch of one worker: outcomes, what was run ahead of them or given a head start, segments and stale writes
    /// of distinct steps, and claims.
    pub async fn batch(&mut self, chance: &mut Chance) {
        let worker = self.workers[chance.below(self.workers.len())];
        let mut batch = Batch::default();
        let mut expected = Vec::new();
        for (run, model) in &self.model {
            for (number, step) in model.steps.iter().enumerate() {
                let id = StepId { run: *run, step: StepNo(number as i32) };
                let own = step.status == StepStatus::Running && step.owner == Some(worker);
                match (step.status, chance.below(4)) {
                    (StepStatus::Running, 0..=2) if own => {
                        batch.members.push(self.member(id, step, chance));
                        expected.push(Verdict::Written);
                        self.run_ahead(&mut batch, &mut expected, model, chance);
                    }
                    (StepStatus::Running, 3) if own => {
                        batch.members.push(Member { fence: Fence(step.fence - 1), ..self.member(id, step, chance) });
                        expected.push(Verdict::LeaseLost);
                        self.run_ahead(&mut batch, &mut expected, model, chance);
                    }
                    (StepStatus::Running, 0) => {
                        batch.members.push(self.member(id, step, chance));
                        expected.push(Verdict::LeaseLost);
                        self.run_ahead(&mut batch, &mut expected, model, chance);
                    }
                    // Also some that are not ready.
                    (StepStatus::Ready, 0..=1) | (StepStatus::Blocked, 0) => batch.claims.push(id),
                    (StepStatus::Ready, 2) | (StepStatus::Blocked, 1) if batch.members.iter().all(|it| it.id != id) => {
                        let (member, verdict) = self.head_start(id, model, step, chance);
                        batch.members.push(member);
                        expected.push(verdict);
                        self.run_ahead(&mut batch, &mut expected, model, chance);
                    }
                    _ => {}
                }
            }
        }
        let accepted: Vec<&Member> =
            batch.members.iter().zip(&expected).filter(|(_, v)| **v == Verdict::Written).map(|(m, _)| m).collect();
        let before = self.model.clone();
        let by = Claimant { worker, active: self.active() };
        let claimed = apply(&mut self.model, &by, &accepted, &batch);
        let written = self.write(worker, &batch).await;
        assert_eq!(written.members, expected, "verdicts of {batch:?} on {before:?}");
        // What was asked for and continued in one batch is told twice.
        let mut told: Vec<StepId> = written.claimed.iter().map(|claim| claim.id).collect();
        told.sort();
        told.dedup();
        assert_eq!(told, claimed, "claims of {batch:?} on {before:?}");
        // A lost answer: what is sent again changes nothing and tells the same of what still stands.
        if chance.below(4) == 0 && expected.iter().all(|verdict| *verdict == Verdict::Written) {
            let again = self.write(worker, &batch).await;
            let mut told: Vec<StepId> = again.claimed.iter().map(|claim| claim.id).collect();
            told.sort();
            told.dedup();
            let standing = |id: &StepId| self.model[&id.run].steps[id.step.0 as usize].status == StepStatus::Running;
            assert!(
                claimed.iter().filter(|id| standing(id)).all(|id| told.contains(id)),
                "{told:?} lacks of {claimed:?}"
            );
        }
    }

    /// What a step has to write.
    fn member(&self, id: StepId, step: &ModelStep, chance: &mut Chance) -> Member {
        let entries = |first: u32, length: u32| Segment {
            first,
            length,
            bytes: pack(&(first..first + length).map(|at| Entry::Now { unix_ns: at.into() }).collect::<Vec<_>>()),
        };
        let mut segment = (chance.below(3) == 0).then(|| entries(step.journal, 2));
        let mut cut = None;
        let error = b"{}".to_vec();
        let settlement = match chance.below(14) {
            0..=4 => Some(self.success(id, chance)),
            outcome @ 5..=6 => {
                if chance.below(2) == 0 {
                    let at = step.checkpoint_at + chance.below((step.journal - step.checkpoint_at) as usize + 1) as u32;
                    let row = step.rows.iter().map(|(first, _)| *first).filter(|first| *first <= at).max();
                    let first = if at == step.journal { at } else { row.unwrap_or(at) };
                    cut = Some(first);
                    segment = (first < at).then(|| entries(first, at - first));
                }
                let failed = outcome == 5;
                let rejects_signal = chance.below(2) == 0;
                Some(match failed {
                    true => Settlement::Failed { error, rejects_signal },
                    false => Settlement::Retry { error, delay_ms: 0 },
                })
            }
            7 => Some(Settlement::Parked(error)),
            8 => Some(Settlement::Released),
            9..=11 => {
                let wait = a_wait(chance);
                let before = segment.take().map_or(0, |segment| segment.length);
                let (first, position) = (step.journal, step.journal + before);
                let now = (first..position).map(|at| Entry::Now { unix_ns: at.into() });
                let bytes = pack(&now.chain([wait.entry()]).collect::<Vec<_>>());
                segment = Some(Segment { first, length: before + 1, bytes });
                Some(Settlement::Suspended { position, wait })
            }
            // There is no such circuit: it is due at once.
            12 => Some(Settlement::Deferred { origin: "http://down:80".to_owned(), delay_ms: 3_600_000 }),
            _ => None,
        };
        let alone = chance.below(2) == 0;
        let progress = (chance.below(4) == 0).then(|| (0.5, "half".to_owned()));
        let checkpoint = (cut.is_none() && chance.below(4) == 0).then(|| Checkpoint {
            ordinal: step.checkpoints + 1,
            position: step.journal,
            random_position: 7,
            effect_ordinal: 1,
            prelude: Some(0),
            state: vec![step.journal as u8],
            held: Held::default(),
        });
        let recovered = (chance.below(3) == 0).then(|| a_recovery(chance));
        Member {
            alone,
            cut,
            segment,
            checkpoint,
            progress,
            settlement,
            recovered,
            ..Member::bare(id, Fence(step.fence))
        }
    }

    fn success(&self, id: StepId, chance: &mut Chance) -> Settlement {
        let then = self.plan_of(id.run).after(id.step, &self.queues, chance.below(3) > 0);
        Settlement::Succeeded { output: b"{}".to_vec(), then }
    }

    /// A step that nobody has claimed, with its success; at times one that is not so, or on other premises than its
    /// claim would tell.
    fn head_start(&self, id: StepId, run: &ModelRun, step: &ModelStep, chance: &mut Chance) -> (Member, Verdict) {
        let plan = self.plan_of(id.run);
        let mut component = step.component.unwrap_or_else(|| self.active());
        let mut pipeline = plan.digest;
        let mut request = Digest::of_request(&plan.pipeline.name, INPUT);
        let guessed = chance.below(6);
        match guessed {
            0 => component = Digest::of(b"a third one"),
            1 => pipeline = Digest::of(b"another version"),
            2 => request = Digest::of_request(&plan.pipeline.name, b"[]"),
            _ => {}
        }
        let is_true =
            guessed > 2 && !run.failing && !run.stands() && (step.status, step.fence) == (StepStatus::Ready, 0);
        let member = self.succeeded_ahead(id, step, Ahead::Start { component, pipeline, request }, chance);
        (member, if is_true { Verdict::Written } else { Verdict::LeaseLost })
    }

    /// The first claim of a step and its success, at once.
    fn succeeded_ahead(&self, id: StepId, step: &ModelStep, ahead: Ahead, chance: &mut Chance) -> Member {
        let untouched = ModelStep { fence: 1, journal: 0, checkpoint_at: 0, rows: Vec::new(), ..step.clone() };
        let segment = Segment { first: 0, length: 1, bytes: pack(&[Entry::Now { unix_ns: 1 }]) };
        Member {
            ahead: Some(ahead),
            checkpoint: None,
            cut: None,
            recovered: None,
            segment: (chance.below(3) == 0).then_some(segment),
            settlement: Some(self.success(id, chance)),
            ..self.member(id, &untouched, chance)
        }
    }

    /// Followers of the last member, at times on another component than the step would get.
    fn run_ahead(&self, batch: &mut Batch, expected: &mut Vec<Verdict>, run: &ModelRun, chance: &mut Chance) {
        let mut stands = expected.last() == Some(&Verdict::Written) && !run.failing && !run.stands();
        while let Some(last) = batch.members.last()
            && let Some(next) = last.succession().and_then(|then| then.run_ahead())
            && chance.below(4) > 0
        {
            let id = StepId { run: last.id.run, step: next.step };
            let step = &run.steps[id.step.0 as usize];
            let (guessed, component) = (chance.below(6) > 0, step.component.unwrap_or_else(|| self.active()));
            stands &= guessed && (step.status, step.unmet, step.fence) == (StepStatus::Blocked, 1, 0);
            let component = if guessed { component } else { Digest::of(b"a third one") };
            batch.members.push(self.succeeded_ahead(id, step, Ahead::Follows { component }, chance));
            expected.push(if stands { Verdict::Written } else { Verdict::LeaseLost });
        }
    }
}

/// What a replacement may tell, whether it is one or not: only the record knows.
fn a_recovery(chance: &mut Chance) -> Recovered {
    // As seen by a clock that is late: nothing was before the claim.
    let (reloaded_ms, replayed) = (Some(1), chance.below(5) as u32);
    match chance.below(3) {
        0 => Recovered { reloaded_ms, replayed_ms: None, ready_ms: None, replayed, outcome: Outcome::Failed },
        _ => Recovered { reloaded_ms, replayed_ms: Some(2), ready_ms: Some(3), replayed, outcome: Outcome::Recovered },
    }
}

fn a_wait(chance: &mut Chance) -> Wait {
    let name = SIGNALS[chance.below(SIGNALS.len())].to_owned();
    match chance.below(3) {
        0 => Wait::Sleep { duration_ms: 0 },
        1 => Wait::Signal { name, timeout_ms: Some(0) },
        _ => Wait::Signal { name, timeout_ms: None },
    }
}

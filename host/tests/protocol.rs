//! Random histories, driven into the server-side functions and into the model of the state machines, which
//! must agree after every batch. A failure prints its seed; `PAWL_SEED=n` replays it.

use std::collections::BTreeMap;
use std::time::Duration;

use pawl::cli::private::PrivatePostgres;
use pawl::domain::id::{Digest, Fence, RunId, StepId, StepNo, WorkerId};
use pawl::domain::pipeline::{Pipeline, StepSpec};
use pawl::domain::status::{RunStatus, StepStatus};
use pawl::domain::succession::Plan;
use pawl::domain::suspicion::Suspicion;
use pawl::domain::transition::{self, StepChange};
use pawl::domain::wait::Wait;
use pawl::store::control::ResumeOn;
use pawl::store::leases::{Heartbeat, heartbeat};
use pawl::store::plugins::NewVersion;
use pawl::store::signals::{NewSignal, Sent};
use pawl::store::submit::{NewRun, Submission, submit};
use pawl::store::write::{Batch, Member, Segment, Settlement, Verdict, write};
use pawl::store::{Error, Store};
use sqlx::{Connection, PgConnection, Row};

const HISTORIES: u64 = 40;
const BATCHES: usize = 40;
const SUSPICION: Suspicion = Suspicion { suspect_from: 1, crash_limit: 2 };

#[derive(Debug, Clone)]
struct ModelStep {
    status: StepStatus,
    unmet: u32,
    fence: i64,
    owner: Option<WorkerId>,
    journal: u32,
    crashes: u32,
    crash_mark: u32,
    alone: bool,
    /// The journal's rows: first position and length.
    rows: Vec<(u32, u32)>,
    /// The wait that has not ended, and its position.
    waits: Option<(Wait, u32)>,
}

impl ModelStep {
    fn awaits(&self) -> Option<&str> {
        self.waits.as_ref()?.0.signal()
    }
}

#[derive(Debug, Clone)]
struct ModelRun {
    status: RunStatus,
    failing: bool,
    started: bool,
    steps: Vec<ModelStep>,
    /// By number from 1: the name, and the step and position that took it.
    signals: Vec<(&'static str, Option<(usize, u32)>)>,
    /// What was sent under a key.
    keys: BTreeMap<&'static str, &'static [u8]>,
}

const SIGNALS: [&str; 2] = ["approved", "refused"];

/// Steps 1 to 3 fan out from 0 and join in 4; 5 follows 4; 6 to 9 are a chain.
const NEEDS: [&[i32]; 10] = [&[], &[0], &[0], &[0], &[1, 2, 3], &[4], &[], &[6], &[7], &[8]];

/// What all steps run on: nothing is executed here.
const COMPONENT: &[u8] = b"no component";

impl ModelRun {
    fn new() -> Self {
        let step = |needs: &&[i32]| ModelStep {
            status: if needs.is_empty() { StepStatus::Ready } else { StepStatus::Blocked },
            unmet: needs.len() as u32,
            fence: 0,
            owner: None,
            journal: 0,
            crashes: 0,
            crash_mark: 0,
            alone: false,
            rows: Vec::new(),
            waits: None,
        };
        Self {
            status: RunStatus::Pending,
            failing: false,
            started: false,
            steps: NEEDS.iter().map(step).collect(),
            signals: Vec::new(),
            keys: BTreeMap::new(),
        }
    }

    /// The oldest signal of a name goes to the first step that waits for it.
    fn give_signals(&mut self) {
        for number in 0..self.steps.len() {
            let step = &self.steps[number];
            let Some((wait, position)) = step.waits.clone().filter(|_| step.status == StepStatus::Waiting) else {
                continue;
            };
            let free = |(name, taken): &&mut (&str, Option<_>)| taken.is_none() && wait.signal() == Some(name);
            if let Some((_, taken)) = self.signals.iter_mut().find(free) {
                *taken = Some((number, position));
                self.change(number, StepChange::Signalled);
                self.steps[number].waits = None;
            }
        }
    }

    fn change(&mut self, step: usize, change: StepChange) {
        let step = &mut self.steps[step];
        step.status = transition::step(step.status, change).expect("the test makes only legal changes");
        step.fence += i64::from(matches!(
            change,
            StepChange::Claimed
                | StepChange::Continued
                | StepChange::LeaseEnded
                | StepChange::Poisoned
                | StepChange::Stopped
                | StepChange::Reopened { .. }
                | StepChange::WaitReopened
                | StepChange::Resumed
        ));
    }

    fn stop_what_does_not_run(&mut self) {
        for step in 0..self.steps.len() {
            let status = self.steps[step].status;
            if !status.is_ended() && status != StepStatus::Running {
                self.change(step, StepChange::Stopped);
            }
        }
    }

    fn settle(&mut self) {
        let live = self.steps.iter().filter(|step| !step.status.is_ended()).count() as u32;
        self.status = transition::run(self.status, live, self.failing, self.started);
    }
}

struct Chance(u64);

impl Chance {
    /// splitmix64, <https://prng.di.unimi.it/splitmix64.c>
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

struct World {
    store: Store,
    conn: PgConnection,
    model: BTreeMap<RunId, ModelRun>,
    workers: Vec<WorkerId>,
    queues: Vec<String>,
    plan: Plan,
}

#[tokio::test]
async fn server_side_functions_follow_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = PrivatePostgres::start(folder.path()).expect("a private Postgres");
    let store = Store::new(&postgres.url(), 4, Duration::from_secs(30)).expect("a store");
    store.migrate().await.expect("migrations");
    prepare(&store).await;
    let seeds: Vec<u64> = match std::env::var("PAWL_SEED") {
        Ok(seed) => vec![seed.parse().expect("PAWL_SEED is a number")],
        Err(_) => (0..HISTORIES).map(|n| n + u64::from(std::process::id()) * 1_000).collect(),
    };
    for seed in seeds {
        eprintln!("PAWL_SEED={seed}");
        history(&store, seed).await;
    }
    let violations = store.doctor(Duration::from_secs(3600), false).await.expect("a checked database");
    assert_eq!(violations, [], "the invariants hold over all histories");
}

async fn prepare(store: &Store) {
    let (digest, bytes) = (Digest::of(COMPONENT), COMPONENT);
    let new = NewVersion { name: "p", version: "1", digest, bytes, manifest: b"{}", activate: true };
    store.push_version(new).await.expect("a plugin");
    store.apply_pipeline(&pipeline()).await.expect("a pipeline");
}

fn pipeline() -> Pipeline {
    let steps = NEEDS.iter().enumerate().map(|(number, needs)| {
        let spec = serde_json::json!({"name": format!("s{number}"), "plugin": "p", "needs": needs});
        serde_json::from_value::<StepSpec>(spec).expect("a step")
    });
    Pipeline { name: "random".into(), steps: steps.collect() }
}

async fn history(store: &Store, seed: u64) {
    let mut chance = Chance(seed);
    let conn = store.connect().await.expect("a connection");
    let mut world = World {
        store: store.clone(),
        conn,
        model: BTreeMap::new(),
        workers: Vec::new(),
        queues: vec!["default".into()],
        plan: Plan::new(pipeline().digest(), pipeline()),
    };
    for _ in 0..2 {
        world.new_worker().await;
    }
    let runs: Vec<NewRun> = (0..3).map(|_| NewRun::new("random".into(), b"{}".to_vec(), None)).collect();
    let (answers, ready) = submit(&mut world.conn, &runs).await.expect("submitted");
    assert_eq!(answers, [Submission::Created; 3]);
    assert_eq!(ready.len(), 6, "two steps of each run need nothing");
    assert_eq!(submit(&mut world.conn, &runs).await.expect("sent again").0, [Submission::Same; 3]);
    world.model = runs.iter().map(|run| (run.id, ModelRun::new())).collect();
    for _ in 0..BATCHES {
        match chance.below(14) {
            0 => world.expire(&mut chance).await,
            1 => world.wake().await,
            2 => world.person(&mut chance).await,
            3..=4 => world.signal(&mut chance).await,
            _ => world.batch(&mut chance).await,
        }
        world.compare(seed).await;
    }
    world.conn.close().await.expect("closed");
}

impl World {
    async fn new_worker(&mut self) {
        let worker = WorkerId::new();
        let beat = Heartbeat {
            worker,
            lease_ms: 3_600_000,
            begin: true,
            host: "test",
            pid: 1,
            slots: 8,
            queues: &self.queues,
            running: 0,
            draining: false,
        };
        assert!(heartbeat(&mut self.conn, &beat).await.expect("a heartbeat").alive);
        self.workers.push(worker);
    }

    /// One batch of one worker: outcomes, what was run ahead of them, segments and stale writes of distinct
    /// steps, and claims.
    async fn batch(&mut self, chance: &mut Chance) {
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
                    _ => {}
                }
            }
        }
        let accepted: Vec<&Member> =
            batch.members.iter().zip(&expected).filter(|(_, v)| **v == Verdict::Written).map(|(m, _)| m).collect();
        let before = self.model.clone();
        let claimed = apply(&mut self.model, worker, &accepted, &batch);
        let written = write(&mut self.conn, worker, &batch).await.expect("written");
        assert_eq!(written.members, expected, "verdicts of {batch:?} on {before:?}");
        // What was asked for and continued in one batch is told twice.
        let mut told: Vec<StepId> = written.claimed.iter().map(|claim| claim.id).collect();
        told.sort();
        told.dedup();
        assert_eq!(told, claimed, "claims of {batch:?} on {before:?}");
        // A lost answer: what is sent again changes nothing and tells the same of what still stands.
        if chance.below(4) == 0 && expected.iter().all(|verdict| *verdict == Verdict::Written) {
            let again = write(&mut self.conn, worker, &batch).await.expect("written again");
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
        let entries = |first, length| Segment { first, length, bytes: vec![1, 2, 3] };
        let mut segment = (chance.below(3) == 0).then(|| entries(step.journal, 2));
        let mut cut = None;
        let error = b"{}".to_vec();
        let settlement = match chance.below(13) {
            0..=4 => Some(self.success(id, chance)),
            outcome @ 5..=6 => {
                if chance.below(2) == 0 {
                    let at = chance.below(step.journal as usize + 1) as u32;
                    let row = step.rows.iter().map(|(first, _)| *first).filter(|first| *first <= at).max();
                    let first = if at == step.journal { at } else { row.unwrap_or(at) };
                    cut = Some(first);
                    segment = (first < at).then(|| entries(first, at - first));
                }
                let failed = outcome == 5;
                Some(if failed { Settlement::Failed(error) } else { Settlement::Retry { error, delay_ms: 0 } })
            }
            7 => Some(Settlement::Parked(error)),
            8 => Some(Settlement::Released),
            9..=11 => {
                let last = segment.get_or_insert_with(|| entries(step.journal, 1));
                Some(Settlement::Suspended { position: last.first + last.length - 1, wait: a_wait(chance) })
            }
            _ => None,
        };
        let alone = chance.below(2) == 0;
        Member { alone, cut, segment, settlement, ..Member::bare(id, Fence(step.fence)) }
    }

    fn success(&self, id: StepId, chance: &mut Chance) -> Settlement {
        let then = self.plan.after(id.step, &self.queues, chance.below(3) > 0);
        Settlement::Succeeded { output: b"{}".to_vec(), then }
    }

    /// Followers of the last member, at times on another component than the step's.
    fn run_ahead(&self, batch: &mut Batch, expected: &mut Vec<Verdict>, run: &ModelRun, chance: &mut Chance) {
        let mut stands = expected.last() == Some(&Verdict::Written) && !run.failing;
        while let Some(last) = batch.members.last()
            && let Some(next) = last.succession().and_then(|then| then.run_ahead())
            && chance.below(4) > 0
        {
            let id = StepId { run: last.id.run, step: next.step };
            let step = &run.steps[id.step.0 as usize];
            let guessed = chance.below(6) > 0;
            stands &= guessed && (step.status, step.unmet, step.fence) == (StepStatus::Blocked, 1, 0);
            let untouched = ModelStep { fence: 1, journal: 0, rows: Vec::new(), ..step.clone() };
            batch.members.push(Member {
                follows: Some(Digest::of(if guessed { COMPONENT } else { b"another" })),
                cut: None,
                settlement: Some(self.success(id, chance)),
                ..self.member(id, &untouched, chance)
            });
            expected.push(if stands { Verdict::Written } else { Verdict::LeaseLost });
        }
    }

    /// A worker's lease ends, and its steps are taken over.
    async fn expire(&mut self, chance: &mut Chance) {
        let dead = self.workers.swap_remove(chance.below(self.workers.len()));
        sqlx::query("update worker set expires_at = now() - interval '1 s' where id = $1")
            .bind(dead.0)
            .execute(&mut self.conn)
            .await
            .expect("expired");
        self.store.take_over(1_000, SUSPICION).await.expect("taken over");
        for run in self.model.values_mut() {
            for number in 0..run.steps.len() {
                let step = &mut run.steps[number];
                if step.status != StepStatus::Running || step.owner != Some(dead) {
                    continue;
                }
                step.crashes = SUSPICION.after_crash(step.crashes, step.journal > step.crash_mark, step.alone);
                step.crash_mark = step.journal;
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

    async fn wake(&mut self) {
        self.store.wake(1_000).await.expect("woken");
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

    async fn signal(&mut self, chance: &mut Chance) {
        let runs: Vec<RunId> = self.model.keys().copied().collect();
        let id = runs[chance.below(runs.len())];
        let run = self.model.get_mut(&id).expect("a known run");
        let name = SIGNALS[chance.below(SIGNALS.len())];
        let key = (chance.below(3) == 0).then_some(name);
        let payload: &'static [u8] = if chance.below(4) == 0 { b"2" } else { b"1" };
        let known = key.and_then(|key| run.keys.get(key).copied());
        let sent = self.store.signal(id, NewSignal { name, payload, key }).await;
        match (known, run.status.is_ended()) {
            (Some(before), _) if before == payload => assert!(matches!(sent, Ok(Sent::Same)), "sent again: {sent:?}"),
            (Some(_), _) | (None, true) => assert!(matches!(sent, Err(Error::Conflict(_))), "{sent:?} to {run:?}"),
            (None, false) => {
                assert!(matches!(sent, Ok(Sent::New(_))), "{sent:?} to {run:?}");
                run.signals.push((name, None));
                run.keys.extend(key.map(|key| (key, payload)));
            }
        }
        run.give_signals();
    }

    async fn person(&mut self, chance: &mut Chance) {
        let runs: Vec<RunId> = self.model.keys().copied().collect();
        let id = runs[chance.below(runs.len())];
        let run = self.model.get_mut(&id).expect("a known run");
        let number = chance.below(run.steps.len());
        match chance.below(5) {
            0 => {
                let done = self.store.cancel(id).await.is_ok();
                assert_eq!(done, !run.status.is_ended(), "cancel {run:?}");
                if done {
                    for step in 0..run.steps.len() {
                        if !run.steps[step].status.is_ended() {
                            run.change(step, StepChange::Stopped);
                        }
                    }
                    run.status = RunStatus::Cancelled;
                }
            }
            1 => {
                let done = self.store.resume(id, StepNo(number as i32), ResumeOn::Pinned).await.is_ok();
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
            }
            _ => {
                let retried = |step: &ModelStep| matches!(step.status, StepStatus::Failed | StepStatus::Parked);
                let may = run.status != RunStatus::Cancelled && run.steps.iter().any(retried);
                let done = self.store.retry(id, None).await.is_ok();
                assert_eq!(done, may, "retry {run:?}");
                if done {
                    reopen(run);
                    run.give_signals();
                }
            }
        }
    }

    async fn compare(&mut self, seed: u64) {
        for (id, run) in &self.model {
            let row = sqlx::query("select status, failing, live from run where id = $1")
                .bind(id.0)
                .fetch_one(&mut self.conn)
                .await
                .expect("the run");
            let live = run.steps.iter().filter(|step| !step.status.is_ended()).count() as i32;
            let found: (String, bool, i32) = (row.get(0), row.get(1), row.get(2));
            assert_eq!(found, (run.status.to_string(), run.failing, live), "run {id}, seed {seed}");
            let taken: Vec<(String, Option<i32>, Option<i32>)> =
                sqlx::query_as("select name, step_no, position from signal where run_id = $1 order by id")
                    .bind(id.0)
                    .fetch_all(&mut self.conn)
                    .await
                    .expect("the signals");
            let model = run.signals.iter().map(|(name, taken)| {
                let (step, position) = taken.unzip();
                ((*name).to_owned(), step.map(|step| step as i32), position.map(|position| position as i32))
            });
            assert!(model.eq(taken.iter().cloned()), "signals {taken:?}, {:?} of run {id}, seed {seed}", run.signals);
            let rows = sqlx::query(
                "select step_no, status, unmet, fence, journal_length, crashes, awaits, awaits_position
                 from step where run_id = $1 order by 1",
            )
            .bind(id.0)
            .fetch_all(&mut self.conn)
            .await
            .expect("the steps");
            for (row, step) in rows.iter().zip(&run.steps) {
                let found: (String, i32, i64, i32, i32) = (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5));
                let model =
                    (step.status.to_string(), step.unmet as i32, step.fence, step.journal as i32, step.crashes as i32);
                assert_eq!(found, model, "step {} of run {id}, seed {seed}", row.get::<i32, _>(0));
                let found: (Option<String>, Option<i32>) = (row.get(6), row.get(7));
                let position = step.waits.as_ref().map(|(_, position)| *position as i32);
                let model = (step.awaits().map(str::to_owned), position);
                assert_eq!(found, model, "the wait of step {} of run {id}, seed {seed}", row.get::<i32, _>(0));
            }
        }
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

/// What a batch means to the model; returns what the worker holds by it, sorted.
fn apply(model: &mut BTreeMap<RunId, ModelRun>, worker: WorkerId, accepted: &[&Member], batch: &Batch) -> Vec<StepId> {
    let mut claimed = Vec::new();
    for member in accepted {
        let run = model.get_mut(&member.id.run).expect("a known run");
        let number = member.id.step.0 as usize;
        if let Some(cut) = member.cut {
            let step = &mut run.steps[number];
            step.rows.retain(|(first, _)| *first < cut);
            step.journal = cut;
            let kept = member.segment.as_ref().map_or(0, |segment| segment.length);
            let dropped = |taken: &(usize, u32)| taken.0 == number && taken.1 >= cut + kept;
            for (_, taken) in run.signals.iter_mut().filter(|(_, taken)| taken.as_ref().is_some_and(dropped)) {
                *taken = None;
            }
        }
        if let Some(segment) = &member.segment {
            run.steps[number].rows.push((segment.first, segment.length));
            run.steps[number].journal += segment.length;
        }
        if member.follows.is_some() {
            run.change(number, StepChange::Continued);
            (run.steps[number].unmet, run.steps[number].owner) = (0, Some(worker));
            run.started = true;
        }
        run.steps[number].alone = member.settlement.is_none() && (member.alone || run.steps[number].alone);
        let change = match &member.settlement {
            None => continue,
            Some(Settlement::Succeeded { .. }) => StepChange::Succeeded,
            Some(Settlement::Failed(_)) => StepChange::Failed,
            Some(Settlement::Retry { .. }) => StepChange::RetryLater,
            Some(Settlement::Suspended { wait, position }) => {
                run.steps[number].waits = Some((wait.clone(), *position));
                StepChange::Suspended
            }
            Some(Settlement::Parked(_)) => StepChange::Parked,
            Some(Settlement::Released) => StepChange::HandedBack,
        };
        run.change(number, change);
        run.failing |= change == StepChange::Failed;
    }
    for run in model.values_mut().filter(|run| run.failing && !run.status.is_ended()) {
        run.stop_what_does_not_run();
    }
    model.values_mut().for_each(ModelRun::give_signals);
    claimed.extend(advance(model, worker, accepted));
    for id in &batch.claims {
        let run = model.get_mut(&id.run).expect("a known run");
        let number = id.step.0 as usize;
        if run.steps[number].status == StepStatus::Ready && !run.status.is_ended() {
            run.change(number, StepChange::Claimed);
            run.steps[number].owner = Some(worker);
            claimed.push(*id);
        }
    }
    for id in &claimed {
        model.get_mut(&id.run).expect("a known run").started = true;
    }
    model.values_mut().for_each(ModelRun::settle);
    // A step that was asked for and is this worker's already is told again.
    claimed.extend(batch.claims.iter().filter(|id| {
        let step = &model[&id.run].steps[id.step.0 as usize];
        step.status == StepStatus::Running && step.owner == Some(worker)
    }));
    claimed.sort();
    claimed.dedup();
    claimed
}

/// Successors of what succeeded: ready, or taken by the worker if it wanted them.
fn advance(model: &mut BTreeMap<RunId, ModelRun>, worker: WorkerId, accepted: &[&Member]) -> Vec<StepId> {
    let mut met: BTreeMap<StepId, (u32, bool)> = BTreeMap::new();
    for member in accepted {
        let Some(then) = member.succession() else { continue };
        for step in &then.successors {
            let (needs, wanted) = met.entry(StepId { run: member.id.run, step: *step }).or_default();
            *needs += 1;
            *wanted |= then.next.as_ref().is_some_and(|next| next.step == *step);
        }
    }
    let mut taken = Vec::new();
    for (id, (needs, wanted)) in met {
        let run = model.get_mut(&id.run).expect("a known run");
        let number = id.step.0 as usize;
        if run.steps[number].status != StepStatus::Blocked {
            continue;
        }
        run.steps[number].unmet -= needs;
        if run.steps[number].unmet == 0 && wanted {
            run.change(number, StepChange::Continued);
            run.steps[number].owner = Some(worker);
            taken.push(id);
        } else if run.steps[number].unmet == 0 {
            run.change(number, StepChange::NeedsMet);
        }
    }
    taken
}

fn reopen(run: &mut ModelRun) {
    for (number, needs) in NEEDS.iter().enumerate() {
        let status = run.steps[number].status;
        let unmet =
            needs.iter().filter(|need| run.steps[**need as usize].status != StepStatus::Succeeded).count() as u32;
        match status {
            StepStatus::Failed | StepStatus::Parked => {
                run.change(number, StepChange::Reopened { unmet: 0 });
                (run.steps[number].crashes, run.steps[number].crash_mark) = (0, 0);
            }
            StepStatus::Cancelled if run.steps[number].waits.is_some() => run.change(number, StepChange::WaitReopened),
            StepStatus::Cancelled => {
                run.change(number, StepChange::Reopened { unmet });
                run.steps[number].unmet = unmet;
            }
            _ => {}
        }
    }
    run.failing = false;
    run.started = true;
    run.status = RunStatus::Running;
}

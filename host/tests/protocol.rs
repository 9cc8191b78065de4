//! Random histories, driven into both stores and into the model of the state machines. After every change both
//! stores must agree with the model, and with each other in all that they hold. A failure prints its seed;
//! `PAWL_SEED=n` replays it, `PAWL_HISTORIES=n` drives so many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pawl::cli::private::PrivatePostgres;
use pawl::domain::attempt::Claim;
use pawl::domain::id::{Digest, Fence, RunId, StepId, StepNo, WorkerId};
use pawl::domain::journal::{Checkpoint, Entry, History, RequestSummary, pack};
use pawl::domain::pipeline::{Pipeline, StepSpec};
use pawl::domain::status::{RunStatus, StepStatus};
use pawl::domain::succession::Plan;
use pawl::domain::suspicion::Suspicion;
use pawl::domain::transition::{self, StepChange};
use pawl::domain::wait::Wait;
use pawl::store::control::{Resume, ResumeOn, since_checkpoint};
use pawl::store::events::EventRow;
use pawl::store::leases::Heartbeat;
use pawl::store::plugins::NewVersion;
use pawl::store::runs::{RunRow, StepRow};
use pawl::store::signals::{NewSignal, Sent};
use pawl::store::submit::{NewRun, Submission};
use pawl::store::write::{Batch, Member, Segment, Settlement, Verdict, Written};
use pawl::store::{Error, Lane, Postgres, SharedStore, Sqlite};

const HISTORIES: u64 = 1_000;
const CHANGES: usize = 12;
const SUSPICION: Suspicion = Suspicion { suspect_from: 1, crash_limit: 2 };

#[derive(Debug, Clone)]
struct ModelStep {
    status: StepStatus,
    unmet: u32,
    fence: i64,
    owner: Option<WorkerId>,
    journal: u32,
    checkpoints: u32,
    checkpoint_at: u32,
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
            checkpoints: 0,
            checkpoint_at: 0,
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

    /// The positions at which a step was given signals, from its checkpoint on.
    fn given_to(&self, number: usize) -> Vec<u32> {
        let given = self.signals.iter().filter_map(|(_, taken)| *taken).filter(|(step, _)| *step == number);
        let mut given: Vec<u32> = given.map(|(_, position)| position).collect();
        given.retain(|position| *position >= self.steps[number].checkpoint_at);
        given.sort_unstable();
        given
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

    /// A person has cut the journal to the checkpoint.
    fn forget(&mut self, number: usize) {
        let step = &mut self.steps[number];
        let at = step.checkpoint_at;
        step.rows.retain(|(first, _)| *first < at);
        step.rows.iter_mut().for_each(|(first, length)| *length = (*length).min(at - *first));
        step.journal = at;
        let dropped = |taken: &(usize, u32)| taken.0 == number && taken.1 >= at;
        for (_, taken) in self.signals.iter_mut().filter(|(_, taken)| taken.as_ref().is_some_and(dropped)) {
            *taken = None;
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

/// A store under test.
struct Tested {
    store: SharedStore,
    lane: Box<dyn Lane>,
}

struct World {
    /// The first one's answers are compared with the model, all with the first.
    stores: Vec<Tested>,
    model: BTreeMap<RunId, ModelRun>,
    workers: Vec<WorkerId>,
    queues: Vec<String>,
    plan: Plan,
}

#[tokio::test]
async fn both_stores_follow_the_model_and_each_other() {
    // In memory, where there is such a folder: what is compared does not depend on the disk, which takes most of the
    // time.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let postgres = PrivatePostgres::start(&folder.path().join("postgres")).expect("a private Postgres");
    let stores: [SharedStore; 2] = [
        Arc::new(Postgres::new(&postgres.url(), 4, Duration::from_secs(30)).expect("a store")),
        Arc::new(Sqlite::open(&folder.path().join("sqlite")).expect("a store")),
    ];
    for store in &stores {
        store.migrate().await.expect("migrations");
        prepare(store).await;
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("PAWL_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = u64::from(std::process::id()) * 1_000;
            first..first + number("PAWL_HISTORIES").unwrap_or(HISTORIES)
        }
    };
    for seed in seeds {
        eprintln!("PAWL_SEED={seed}");
        history(&stores, seed).await;
    }
    for store in &stores {
        let violations = store.doctor(Duration::from_secs(3600), false).await.expect("a checked database");
        assert_eq!(violations, [], "the invariants hold over all histories on {}", store.name());
    }
}

#[tokio::test]
async fn a_journal_is_cut_by_a_persons_word_only_if_nothing_has_moved_since() {
    // In memory, where there is such a folder: what is compared does not depend on the disk, which takes most of the
    // time.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let postgres = PrivatePostgres::start(&folder.path().join("postgres")).expect("a private Postgres");
    let stores: [SharedStore; 2] = [
        Arc::new(Postgres::new(&postgres.url(), 4, Duration::from_secs(30)).expect("a store")),
        Arc::new(Sqlite::open(&folder.path().join("sqlite")).expect("a store")),
    ];
    for store in &stores {
        store.migrate().await.expect("migrations");
        prepare(store).await;
        cut_by_a_person(store).await;
    }
}

async fn cut_by_a_person(store: &SharedStore) {
    let mut lane = store.lane();
    let worker = WorkerId(uuid::Uuid::from_u128(1));
    lane.heartbeat(&beat(worker, 60_000, &["default".into()])).await.expect("a lease");
    let run = NewRun::new("random".into(), b"{}".to_vec(), None);
    let id = StepId { run: run.id, step: StepNo(0) };
    lane.submit(&[run]).await.expect("submitted");
    let claims = Batch { claims: vec![id], ..Batch::default() };
    let fence = lane.write(worker, &claims).await.expect("a claim").claimed[0].fence;
    let request = RequestSummary { method: "POST".into(), url: "http://a/".into(), body: Digest::of(b"") };
    let key = Digest::of(b"key");
    let begun = Entry::OnceBegun { name: "x".into() };
    let finished = Entry::OnceFinished { name: "x".into(), value: b"1".to_vec() };
    let intent = Entry::Intent { key, request: request.clone() };
    let now = Entry::Now { unix_ns: 1 };
    let member = Member {
        segment: Some(Segment::of(0, &[now.clone(), intent, begun, finished])),
        checkpoint: Some(Checkpoint {
            ordinal: 1,
            position: 1,
            random_position: 0,
            effect_ordinal: 0,
            prelude: Some(0),
            state: b"saved".to_vec(),
        }),
        settlement: Some(Settlement::Parked(b"{}".to_vec())),
        ..Member::bare(id, fence)
    };
    let parked = Batch { members: vec![member], ..Batch::default() };
    assert_eq!(lane.write(worker, &parked).await.expect("parked").members, [Verdict::Written]);

    let history = async || {
        let (_, steps) = store.run(id.run, Some(id.step)).await.expect("the step");
        let StepRow { journal_length, checkpoint_position, .. } = steps[0].clone();
        let claim = Claim { journal_length, checkpoint_position, ..Claim::bare(id, Fence(0)) };
        store.history(&claim).await.expect("the history")
    };
    let whole = history().await;
    let other = ResumeOn::Component(Digest::of(b"another component"));
    let too_late = Some(since_checkpoint(&**store, id).await.expect("what to forget"));
    store.resume(id.run, id.step, &Resume::on(other)).await.expect("resumed");
    let moved = store.resume(id.run, id.step, &Resume { on: other, forget: too_late }).await;
    assert!(matches!(moved, Err(Error::Conflict(_))), "{moved:?} on {}", store.name());
    let recorded_by = Some(Digest::of(COMPONENT));
    assert_eq!(history().await, History { recorded_by, ..whole }, "nothing is lost by it on {}", store.name());

    let forget = Some(since_checkpoint(&**store, id).await.expect("what to forget"));
    let ready = store.resume(id.run, id.step, &Resume { on: ResumeOn::Pinned, forget }).await.expect("resumed");
    assert_eq!(ready.iter().map(|ready| ready.id).collect::<Vec<_>>(), [id]);
    let cut = history().await;
    let notes = [Entry::Attempted { key, request }, Entry::OnceKept { name: "x".into(), value: b"1".to_vec() }];
    let [attempted, kept] = notes;
    assert_eq!(cut.segments, [(0, vec![now, attempted, kept])], "on {}", store.name());
    assert_eq!((cut.length, cut.recorded_by), (3, recorded_by), "on {}", store.name());
    let events = store.events(id.run, 0, 100).await.expect("the events");
    let note = events.last().and_then(|event| event.note.clone()).unwrap_or_default();
    assert!(note.contains("from its checkpoint at entry 1"), "{note:?} on {}", store.name());

    let back = Resume::on(ResumeOn::Component(Digest::of(COMPONENT)));
    store.resume(id.run, id.step, &back).await.expect("resumed");
    assert_eq!(history().await.recorded_by, None, "on {}", store.name());
}

async fn prepare(store: &SharedStore) {
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

async fn history(stores: &[SharedStore], seed: u64) {
    let mut chance = Chance(seed);
    let tested = |store: &SharedStore| Tested { store: Arc::clone(store), lane: store.lane() };
    let mut world = World {
        stores: stores.iter().map(tested).collect(),
        model: BTreeMap::new(),
        workers: Vec::new(),
        queues: vec!["default".into()],
        plan: Plan::new(pipeline().digest(), pipeline()),
    };
    for _ in 0..2 {
        world.new_worker().await;
    }
    let runs: Vec<NewRun> = (0..3).map(|_| NewRun::new("random".into(), b"{}".to_vec(), None)).collect();
    for Tested { lane, .. } in &mut world.stores {
        let (answers, ready) = lane.submit(&runs).await.expect("submitted");
        assert_eq!(answers, [Submission::Created; 3]);
        assert_eq!(ready.len(), 6, "two steps of each run need nothing");
        assert_eq!(lane.submit(&runs).await.expect("sent again").0, [Submission::Same; 3]);
    }
    world.model = runs.iter().map(|run| (run.id, ModelRun::new())).collect();
    for _ in 0..CHANGES {
        match chance.below(14) {
            0 => world.expire(&mut chance).await,
            1 => world.wake().await,
            2 => world.person(&mut chance).await,
            3..=4 => world.signal(&mut chance).await,
            _ => world.batch(&mut chance).await,
        }
        world.compare(seed).await;
    }
    world.end(seed).await;
}

impl World {
    async fn new_worker(&mut self) {
        let worker = WorkerId::new();
        let beat = Heartbeat { begin: true, ..beat(worker, 3_600_000, &self.queues) };
        for Tested { lane, .. } in &mut self.stores {
            assert!(lane.heartbeat(&beat).await.expect("a heartbeat").alive);
        }
        self.workers.push(worker);
    }

    /// The same batch for all; the answer of the first, which those of the others equal.
    async fn write(&mut self, worker: WorkerId, batch: &Batch) -> Written {
        let mut first: Option<Written> = None;
        for Tested { store, lane } in &mut self.stores {
            let mut written = lane.write(worker, batch).await.expect("written");
            sort(&mut written);
            match &first {
                None => first = Some(written),
                Some(first) => assert_eq!(told(&written), told(first), "{} on {batch:?}", store.name()),
            }
        }
        first.expect("at least one store")
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
        let settlement = match chance.below(13) {
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
                Some(if failed { Settlement::Failed(error) } else { Settlement::Retry { error, delay_ms: 0 } })
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
        });
        Member { alone, cut, segment, checkpoint, progress, settlement, ..Member::bare(id, Fence(step.fence)) }
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
            let untouched = ModelStep { fence: 1, journal: 0, checkpoint_at: 0, rows: Vec::new(), ..step.clone() };
            batch.members.push(Member {
                checkpoint: None,
                follows: Some(Digest::of(if guessed { COMPONENT } else { b"another" })),
                cut: None,
                segment: (chance.below(3) == 0).then(|| Segment {
                    first: 0,
                    length: 1,
                    bytes: pack(&[Entry::Now { unix_ns: 1 }]),
                }),
                settlement: Some(self.success(id, chance)),
                ..self.member(id, &untouched, chance)
            });
            expected.push(if stands { Verdict::Written } else { Verdict::LeaseLost });
        }
    }

    /// A worker's lease ends, and its steps are taken over.
    async fn expire(&mut self, chance: &mut Chance) {
        let dead = self.workers.swap_remove(chance.below(self.workers.len()));
        for Tested { store, lane } in &mut self.stores {
            // A lease that lasts no time.
            lane.heartbeat(&beat(dead, 0, &self.queues)).await.expect("a heartbeat");
            store.take_over(1_000, SUSPICION).await.expect("taken over");
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

    async fn wake(&mut self) {
        for Tested { store, .. } in &self.stores {
            store.wake(1_000).await.expect("woken");
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

    async fn signal(&mut self, chance: &mut Chance) {
        let runs: Vec<RunId> = self.model.keys().copied().collect();
        let id = runs[chance.below(runs.len())];
        let run = self.model.get_mut(&id).expect("a known run");
        let name = SIGNALS[chance.below(SIGNALS.len())];
        let key = (chance.below(3) == 0).then_some(name);
        let payload: &'static [u8] = if chance.below(4) == 0 { b"2" } else { b"1" };
        let known = key.and_then(|key| run.keys.get(key).copied());
        for Tested { store, .. } in &self.stores {
            let sent = store.signal(id, NewSignal { name, payload, key }).await;
            let fits = match (known, run.status.is_ended()) {
                (Some(before), _) if before == payload => matches!(sent, Ok(Sent::Same)),
                (Some(_), _) | (None, true) => matches!(sent, Err(Error::Conflict(_))),
                (None, false) => matches!(sent, Ok(Sent::New(_))),
            };
            assert!(fits, "{} says {sent:?} to {run:?}", store.name());
        }
        if known.is_none() && !run.status.is_ended() {
            run.signals.push((name, None));
            run.keys.extend(key.map(|key| (key, payload)));
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
                let done = all(&self.stores, async |store| store.cancel(id).await.is_ok()).await;
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
                let step = StepNo(number as i32);
                let from_checkpoint = chance.below(2) == 0;
                let resume = async |store: &SharedStore| {
                    let forget = match from_checkpoint {
                        true => since_checkpoint(&**store, StepId { run: id, step }).await.map(Some),
                        false => Ok(None),
                    };
                    let Ok(forget) = forget else { return false };
                    store.resume(id, step, &Resume { on: ResumeOn::Pinned, forget }).await.is_ok()
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
                let may = run.status != RunStatus::Cancelled && run.steps.iter().any(retried);
                let done = all(&self.stores, async |store| store.retry(id, None).await.is_ok()).await;
                assert_eq!(done, may, "retry {run:?}");
                if done {
                    reopen(run);
                    run.give_signals();
                }
            }
        }
    }

    /// The states that both stores hold are those of the model.
    async fn compare(&mut self, seed: u64) {
        for (id, model) in &self.model {
            for Tested { store, .. } in &self.stores {
                let on = format!("run {id} on {}, seed {seed}", store.name());
                let (run, steps) = store.run(*id, None).await.expect("the run");
                let live = model.steps.iter().filter(|step| !step.status.is_ended()).count() as u32;
                let found = (run.status, run.failing, run.live_steps);
                assert_eq!(found, (model.status, model.failing, live), "{on}");
                for (row, step) in steps.iter().zip(&model.steps) {
                    let found = (row.status, row.fence, row.journal_length, row.crashes);
                    assert_eq!(found, (step.status, step.fence, step.journal, step.crashes), "step {} of {on}", row.no);
                    let awaits = step.awaits().filter(|_| step.status == StepStatus::Waiting);
                    assert_eq!(row.awaits.as_deref(), awaits, "the wait of step {} of {on}", row.no);
                }
            }
        }
    }

    /// Both stores hold the same, down to the last byte. The runs are then ended: later histories meet only their own.
    async fn end(self, seed: u64) {
        for (id, run) in &self.model {
            let mut first: Option<Held> = None;
            for Tested { store, .. } in &self.stores {
                let held = Held::read(store, *id).await;
                for (number, history) in held.histories.iter().enumerate() {
                    let mut given: Vec<u32> = history.signals.iter().map(|(position, _)| *position).collect();
                    given.sort_unstable();
                    assert_eq!(given, run.given_to(number), "signals of step {number} of run {id}, seed {seed}");
                }
                match &first {
                    None => first = Some(held),
                    Some(first) => assert_eq!(&held, first, "run {id} on {}, seed {seed}", store.name()),
                }
                // It may have ended already.
                let _ = store.cancel(*id).await;
            }
        }
    }
}

/// All that a store holds of a run, but for times.
#[derive(Debug, PartialEq)]
struct Held {
    run: RunRow,
    steps: Vec<StepRow>,
    outputs: Vec<Option<Vec<u8>>>,
    histories: Vec<History>,
    /// Those of one commit come in any order.
    events: Vec<EventRow>,
}

impl Held {
    async fn read(store: &SharedStore, id: RunId) -> Self {
        let (run, steps) = store.run(id, None).await.expect("the run");
        let mut events = store.events(id, 0, 10_000).await.expect("the events");
        assert!(events.iter().zip(1..).all(|(event, number)| event.number == number), "{events:?}");
        events.iter_mut().for_each(|event| (event.number, event.at_ms) = (0, 0));
        events.sort_by_key(|event| format!("{event:?}"));
        let (mut outputs, mut histories) = (Vec::new(), Vec::new());
        for step in &steps {
            if step.status == StepStatus::Succeeded {
                outputs.push(store.step_output(id, step.no).await.expect("the output"));
            }
            let claim = Claim {
                journal_length: step.journal_length,
                checkpoint_position: step.checkpoint_position,
                ..Claim::bare(StepId { run: id, step: step.no }, Fence(0))
            };
            histories.push(store.history(&claim).await.expect("the history"));
        }
        Self {
            run: timeless_run(run),
            steps: steps.into_iter().map(timeless_step).collect(),
            outputs,
            histories,
            events,
        }
    }
}

fn timeless_run(run: RunRow) -> RunRow {
    let there = |time: Option<i64>| time.map(|_| 0);
    RunRow { created_at_ms: 0, started_at_ms: there(run.started_at_ms), ended_at_ms: there(run.ended_at_ms), ..run }
}

fn timeless_step(step: StepRow) -> StepRow {
    let there = |time: Option<i64>| time.map(|_| 0);
    StepRow {
        ready_at_ms: there(step.ready_at_ms),
        due_at_ms: there(step.due_at_ms),
        claimed_at_ms: there(step.claimed_at_ms),
        started_at_ms: there(step.started_at_ms),
        ended_at_ms: there(step.ended_at_ms),
        ..step
    }
}

fn beat(worker: WorkerId, lease_ms: u32, queues: &[String]) -> Heartbeat<'_> {
    Heartbeat { worker, lease_ms, begin: false, host: "test", pid: 1, slots: 8, queues, running: 0, draining: false }
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

/// Answers come in any order, and a claim may be told twice.
fn sort(written: &mut Written) {
    written.claimed.sort_by_key(|claim| claim.id);
    written.claimed.dedup();
    written.not_ready.sort();
    written.busy.sort();
    written.ready.sort_by_key(|ready| ready.id);
    written.ready.iter_mut().for_each(|ready| ready.ready_at_ms = 0);
    written.ended.sort();
}

/// An answer, to be compared.
fn told(written: &Written) -> String {
    format!("{written:#?}")
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
        if let Some(checkpoint) = &member.checkpoint {
            run.steps[number].checkpoints = checkpoint.ordinal;
            run.steps[number].checkpoint_at = checkpoint.position;
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

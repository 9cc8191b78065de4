//! Both stores and the model, and one history of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Versions;
use pawl_domain::status::StepStatus;
use pawl_domain::succession::Plan;
use pawl_store::leases::Heartbeat;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::write::{Batch, Written};
use pawl_store::{Link, SharedStore};

use crate::chance::Chance;
use crate::held::Held;
use crate::model::ModelRun;
use crate::pipelines::{COMPONENTS, pipeline};

const CHANGES: usize = 12;

/// Of all runs.
pub const INPUT: &[u8] = b"{}";

/// Those that there are.
pub const SIGNALS: [&str; 2] = ["approved", "refused"];

/// A store under test.
pub struct Tested {
    pub store: SharedStore,
    pub link: Box<dyn Link>,
}

pub struct World {
    /// The first one's answers are compared with the model, all with the first.
    pub stores: Vec<Tested>,
    pub model: BTreeMap<RunId, ModelRun>,
    pub workers: Vec<WorkerId>,
    pub queues: Vec<String>,
    /// By their versions.
    plans: [Plan; 2],
    /// The place of the active one among the components.
    pub active: usize,
    /// Which of the two pipelines are paused; and whether the queue is.
    pub paused: [bool; 3],
}

pub async fn history(stores: &[SharedStore], seed: u64) {
    let mut chance = Chance(seed);
    let tested = |store: &SharedStore| Tested { store: Arc::clone(store), link: store.link() };
    let mut world = World {
        stores: stores.iter().map(tested).collect(),
        model: BTreeMap::new(),
        workers: Vec::new(),
        queues: vec!["default".into()],
        plans: Versions::ALL.map(pipeline).map(|pipeline| Plan::new(pipeline.digest(), pipeline)),
        active: 0,
        paused: [false; 3],
    };
    for _ in 0..2 {
        world.new_worker().await;
    }
    let versions = [Versions::Submission, Versions::Start, Versions::ALL[chance.below(2)]];
    let new = |versions: Versions| NewRun::new(Namespace::default(), versions.as_str().into(), INPUT.to_vec(), None);
    let runs = versions.map(new);
    for Tested { store, link } in &mut world.stores {
        store.activate(&Namespace::default(), "p", COMPONENTS[0].0).await.expect("activated");
        let (answers, ready) = link.submit(&runs).await.expect("submitted");
        assert_eq!(answers, [Submission::Created; 3]);
        assert_eq!(ready.len(), 6, "two steps of each run need nothing");
        assert_eq!(link.submit(&runs).await.expect("sent again").0, [Submission::Same; 3]);
    }
    let model = |(run, versions): (&NewRun, _)| (run.id, ModelRun::new(versions, world.active()));
    world.model = runs.iter().zip(versions).map(model).collect();
    for _ in 0..CHANGES {
        match chance.below(17) {
            0 => world.expire(&mut chance).await,
            1 => world.wake().await,
            2 => world.person(&mut chance).await,
            3..=4 => world.signal(&mut chance).await,
            5 => world.activate().await,
            6 => world.inbox(&mut chance).await,
            16 => world.pause(&mut chance).await,
            _ => world.batch(&mut chance).await,
        }
        world.compare(seed).await;
    }
    world.end_pauses().await;
    world.compare(seed).await;
    world.end(seed).await;
}

impl World {
    /// The active component.
    pub fn active(&self) -> Digest {
        Digest::of(COMPONENTS[self.active].1)
    }

    pub fn plan_of(&self, run: RunId) -> &Plan {
        let [at_submission, at_start] = &self.plans;
        match self.model[&run].versions {
            Versions::Submission => at_submission,
            Versions::Start => at_start,
        }
    }

    pub async fn new_worker(&mut self) {
        let worker = WorkerId::new();
        let beat = Heartbeat { begin: true, ..beat(worker, 3_600_000, &self.queues) };
        for Tested { link, .. } in &mut self.stores {
            assert!(link.heartbeat(&beat).await.expect("a heartbeat").alive);
        }
        self.workers.push(worker);
    }

    /// The same batch for all; the answer of the first, which those of the others equal.
    pub async fn write(&mut self, worker: WorkerId, batch: &Batch) -> Written {
        let mut first: Option<Written> = None;
        for Tested { store, link } in &mut self.stores {
            let mut written = link.write(worker, batch).await.expect("written");
            sort(&mut written);
            match &first {
                None => first = Some(written),
                Some(first) => assert_eq!(told(&written), told(first), "{} on {batch:?}", store.name()),
            }
        }
        first.expect("at least one store")
    }

    /// The states that both stores hold are those of the model.
    async fn compare(&mut self, seed: u64) {
        for (id, model) in &self.model {
            for Tested { store, .. } in &self.stores {
                let on = format!("run {id} on {}, seed {seed}", store.name());
                let (run, steps) = store.run(*id, None).await.expect("the run");
                let live = model.steps.iter().filter(|step| !step.status.is_ended()).count() as u32;
                let found = (run.status, run.failing, run.live_steps, run.paused_at_ms.is_some());
                assert_eq!(found, (model.status, model.failing, live, model.paused), "{on}");
                for (row, step) in steps.iter().zip(&model.steps) {
                    let found = (row.status, row.fence, row.component, row.journal_length, row.crashes);
                    let expected = (step.status, step.fence, step.component, step.journal, step.crashes);
                    assert_eq!(found, expected, "step {} of {on}", row.no);
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

pub fn beat(worker: WorkerId, lease_ms: u32, queues: &[String]) -> Heartbeat<'_> {
    Heartbeat {
        worker,
        lease_ms,
        begin: false,
        host: "test",
        pid: 1,
        slots: 8,
        queues,
        running: 0,
        draining: false,
        version: "test",
        clock_ms: 0,
    }
}

/// A worker with this id, and the first step of a run that it has claimed.
pub async fn claimed(link: &mut dyn Link, worker: u128) -> (WorkerId, StepId, Fence) {
    let worker = WorkerId(uuid::Uuid::from_u128(worker));
    link.heartbeat(&beat(worker, 60_000, &["default".into()])).await.expect("a lease");
    let run = NewRun::new(Namespace::default(), "submission".into(), INPUT.to_vec(), None);
    let id = StepId { run: run.id, step: StepNo(0) };
    link.submit(&[run]).await.expect("submitted");
    let claims = Batch { claims: vec![id], ..Batch::default() };
    let fence = link.write(worker, &claims).await.expect("a claim").claimed[0].fence;
    (worker, id, fence)
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

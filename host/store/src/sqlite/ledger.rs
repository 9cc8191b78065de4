//! One change of the store, whatever it is: the connection inside a transaction, the time, and what every change
//! of a state ends with: events, counters and the run's own state.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use pawl_base::lock;
use pawl_domain::decision::Told;
use pawl_domain::decision::outcome::ends_with_failing_run;
use pawl_domain::event::{Counted, EventKind};
use pawl_domain::id::{Digest, Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, StepSpec};
use pawl_domain::ready::Ready;
use pawl_domain::status::RunStatus;
use pawl_domain::succession::Plan;
use pawl_domain::transition;
use rusqlite::Connection;

use super::plugins::component_of;
use super::row;
use super::rows::{Run, Step};
use crate::pipelines::pipeline_of;
use crate::{Error, Result, ms};

/// Plans kept in memory.
const PLANS: usize = 1_000;

/// Pipeline versions, as they were read; they never change.
pub(super) type Plans = Mutex<HashMap<Digest, Arc<Plan>>>;

/// A change under way.
pub(super) struct Ledger<'c> {
    pub(super) conn: &'c Connection,
    plans: &'c Plans,
    /// One time for all of it.
    pub(super) now_ms: i64,
}

/// Something that has happened to a step.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    pub(super) step: StepId,
    pub(super) kind: EventKind,
    pub(super) fence: i64,
    pub(super) worker: Option<WorkerId>,
    pub(super) note: Option<String>,
}

impl Happened {
    pub(super) fn to(step: &Step, kind: EventKind) -> Self {
        Self { step: step.id, kind, fence: step.fence, worker: None, note: None }
    }

    pub(super) fn by(self, worker: WorkerId) -> Self {
        Self { worker: Some(worker), ..self }
    }

    pub(super) fn noting(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    fn counted(&self) -> Counted {
        self.kind.counted(self.worker.is_some())
    }
}

impl<'c> Ledger<'c> {
    pub(super) fn new(conn: &'c Connection, plans: &'c Plans) -> Self {
        Self { conn, plans, now_ms: now_ms() }
    }

    pub(super) fn run(&self, id: RunId) -> Result<Option<Run>> {
        Run::read(self.conn, id)
    }

    pub(super) fn step(&self, id: StepId) -> Result<Option<Step>> {
        Step::read(self.conn, id)
    }

    /// Whether a run is of this pipeline version, and asks for just this.
    pub(super) fn asks_for(&self, run: RunId, pipeline: Digest, request: Digest) -> Result<bool> {
        let sql = "select 1 from run where id = ?1 and pipeline_digest = ?2 and request_digest = ?3";
        Ok(row(self.conn, sql, (run.0, &pipeline.0[..], &request.0[..]), |_| Ok(()))?.is_some())
    }

    /// The component that a step runs on: the one that it has got, or that its plugin has now.
    pub(super) fn component_for(&self, step: &Step) -> Result<Digest> {
        if let Some(component) = step.component {
            return Ok(component);
        }
        let damaged = || Error::Damaged(format!("the pipeline of step {}", step.id));
        let run = self.run(step.id.run)?.ok_or_else(damaged)?;
        let plan = self.plan(run.pipeline)?;
        self.component_now(&run.namespace, plan.pipeline.step(step.id.step).ok_or_else(damaged)?)
    }

    /// What a spec's plugin and version stand for now in a namespace.
    pub(super) fn component_now(&self, namespace: &Namespace, spec: &StepSpec) -> Result<Digest> {
        let found = component_of(self.conn, namespace, &spec.plugin, spec.version.as_deref())?;
        found.ok_or_else(|| Error::Conflict(format!("plugin `{}` has no version that is active", spec.plugin)))
    }

    /// A pipeline version.
    pub(super) fn plan(&self, digest: Digest) -> Result<Arc<Plan>> {
        if let Some(known) = self.plans().get(&digest) {
            return Ok(Arc::clone(known));
        }
        let plan = Arc::new(Plan::new(digest, read_pipeline(self.conn, digest)?));
        let mut plans = self.plans();
        if plans.len() >= PLANS {
            plans.clear();
        }
        plans.insert(digest, Arc::clone(&plan));
        Ok(plan)
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Plan>>> {
        lock(self.plans)
    }

    /// Takes what has happened to steps, in the order in which it did, and
    /// - counts the steps that run and that have not ended, and marks runs with a failed step as failing;
    /// - moves the runs;
    /// - numbers the events, without gaps, the run's own first and last.
    ///
    /// Returns the runs that have ended by it.
    pub(super) fn record(&self, happened: &[Happened]) -> Result<Vec<RunId>> {
        let mut runs: Vec<RunId> = Vec::new();
        let mut by_run: HashMap<RunId, Vec<&Happened>> = HashMap::new();
        for event in happened {
            by_run.entry(event.step.run).or_insert_with(|| {
                runs.push(event.step.run);
                Vec::new()
            });
            by_run.entry(event.step.run).or_default().push(event);
        }
        let mut ended = Vec::new();
        for id in runs {
            let mut run = self.run(id)?.ok_or_else(|| Error::Damaged(format!("run {id}")))?;
            self.record_run(&mut run, &by_run[&id])?;
            if run.live == 0 {
                ended.push(id);
            }
        }
        Ok(ended)
    }

    fn record_run(&self, run: &mut Run, happened: &[&Happened]) -> Result<()> {
        let counted: Counted = happened.iter().map(|event| event.counted()).sum();
        run.live = run.live.saturating_add_signed(counted.live);
        run.running = run.running.saturating_add_signed(counted.running);
        run.failing |= counted.fails;
        if counted.begins && run.status == RunStatus::Pending {
            self.tell(run, &Told::of_run(EventKind::RunStarted), None)?;
            run.started_at = Some(self.now_ms);
        }
        run.status = transition::run(run.status, run.live, run.failing, run.started_at.is_some());
        for event in happened {
            let step = Some((event.step.step, Fence(event.fence)));
            self.tell(run, &Told { kind: event.kind, step, note: event.note.clone() }, event.worker)?;
        }
        if run.live == 0 {
            run.ended_at = Some(self.now_ms);
            self.tell(run, &Told::of_run(EventKind::of_end(run.status)), None)?;
        }
        run.write(self.conn)
    }

    /// The next event of a run.
    pub(super) fn tell(&self, run: &mut Run, told: &Told, by: Option<WorkerId>) -> Result<()> {
        run.event_count += 1;
        let mut statement = self.conn.prepare_cached(
            "insert into event (run_id, number, at, kind, step_no, fence, worker_id, note)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let (step, fence) = told.step.map(|(no, fence)| (no.0, fence.0)).unzip();
        let (kind, by, note) = (told.kind.as_str(), by.map(|worker| worker.0), &told.note);
        statement.execute((run.id.0, run.event_count, self.now_ms, kind, step, fence, by, note))?;
        Ok(())
    }

    /// Ends the steps of a run that fails, but for those that run.
    pub(super) fn stop_what_does_not_run(&self, run: RunId, note: &str) -> Result<Vec<Happened>> {
        let mut stopped = Vec::new();
        for mut step in Step::all_of(self.conn, run)? {
            if ends_with_failing_run(step.status) {
                step.change(transition::StepChange::Stopped, self.now_ms)?;
                step.write(self.conn)?;
                stopped.push(Happened::to(&step, EventKind::StepCancelled).noting(note));
            }
        }
        Ok(stopped)
    }

    /// Those of the steps that are ready now, to be delivered.
    pub(super) fn ready_of(&self, steps: impl IntoIterator<Item = StepId>) -> Result<Vec<Ready>> {
        let mut ready = Vec::new();
        for id in steps {
            ready.extend(self.step(id)?.and_then(|step| step.ready()));
        }
        Ok(ready)
    }
}

/// The store's clock: this machine's, in ms since 1970.
pub(super) fn now_ms() -> i64 {
    ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A pipeline version.
pub(super) fn read_pipeline(conn: &Connection, digest: Digest) -> Result<Pipeline> {
    let sql = "select spec from pipeline_version where digest = ?1";
    let spec = row(conn, sql, [&digest.0[..]], |row| Ok(row.get::<_, Vec<u8>>("spec")?))?;
    pipeline_of(digest, spec.ok_or_else(|| Error::NotFound(format!("there is no pipeline version {digest}")))?)
}

/// What a step needs.
pub(super) fn needs_of(plan: &Plan, step: StepNo) -> &[StepNo] {
    plan.pipeline.step(step).map_or(&[], |spec| &spec.needs)
}

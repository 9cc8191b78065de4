//! The kill in the middle: what the worker held, and what of it was saved.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use pawl::domain::id::RunId;
use pawl_tests::{Cluster, wait};

use crate::soon;
use crate::story::Story;

/// A worker that holds steps in the middle, and its death.
pub(crate) struct Interruption {
    /// The worker's name, once it is killed.
    pub(crate) victim: &'static str,
    /// When it was killed, in ms since 1970.
    pub(crate) killed_ms: i64,
    run: RunId,
    /// The steps that it holds, with their fences.
    held: BTreeMap<String, i64>,
    /// Rows in the checkpoints of those steps, as they lie in Postgres.
    saved_rows: BTreeMap<String, u64>,
    progress: f32,
    worker: Option<pawl::domain::id::WorkerId>,
}

impl Interruption {
    /// Waits until a running step has come as far as `middle` and has a checkpoint.
    pub(crate) fn wait_for_the_middle(cluster: &Cluster, run: RunId, middle: f32) -> anyhow::Result<Self> {
        soon("a step to be in the middle", || {
            let steps = cluster.client.run(run)?.steps;
            let running = || steps.iter().filter(|step| step.status.as_str() == "running");
            let far = running().find(|step| step.progress >= Some(middle) && step.checkpoint_position.is_some());
            let Some(far) = far else {
                let most = running().filter_map(|step| step.progress).fold(0.0, f32::max);
                return Ok(wait::Look::NotYet(format!("{:.0} %", most * 100.0)));
            };
            let same_worker = running().filter(|step| step.worker == far.worker && step.checkpoint_position.is_some());
            Ok(wait::Look::Done(Self {
                victim: "",
                killed_ms: 0,
                run,
                held: same_worker.map(|step| (step.name.clone(), step.fence)).collect(),
                saved_rows: BTreeMap::new(),
                progress: far.progress.unwrap_or_default(),
                worker: far.worker,
            }))
        })
    }

    /// What is about to die.
    pub(crate) fn describe(&self, story: &Story) -> String {
        let name = story.name(self.worker);
        let steps: Vec<&str> = self.held.keys().map(String::as_str).collect();
        format!(
            "kill -9    worker {name} (pid {}), {:.0} % through {}",
            story.pid(name),
            self.progress * 100.0,
            steps.join(" and ")
        )
    }

    /// Kills the worker.
    pub(crate) fn kill(&mut self, cluster: &mut Cluster, story: &Story) -> anyhow::Result<()> {
        self.victim = story.name(self.worker);
        cluster.the(self.victim)?.kill9();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        self.killed_ms = i64::try_from(now.as_millis())?;
        Ok(())
    }

    /// Reads what the dead worker's checkpoints hold, until its steps are taken over: what it had sent may
    /// be committed after its death.
    pub(crate) fn watch_takeover(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        println!("           its lease runs out in 5 s; nothing else has to happen ...");
        let (run, held) = (self.run, self.held.clone());
        for (step, fence) in held {
            let Some(number) = cluster.database.step_number(run, &step)? else { continue };
            let sql = format!(
                "select case when step.fence = {fence} then convert_from(checkpoint.state, 'UTF8')::json->>'rows_done' end \
                 from step join checkpoint using (run_id, step_no) where run_id = '{run}' and step_no = {number}"
            );
            soon("the takeover", || {
                let rows: Option<String> = cluster.database.value(&sql)?;
                let Some(rows) = rows else { return Ok(wait::Look::Done(())) };
                self.saved_rows.insert(step.clone(), rows.parse()?);
                Ok(wait::Look::NotYet(format!("{rows} rows in the checkpoint")))
            })?;
        }
        Ok(())
    }

    /// The steps that were interrupted, with the rows that their checkpoints held.
    pub(crate) fn saved_rows(&self) -> &BTreeMap<String, u64> {
        &self.saved_rows
    }
}

//! Rows that stand otherwise in the two stores: events, of which Postgres packs those of one commit, and the steps of pipelines,
//! which the embedded store reads from their canonical form.

use pawl_domain::id::{Digest, StepNo};
use pawl_domain::pipeline::Pipeline;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::copy::{INT4, INT8, UUID, Writer};
use crate::pipelines::pipeline_of;
use crate::{Error, Result};

/// Events in one row, at most.
const PACKED: usize = 500;

/// Events of one run and one time, which were told one after the other.
#[derive(Debug, Default)]
struct Pack {
    run: Uuid,
    first: u32,
    at_ms: i64,
    kinds: Vec<Option<String>>,
    steps: Vec<Option<[u8; 4]>>,
    fences: Vec<Option<[u8; 8]>>,
    workers: Vec<Option<[u8; 16]>>,
    notes: Vec<Option<String>>,
}

/// Columns: `run_id, first, at, kinds, steps, fences, workers, notes`.
pub(super) fn events(conn: &Connection, writer: &mut Writer<'_>) -> Result<()> {
    let mut statement = conn.prepare(
        "select run_id, number, at, kind, step_no, fence, worker_id, note from event order by run_id, number",
    )?;
    let mut rows = statement.query([])?;
    let mut pack = Pack::default();
    while let Some(row) = rows.next()? {
        let (run, number, at_ms): (Uuid, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let follows =
            pack.run == run && pack.at_ms == at_ms && pack.first as usize + pack.kinds.len() == number as usize;
        if !follows || pack.kinds.len() >= PACKED {
            pack.write(writer)?;
            pack = Pack { run, first: number, at_ms, ..Pack::default() };
        }
        pack.add(row)?;
    }
    pack.write(writer)
}

impl Pack {
    fn add(&mut self, row: &Row<'_>) -> Result<()> {
        self.kinds.push(row.get(3)?);
        self.steps.push(row.get::<_, Option<i32>>(4)?.map(i32::to_be_bytes));
        self.fences.push(row.get::<_, Option<i64>>(5)?.map(i64::to_be_bytes));
        self.workers.push(row.get::<_, Option<Uuid>>(6)?.map(Uuid::into_bytes));
        self.notes.push(row.get(7)?);
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        writer.row(8)?;
        writer.field(self.run.as_bytes());
        writer.int(self.first.cast_signed());
        writer.time_us(self.at_ms.saturating_mul(1_000));
        writer.texts(&self.kinds);
        writer.array(INT4, &self.steps);
        writer.array(INT8, &self.fences);
        writer.array(UUID, &self.workers);
        writer.texts(&self.notes);
        Ok(())
    }
}

/// Columns: `digest, step_no, plugin, version, needs, successors, queue, priority`.
pub(super) fn pipeline_steps(conn: &Connection, writer: &mut Writer<'_>) -> Result<()> {
    let mut statement = conn.prepare("select digest, spec from pipeline_version")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let damaged = |_| Error::Damaged("a pipeline version's digest".to_owned());
        let digest = Digest::try_from(&row.get::<_, Vec<u8>>(0)?[..]).map_err(damaged)?;
        steps_of(digest, &pipeline_of(digest, row.get(1)?)?, writer)?;
    }
    Ok(())
}

fn steps_of(digest: Digest, pipeline: &Pipeline, writer: &mut Writer<'_>) -> Result<()> {
    for ((number, step), successors) in pipeline.numbered().zip(pipeline.successors()) {
        writer.row(8)?;
        writer.field(&digest.0);
        writer.int(number.0);
        writer.text(step.plugin.as_bytes());
        match &step.version {
            Some(version) => writer.text(version.as_bytes()),
            None => writer.null(),
        }
        writer.array(INT4, &numbers(&step.needs));
        writer.array(INT4, &numbers(&successors));
        writer.text(step.queue.as_bytes());
        writer.text(step.priority.as_str().as_bytes());
    }
    Ok(())
}

fn numbers(steps: &[StepNo]) -> Vec<Option<[u8; 4]>> {
    steps.iter().map(|step| Some(step.0.to_be_bytes())).collect()
}

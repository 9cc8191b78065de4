//! Runs, as people read them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::ready::unless_shelved;
use pawl_domain::status::RunStatus;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::{Sqlite, digest_of, maybe_digest_of, parse, row, rows};
use crate::runs::{RunFilter, RunRow, RunTimes, Runs, StepMark, StepRow, no_output, no_run, no_such_output};
use crate::{Result, verified};

/// What is read of a run; a macro, so that statements stay constants.
macro_rules! run_query {
    () => {
        "select r.id, r.pipeline, r.pipeline_digest, r.status, r.steps, r.live, r.failing, r.kept, r.event_count, r.paused_at, r.pause_reason,
                r.idempotency_key, r.created_at, r.started_at, r.ended_at,
                case when r.status = 'running' and r.running = 0 and not r.failing
                     then exists (select 1 from step p where p.run_id = r.id and p.status = 'parked') else 0 end as parked
         from run r "
    };
}

pub(super) use run_query;

/// The same of a run's steps.
macro_rules! steps_where {
    ($which:literal) => {
        concat!(
            "select step_no, status, component, attempts, failures, crashes, fence, worker_id, journal_length,
                    checkpoint_position, error, progress, progress_message, ready_at, due_at,
                    iif(status = 'waiting', awaits, null) as awaits, claimed_at, started_at, ended_at
             from step where run_id = ?1 and ",
            $which
        )
    };
}

/// A page of runs, newest first, each in the order of an index that begins with what it asks for.
macro_rules! page_of {
    ($which:literal) => {
        concat!(
            run_query!(),
            "where r.namespace = ?1 and (r.created_at, r.id) < (?3, ?4) and r.created_at >= ?5",
            $which,
            " order by r.created_at desc, r.id desc limit ?2"
        )
    };
}

const NEWEST: &str = page_of!("");
const OF_STATUS: &str = page_of!(" and r.status = ?6");
const OF_PIPELINE: &str = page_of!(" and r.status = ?6 and r.pipeline = ?7");

#[async_trait]
impl Runs for Sqlite {
    async fn runs(&self, filter: &RunFilter<'_>) -> Result<Vec<RunRow>> {
        let (namespace, pipeline) = (filter.namespace.to_string(), filter.pipeline.map(str::to_owned));
        let (limit, statuses) = (filter.limit, filter.statuses().to_vec());
        let (before, is_filtered) = (filter.before, filter.status.is_some() || pipeline.is_some());
        let (since_ms, until_ms) = filter.times();
        self.read(move |conn| {
            let Some(place) = page_bound(conn, before)? else { return Ok(Vec::new()) };
            // The older one of both.
            let (at, id) = until_ms.map_or(place, |until_ms| place.min((until_ms, Uuid::nil())));
            let since = since_ms.unwrap_or(i64::MIN);
            if !is_filtered {
                return rows(conn, NEWEST, (namespace, limit, at, id, since), run_row);
            }
            // A page of each state, and the newest of them.
            let mut page = Vec::new();
            for status in statuses.iter().map(|status| status.as_str()) {
                page.extend(match &pipeline {
                    None => rows(conn, OF_STATUS, (&namespace, limit, at, id, since, status), run_row)?,
                    Some(name) => rows(conn, OF_PIPELINE, (&namespace, limit, at, id, since, status, name), run_row)?,
                });
            }
            page.sort_by_key(|run| std::cmp::Reverse((run.created_at_ms, run.id.0)));
            page.truncate(limit as usize);
            Ok(page)
        })
        .await
    }

    async fn runs_between(&self, namespace: &Namespace, first: RunId, last: RunId, limit: u32) -> Result<Vec<RunRow>> {
        let namespace = namespace.to_string();
        self.read(move |conn| {
            let sql = concat!(run_query!(), "where r.id between ?1 and ?2 and r.namespace = ?3 order by r.id limit ?4");
            rows(conn, sql, (first.0, last.0, namespace, limit), run_row)
        })
        .await
    }

    async fn run_alone(&self, run: RunId) -> Result<RunRow> {
        let found =
            self.read(move |conn| row(conn, concat!(run_query!(), "where r.id = ?1"), [run.0], run_row)).await?;
        found.ok_or_else(|| no_run(run))
    }

    async fn runs_named(&self, runs: &[RunId]) -> Result<Vec<RunRow>> {
        let runs = runs.to_vec();
        self.read(move |conn| {
            let mut found = Vec::with_capacity(runs.len());
            for run in runs {
                found.extend(row(conn, concat!(run_query!(), "where r.id = ?1"), [run.0], run_row)?);
            }
            Ok(found)
        })
        .await
    }

    async fn runs_with_error(&self, runs: &[RunId], part: &[u8]) -> Result<Vec<RunId>> {
        let (runs, part) = (runs.to_vec(), part.to_vec());
        let sql = "select 1 from step where run_id = ?1 and error is not null and instr(error, ?2) > 0 limit 1";
        self.read(move |conn| {
            let mut found = Vec::new();
            for run in runs {
                found.extend(row(conn, sql, (run.0, &part), |_| Ok(run))?);
            }
            Ok(found)
        })
        .await
    }

    async fn run_times(&self, runs: &[RunId]) -> Result<Vec<RunTimes>> {
        let runs = runs.to_vec();
        self.read(move |conn| {
            let mut all = Vec::with_capacity(runs.len());
            for id in runs {
                let times = row(conn, "select status, created_at, ended_at from run where id = ?1", [id.0], |row| {
                    let (created_at_ms, ended_at_ms) = (row.get("created_at")?, row.get("ended_at")?);
                    Ok(RunTimes { id, status: parse(row, "status")?, created_at_ms, ended_at_ms })
                });
                all.extend(times?);
            }
            Ok(all)
        })
        .await
    }

    async fn run(&self, run: RunId, only: Option<StepNo>) -> Result<(RunRow, Vec<StepRow>)> {
        let found = self.read(move |conn| {
            let Some(found) = row(conn, concat!(run_query!(), "where r.id = ?1"), [run.0], run_row)? else {
                return Ok(None);
            };
            let sql = steps_where!("(?2 is null or step_no = ?2) order by step_no");
            Ok(Some((found, rows(conn, sql, (run.0, only.map(|step| step.0)), step_row)?)))
        });
        found.await?.filter(|(_, steps)| !steps.is_empty()).ok_or_else(|| no_run(run))
    }

    async fn failed_steps(&self, run: RunId, limit: u32) -> Result<Vec<StepRow>> {
        let sql = steps_where!("status = 'failed' order by step_no limit ?2");
        self.read(move |conn| rows(conn, sql, (run.0, limit), step_row)).await
    }

    async fn step_marks(&self, runs: &[RunId]) -> Result<Vec<StepMark>> {
        let runs = runs.to_vec();
        self.read(move |conn| {
            let sql =
                "select step_no, status, component, started_at, ended_at from step where run_id = ?1 order by step_no";
            let mut marks = Vec::new();
            for run in runs {
                marks.extend(rows(conn, sql, [run.0], |row| {
                    Ok(StepMark {
                        id: StepId { run, step: StepNo(row.get("step_no")?) },
                        status: parse(row, "status")?,
                        component: maybe_digest_of(row, "component")?,
                        started_at_ms: row.get("started_at")?,
                        ended_at_ms: row.get("ended_at")?,
                    })
                })?);
            }
            Ok(marks)
        })
        .await
    }

    async fn last_outputs(&self, run: RunId, pipeline: &Pipeline) -> Result<BTreeMap<StepNo, Vec<u8>>> {
        let successors = pipeline.successors();
        let last: Vec<StepNo> = pipeline
            .numbered()
            .map(|(number, _)| number)
            .zip(&successors)
            .filter(|(_, successors)| successors.is_empty())
            .map(|(number, _)| number)
            .collect();
        let most = last.len();
        let found = self.read(move |conn| {
            let sql = "select status from run where id = ?1";
            let Some(status) = row(conn, sql, [run.0], |row| parse::<RunStatus>(row, "status"))? else {
                return Ok(None);
            };
            let mut outputs = BTreeMap::new();
            for step in last {
                outputs.extend(output(conn, run, step)?.flatten().map(|output| (step, output)));
            }
            Ok(Some((status, outputs)))
        });
        let (status, outputs) = found.await?.ok_or_else(|| no_run(run))?;
        // Each of them has one.
        let are_there = status == RunStatus::Succeeded && outputs.len() == most;
        if are_there { Ok(outputs) } else { Err(no_output(run, status)) }
    }

    async fn step_output(&self, run: RunId, step: StepNo) -> Result<Option<Vec<u8>>> {
        self.read(move |conn| output(conn, run, step)).await?.ok_or_else(|| no_run(run))
    }

    async fn outputs(&self, run: RunId, steps: &[StepNo], most_bytes: usize) -> Result<Vec<Vec<u8>>> {
        let steps = steps.to_vec();
        self.read(move |conn| {
            let (mut outputs, mut bytes) = (Vec::new(), 0);
            for step in steps {
                let found = output(conn, run, step)?.flatten().ok_or_else(|| no_such_output(run, step))?;
                bytes += found.len();
                if bytes > most_bytes && !outputs.is_empty() {
                    break;
                }
                outputs.push(found);
            }
            Ok(outputs)
        })
        .await
    }

    async fn run_input(&self, run: RunId) -> Result<Vec<u8>> {
        let sql = "select input from run where id = ?1";
        let input = self.read(move |conn| row(conn, sql, [run.0], |row| Ok(row.get::<_, Vec<u8>>("input")?))).await?;
        input.ok_or_else(|| no_run(run))
    }

    async fn pipeline_of_run(&self, run: RunId) -> Result<Digest> {
        let found = self.read(move |conn| {
            row(conn, "select pipeline_digest from run where id = ?1", [run.0], |row| digest_of(row, "pipeline_digest"))
        });
        found.await?.ok_or_else(|| no_run(run))
    }
}

/// The output of a step that there is, if it has one.
fn output(conn: &rusqlite::Connection, run: RunId, step: StepNo) -> Result<Option<Option<Vec<u8>>>> {
    let sql = "select output, output_digest from step where run_id = ?1 and step_no = ?2";
    row(conn, sql, (run.0, step.0), |row| {
        let Some(output) = row.get::<_, Option<Vec<u8>>>("output")? else { return Ok(None) };
        verified(output, digest_of(row, "output_digest")?, || format!("the output of step {run}/{step}")).map(Some)
    })
}

/// Before what a page of runs begins, newest first: before this run, or before none. `None`: there is no such run.
pub(super) fn page_bound(conn: &Connection, before: Option<RunId>) -> Result<Option<(i64, Uuid)>> {
    let Some(run) = before else { return Ok(Some((i64::MAX, Uuid::max()))) };
    let sql = "select created_at from run where id = ?1";
    row(conn, sql, [run.0], |row| Ok((row.get("created_at")?, run.0)))
}

pub(super) fn run_row(row: &Row<'_>) -> Result<RunRow> {
    Ok(RunRow {
        id: RunId(row.get("id")?),
        pipeline: row.get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        status: parse(row, "status")?,
        step_count: row.get("steps")?,
        live_steps: row.get("live")?,
        failing: row.get("failing")?,
        parked: row.get("parked")?,
        kept: row.get("kept")?,
        paused_at_ms: row.get("paused_at")?,
        pause_reason: row.get("pause_reason")?,
        event_count: row.get("event_count")?,
        idempotency_key: row.get("idempotency_key")?,
        created_at_ms: row.get("created_at")?,
        started_at_ms: row.get("started_at")?,
        ended_at_ms: row.get("ended_at")?,
    })
}

fn step_row(row: &Row<'_>) -> Result<StepRow> {
    Ok(StepRow {
        no: StepNo(row.get("step_no")?),
        status: parse(row, "status")?,
        component: maybe_digest_of(row, "component")?,
        attempts: row.get("attempts")?,
        failures: row.get("failures")?,
        crashes: row.get("crashes")?,
        fence: row.get("fence")?,
        worker: row.get::<_, Option<_>>("worker_id")?.map(WorkerId),
        journal_length: row.get("journal_length")?,
        checkpoint_position: row.get("checkpoint_position")?,
        progress: row.get("progress")?,
        progress_message: row.get("progress_message")?,
        error: row.get("error")?,
        ready_at_ms: unless_shelved(row.get("ready_at")?),
        due_at_ms: row.get("due_at")?,
        awaits: row.get("awaits")?,
        claimed_at_ms: row.get("claimed_at")?,
        started_at_ms: row.get("started_at")?,
        ended_at_ms: row.get("ended_at")?,
    })
}

//! Submissions, as `pawl_submit_v2` does them for Postgres (`migrations/0011_listed.sql`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use pawl_domain::decision::Told;
use pawl_domain::event::EventKind;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::StepSpec;
use pawl_domain::ready::{Ready, Start};
use pawl_domain::status::RunStatus;
use pawl_domain::succession::Plan;

use super::ledger::Ledger;
use super::plugins::current_version;
use super::rows::{Run, Step};
use super::{NAME, digest_of, row};
use crate::retention::BEING_DELETED;
use crate::submit::{NewRun, Submission};
use crate::{Error, Result};

/// Submits `runs`.
pub(super) fn submit(ledger: &Ledger<'_>, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>)> {
    // What the steps of a pipeline run on, resolved once for all runs of it.
    let mut resolved: HashMap<(&Namespace, Digest), Vec<Option<Digest>>> = HashMap::new();
    let mut answers = Vec::with_capacity(runs.len());
    let mut ready = Vec::new();
    for run in runs {
        let answer = match request_digest_of(ledger, run.id)? {
            Some(request) if request == run.request_digest() => Submission::Same,
            Some(_) => Submission::KeyReused,
            None => match current_version(ledger.conn, &run.namespace, &run.pipeline)? {
                None => Submission::UnknownPipeline,
                Some(digest) => {
                    let plan = ledger.plan(digest)?;
                    let components = match resolved.entry((&run.namespace, digest)) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => new.insert(components_of(ledger, &run.namespace, &plan)?),
                    };
                    create(ledger, run, &plan, components)?;
                    Submission::Created
                }
            },
        };
        answers.push(answer);
        if matches!(answer, Submission::Created | Submission::Same)
            && let Some(Run { status: RunStatus::Pending, id, pipeline, .. }) = ledger.run(run.id)?
        {
            let steps = Step::all_of(ledger.conn, id)?;
            let start = |step: &Step| Start::new(pipeline, step.component, run.told_input()?);
            ready.extend(steps.iter().filter_map(|step| Some(Ready { start: start(step), ..step.ready()? })));
        }
    }
    Ok((answers, ready))
}

fn request_digest_of(ledger: &Ledger<'_>, run: RunId) -> Result<Option<Digest>> {
    let sql = "select request_digest from run where id = ?1";
    row(ledger.conn, sql, [run.0], |row| digest_of(row, "request_digest"))
}

/// Each step stays on the component that its plugin's version points to now, unless its start decides.
fn components_of(ledger: &Ledger<'_>, namespace: &Namespace, plan: &Plan) -> Result<Vec<Option<Digest>>> {
    let component = |spec: &StepSpec| {
        let component = ledger.component_now(namespace, spec)?;
        Ok(Some(component).filter(|_| !plan.pipeline.resolves_at_start(spec)))
    };
    plan.pipeline.steps.iter().map(component).collect()
}

/// A namespace that seals takes nothing in the clear, and nothing under a key that is gone.
fn must_be_as_sealed(ledger: &Ledger<'_>, run: &NewRun) -> Result<()> {
    let fits = match &run.sealed {
        Some(key) => {
            let sql = "select 1 from namespace_key where namespace = ?1 and version = ?2 and erased_at is null";
            row(ledger.conn, sql, (run.namespace.as_str(), key.version), |_| Ok(()))?.is_some()
        }
        None => {
            let sql = "select retired_at is not null as fits from namespace_key where namespace = ?1 order by version desc limit 1";
            row(ledger.conn, sql, [run.namespace.as_str()], |row| Ok(row.get("fits")?))?.unwrap_or(true)
        }
    };
    let otherwise = || format!("the keys of the namespace {} have changed", run.namespace);
    if fits { Ok(()) } else { Err(Error::Refused(NAME, otherwise().into())) }
}

fn create(ledger: &Ledger<'_>, run: &NewRun, plan: &Plan, components: &[Option<Digest>]) -> Result<()> {
    if row(ledger.conn, "select 1 from remains where run_id = ?1", [run.id.0], |_| Ok(()))?.is_some() {
        return Err(Error::Held(NAME, BEING_DELETED.into()));
    }
    must_be_as_sealed(ledger, run)?;
    let mut insert = ledger.conn.prepare_cached(
        "insert into run (id, namespace, pipeline, pipeline_digest, status, input, idempotency_key, request_digest, steps, live,
                          event_count, created_at, trace)
         values (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?8, ?8, 0, ?9, ?10)",
    )?;
    insert.execute((
        run.id.0,
        run.namespace.as_str(),
        &plan.pipeline.name,
        &plan.digest.0[..],
        &run.input,
        &run.idempotency_key,
        &run.request_digest().0[..],
        plan.pipeline.steps.len() as i64,
        ledger.now_ms,
        run.trace.as_ref().map(ToString::to_string),
    ))?;
    if let Some(key) = &run.sealed {
        let mut insert =
            ledger.conn.prepare_cached("insert into run_key (run_id, version, wrapped) values (?1, ?2, ?3)")?;
        insert.execute((run.id.0, key.version, &key.wrapped))?;
    }
    let mut insert = ledger.conn.prepare_cached(
        "insert into step (run_id, step_no, queue, priority, status, unmet, ready_at, component)
         values (?1, ?2, ?3, ?4, case ?5 when 0 then 'ready' else 'blocked' end, ?5, case ?5 when 0 then ?6 end, ?7)",
    )?;
    for ((number, spec), component) in plan.pipeline.numbered().zip(components) {
        insert.execute((
            run.id.0,
            number.0,
            &spec.queue,
            spec.priority.as_str(),
            spec.needs.len() as i64,
            ledger.now_ms,
            component.as_ref().map(|component| &component.0[..]),
        ))?;
    }
    let mut run = ledger.run(run.id)?.ok_or_else(|| Error::Damaged(format!("run {}", run.id)))?;
    ledger.tell(&mut run, &Told::of_run(EventKind::RunSubmitted), None)?;
    run.write(ledger.conn)
}

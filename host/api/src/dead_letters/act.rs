//! What a person does about dead letters, about one step or about many.
//!
//! What is done about many is done in pieces: a request goes through so many letters, oldest first, does it to those that
//! are meant, and says where the next one goes on. Whoever stops in between, or is stopped, has done what was answered, and
//! begins anew without harm: what was done is no dead letter any more.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use pawl_domain::decision::check_message;
use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::status::StepStatus;
use pawl_store::control::{Resume, ResumeOn};
use pawl_store::dead_letters::{DeadOrder, DeadPlace, DeadState};
use pawl_store::seal::Place;

use super::{Filter, LOOKED_AT, Named, named, place};
use crate::component::{latest, to_resume_on};
use crate::problem::Result;
use crate::recorded::{Noted, noted};
use crate::request::{Path, read_json, run_id};
use crate::state::{AppState, step_name, step_named};
use crate::types::{ActOnDeadLetters, Changed, DeadLetterRefused, DeadLetterVerb, DeadLettersDone, Problem, SkipStep};
use crate::whose::Scoped;

/// Runs about which one request does something.
const RUNS: usize = 100;

/// What is around an output, and the members of a filter.
const ENVELOPE_BYTES: usize = 64 << 10;

pub(crate) async fn act(Scoped(state): Scoped, headers: HeaderMap, body: Body) -> Result<Noted<DeadLettersDone>> {
    let limit = state.limits.output_bytes + ENVELOPE_BYTES;
    let asked: ActOnDeadLetters = read_json(body, &headers, "what is done about dead letters", limit).await?;
    let deed = Deed::of(&state, &asked)?;
    let mut piece = match asked.run {
        Some(run) => of_run(&state, run, &deed).await?,
        None => next_piece(&state, &asked, &deed).await?,
    };
    let mut done = DeadLettersDone {
        met: count(piece.letters.len()),
        runs: count(piece.letters.iter().map(|letter| letter.row.place.step.run).collect::<BTreeSet<_>>().len()),
        next: piece.next.map(|place| place.to_string()),
        until: piece.until.map(|place| place.to_string()),
        ..DeadLettersDone::default()
    };
    if asked.dry_run {
        return Ok(noted(false, done));
    }
    if let Do::Purge = deed.what {
        let steps: Vec<StepId> = piece.letters.iter().map(|letter| letter.row.place.step).collect();
        done.done = state.store.forget_dead_letters(&steps).await?;
        return Ok(noted(done.done > 0, done));
    }
    // A run fails once, however many of its steps are parked.
    let mut failed = BTreeSet::new();
    for letter in piece.letters.drain(..) {
        let id = letter.row.place.step;
        if matches!(deed.what, Do::Fail(_)) && !failed.insert(id.run) {
            done.done += 1;
            continue;
        }
        match deed.about(&state, &letter).await {
            Ok(()) => done.done += 1,
            // The run's own state forbids it, or somebody was there before: that is no reason to leave the others.
            Err(problem) if problem.status < 500 => {
                done.refused.push(DeadLetterRefused { run: id.run, step: letter.step, why: problem.detail });
            }
            Err(problem) => return Err(problem),
        }
    }
    // What was refused was asked for, and is worth a line as any other refusal is.
    Ok(noted(done.done > 0 || !done.refused.is_empty(), done))
}

pub(crate) async fn skip(
    Scoped(state): Scoped,
    Path((run, step)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>> {
    let limit = state.limits.output_bytes;
    let asked: SkipStep = read_json(body, &headers, "an output", limit + ENVELOPE_BYTES).await?;
    let output = output_of(asked.output.get(), limit)?;
    let id = run_id(&run)?;
    let pipeline = state.pipeline_of(id).await?;
    let number = step_named(&pipeline, &step)?;
    Ok(Json(skip_step(&state, StepId { run: id, step: number }, output).await?))
}

/// Gives a step its output, if its component could have put it out.
async fn skip_step(state: &AppState, id: StepId, output: Vec<u8>) -> Result<Changed> {
    let (row, steps) = state.store.run(id.run, Some(id.step)).await?;
    let pipeline = state.pipeline(row.pipeline_digest).await?;
    if let Some(component) = steps.first().and_then(|step| step.component) {
        let (schemas, text) = (state.schemas_of(component).await?, output.clone());
        let checked = state.check(move || schemas.output.as_ref().map_or(Ok(()), |schema| schema.check(&text))).await?;
        checked.map_err(|misfit| {
            let name = step_name(&pipeline, id.step);
            Problem::invalid_input(format!("the output does not fit what step `{name}` puts out: {misfit}"))
        })?;
    }
    let output = state.sealed(id.run, Place::Output(id.step), output).await?;
    let ready = state.store.skip(id.run, id.step, output).await?;
    state.may_end(id.run, &pipeline, &ready).await
}

fn output_of(json: &str, limit_bytes: usize) -> Result<Vec<u8>> {
    if json.len() > limit_bytes {
        return Err(Problem::too_large("a step's output", limit_bytes));
    }
    Ok(json.as_bytes().to_vec())
}

/// What is done, and about which letters.
struct Deed {
    what: Do,
    filter: Filter,
}

enum Do {
    Retry { latest: bool },
    Resume { latest: bool },
    Skip(Vec<u8>),
    Fail(String),
    Purge,
}

impl Deed {
    fn of(state: &AppState, asked: &ActOnDeadLetters) -> Result<Self> {
        let only = |is_given: bool, member: &str, verbs: &str| match is_given {
            true => Err(Problem::bad_request(format!("`{member}` goes with {verbs} alone: leave it out"))),
            false => Ok(()),
        };
        let verb = asked.verb;
        if !matches!(verb, DeadLetterVerb::Retry | DeadLetterVerb::Resume) {
            only(asked.latest, "latest", "`retry` and `resume`")?;
        }
        if verb != DeadLetterVerb::Skip {
            only(asked.output.is_some(), "output", "`skip`")?;
        }
        if verb != DeadLetterVerb::Fail {
            only(asked.message.is_some(), "message", "`fail`")?;
        }
        let (what, needed) = match verb {
            DeadLetterVerb::Retry => (Do::Retry { latest: asked.latest }, None),
            DeadLetterVerb::Resume => (Do::Resume { latest: asked.latest }, Some(DeadState::Parked)),
            DeadLetterVerb::Skip => {
                let output = asked.output.as_ref();
                let output = output.ok_or_else(|| Problem::bad_request("`skip` wants an `output`: any JSON"))?;
                (Do::Skip(output_of(output.get(), state.limits.output_bytes)?), None)
            }
            DeadLetterVerb::Fail => {
                let message = asked.message.clone();
                let message = message.ok_or_else(|| Problem::bad_request("`fail` wants a `message`: why"))?;
                check_message(&message).map_err(|rule| Problem::bad_request(format!("the message {rule}")))?;
                (Do::Fail(message), Some(DeadState::Parked))
            }
            // What is parked keeps its run open, and somebody must look after that.
            DeadLetterVerb::Purge => (Do::Purge, Some(DeadState::Failed)),
        };
        let given = asked.state.map(DeadState::from);
        if let (Some(needed), Some(given)) = (needed, given)
            && needed != given
        {
            let (needed, given) = (needed.as_str(), given.as_str());
            return Err(Problem::bad_request(format!(
                "this verb is about steps that are {needed}, and `state` is {given}: leave it out"
            )));
        }
        let filter = Filter {
            step: asked.step.clone(),
            pipeline: asked.pipeline.clone(),
            group: asked.group.clone(),
            cause: asked.cause.clone(),
            state: given.or(needed),
            since_ms: asked.since_ms,
        };
        Ok(Self { what, filter })
    }

    /// Does it about a letter.
    async fn about(&self, state: &AppState, letter: &Named) -> Result<()> {
        let id = letter.row.place.step;
        let pipeline = state.pipeline(letter.row.pipeline_digest).await?;
        if matches!(self.what, Do::Retry { .. } | Do::Resume { .. }) {
            state.must_be_readable(id.run).await?;
        }
        let ready = match &self.what {
            Do::Retry { latest: wanted } => {
                let on = if *wanted { latest(state, &pipeline).await? } else { BTreeMap::new() };
                state.store.retry(id.run, Some(id.step), on).await?
            }
            Do::Resume { latest } => {
                let on = match latest {
                    true => to_resume_on(state, &pipeline, &letter.step, "latest").await?,
                    false => ResumeOn::Pinned,
                };
                state.store.resume(id.run, id.step, Resume { on, forget: None }).await?
            }
            Do::Skip(output) => return skip_step(state, id, output.clone()).await.map(drop),
            Do::Fail(message) => {
                state.store.fail(id.run, message.clone()).await?;
                Vec::new()
            }
            Do::Purge => Vec::new(),
        };
        state.may_end(id.run, &pipeline, &ready).await.map(drop)
    }
}

/// What one request is about, and where the next one goes on.
struct Piece {
    letters: Vec<Named>,
    next: Option<DeadPlace>,
    until: Option<DeadPlace>,
}

/// The letters of a run that are meant.
async fn of_run(state: &AppState, run: RunId, deed: &Deed) -> Result<Piece> {
    state.must_be_own(run).await?;
    let (row, steps) = state.store.run(run, None).await?;
    if let Some(step) = &deed.filter.step {
        let pipeline = state.pipeline(row.pipeline_digest).await?;
        step_named(&pipeline, step)?;
    }
    let has_died = |status| matches!(status, StepStatus::Failed | StepStatus::Parked);
    let dead: Vec<StepId> =
        steps.iter().filter(|step| has_died(step.status)).map(|step| StepId { run, step: step.no }).collect();
    let mut letters = Vec::new();
    for row in state.store.dead_letters_of(&dead).await? {
        letters.extend(named(state, row).await?.filter(|letter| deed.filter.means(letter)));
    }
    Ok(Piece { letters, next: None, until: None })
}

/// The next letters that are meant, oldest first.
async fn next_piece(state: &AppState, asked: &ActOnDeadLetters, deed: &Deed) -> Result<Piece> {
    let after = asked.after.as_deref().map(place).transpose()?;
    let until = match asked.until.as_deref().map(place).transpose()? {
        Some(until) => until,
        None => match state.store.dead_letters(&state.namespace, DeadOrder::NewestFirst(None), 1).await?.first() {
            Some(newest) => newest.place,
            None => return Ok(Piece { letters: Vec::new(), next: None, until: None }),
        },
    };
    // Times are in the order of letters: those before the first that is meant need not be gone through.
    let since = deed.filter.since_ms.map(|ms| DeadPlace {
        at_us: ms.saturating_mul(1_000).saturating_sub(1).max(0),
        step: StepId { run: RunId(uuid::Uuid::max()), step: StepNo(i32::MAX) },
    });
    let rows = state.store.dead_letters(&state.namespace, DeadOrder::OldestFirst(after.max(since)), LOOKED_AT).await?;
    let (mut runs, mut letters, mut last) = (BTreeSet::new(), Vec::new(), None);
    let mut more = rows.len() >= LOOKED_AT as usize;
    for row in rows {
        if row.place > until {
            more = false;
            break;
        }
        let (place, run) = (row.place, row.place.step.run);
        if let Some(letter) = named(state, row).await?.filter(|letter| deed.filter.means(letter)) {
            if !asked.dry_run && runs.len() == RUNS && !runs.contains(&run) {
                more = true;
                break;
            }
            runs.insert(run);
            letters.push(letter);
        }
        last = Some(place);
    }
    Ok(Piece { letters, next: last.filter(|_| more), until: Some(until) })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

//! Dead letters over HTTP: found by what they have in common, and what a person does about many of them.
//!
//! What is done about many is done in pieces: a request goes through so many letters, oldest first, does it to those that
//! are meant, and says where the next one goes on. Whoever stops in between, or is stopped, has done what was answered, and
//! begins anew without harm: what was done is no dead letter any more.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use pawl_domain::cause::group_of;
use pawl_domain::decision::fail::check_message;
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::status::StepStatus;
use pawl_metrics::figures;
use pawl_store as store;
use pawl_store::control::{Resume, ResumeOn};
use pawl_store::dead_letters::{COUNTED, DeadGroup, DeadGroupKey, DeadOrder, DeadPlace, DeadState};
use schemars::JsonSchema;
use serde::Deserialize;

use super::component::{latest, to_resume_on};
use super::problem::Result;
use super::request::{Params, Path, read_json, run_id};
use super::state::{AppState, step_name, step_named};
use super::types::{
    ActOnDeadLetters, Changed, DeadLetter, DeadLetterGroup, DeadLetterGroupList, DeadLetterList, DeadLetterRefused,
    DeadLetterState, DeadLetterVerb, DeadLettersDone, Problem, SkipStep,
};

/// Letters on a page, unless the client says otherwise, and at most.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 1_000;

/// Letters that one request looks at, at most.
const LOOKED_AT: u32 = 1_000;

/// Runs about which one request does something.
const RUNS: usize = 100;

/// Groups on a page, unless the client says otherwise.
const GROUPS: u32 = 200;

/// What is around an output, and the members of a filter.
const ENVELOPE_BYTES: usize = 64 << 10;

/// How a place among letters is written.
const PLACE: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}/[0-9]{1,9}/[0-9]{1,15}$";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only those of this step.
    step: Option<String>,
    /// Only those of this pipeline.
    pipeline: Option<String>,
    /// Only those of this group.
    group: Option<String>,
    /// Only those whose cause has this in it.
    cause: Option<String>,
    /// Only those that have failed, or that are parked.
    state: Option<DeadLetterState>,
    /// Only those that died at this time or later, ms since 1970.
    since_ms: Option<i64>,
    /// At most so many; 50, if nothing is said, and never more than 1,000.
    limit: Option<u32>,
    /// Only those before this one: the `next` of the page before.
    #[schemars(extend("pattern" = PLACE))]
    before: Option<String>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Params(params): Params<ListParams>,
) -> Result<Json<DeadLetterList>> {
    let limit = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE) as usize;
    let before = params.before.as_deref().map(place).transpose()?;
    let rows = state.store.dead_letters(&state.namespace, DeadOrder::NewestFirst(before), LOOKED_AT).await?;
    let filter = Filter {
        step: params.step,
        pipeline: params.pipeline,
        group: params.group,
        cause: params.cause,
        state: params.state.map(Into::into),
        since_ms: params.since_ms,
    };
    let (mut found, mut last, mut more) = (Vec::new(), None, rows.len() >= LOOKED_AT as usize);
    for row in rows {
        if filter.since_ms.is_some_and(|since| row.place.at_us < since.saturating_mul(1_000)) {
            more = false;
            break;
        }
        if found.len() == limit {
            more = true;
            break;
        }
        last = Some(row.place);
        found.extend(named(&state, row).await?.filter(|letter| filter.means(letter)));
    }
    let next = last.filter(|_| more).map(|place| place.to_string());
    Ok(Json(DeadLetterList { dead_letters: found.into_iter().map(Into::into).collect(), next }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupParams {
    /// At most so many; 200, if nothing is said, and never more than 1,000.
    limit: Option<u32>,
    /// Only those after this one: the `next` of the page before.
    after: Option<String>,
}

pub(super) async fn groups(
    State(state): State<AppState>,
    Params(params): Params<GroupParams>,
) -> Result<Json<DeadLetterGroupList>> {
    let limit = params.limit.unwrap_or(GROUPS).clamp(1, LONGEST_PAGE);
    let after = params.after.as_deref().map(group_key).transpose()?;
    let mut rows = state.store.dead_groups(&state.namespace, after.as_ref(), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| written(&row.key));
    let mut groups: BTreeMap<String, DeadLetterGroup> = BTreeMap::new();
    for row in rows {
        let Some(pipeline) = known_pipeline(&state, row.key.pipeline_digest).await? else { continue };
        add(&mut groups, step_name(&pipeline, row.key.step), row);
    }
    let mut groups: Vec<DeadLetterGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.failed + group.parked, group.newest_at_ms)));
    Ok(Json(DeadLetterGroupList { groups, next }))
}

/// One version's part of a group.
fn add(groups: &mut BTreeMap<String, DeadLetterGroup>, step: String, row: DeadGroup) {
    let DeadGroup { key: DeadGroupKey { pipeline, cause, .. }, count, parked, oldest_ms, newest_ms } = row;
    let id = group_of(&pipeline, &step, &cause);
    let group = groups.entry(id.clone()).or_insert_with(|| DeadLetterGroup {
        group: id,
        pipeline,
        step,
        cause,
        failed: 0,
        parked: 0,
        more: false,
        oldest_at_ms: oldest_ms,
        newest_at_ms: newest_ms,
    });
    group.failed += count - parked;
    group.parked += parked;
    group.more |= count >= COUNTED;
    group.oldest_at_ms = group.oldest_at_ms.min(oldest_ms);
    group.newest_at_ms = group.newest_at_ms.max(newest_ms);
}

pub(super) async fn act(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<DeadLettersDone>> {
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
        return Ok(Json(done));
    }
    if let Do::Purge = deed.what {
        let steps: Vec<StepId> = piece.letters.iter().map(|letter| letter.row.place.step).collect();
        done.done = state.store.forget_dead_letters(&steps).await?;
        return Ok(Json(done));
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
    Ok(Json(done))
}

pub(super) async fn skip(
    State(state): State<AppState>,
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
    let ready = state.store.skip(id.run, id.step, output).await?;
    let changed = state.changed(id.run, &pipeline, &ready).await?;
    if changed.status.is_ended() {
        figures().of_pipeline(&pipeline.name).run_ended(changed.status);
    }
    Ok(changed)
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
        let changed = state.changed(id.run, &pipeline, &ready).await?;
        if changed.status.is_ended() {
            figures().of_pipeline(&pipeline.name).run_ended(changed.status);
        }
        Ok(())
    }
}

/// Which letters are meant.
struct Filter {
    step: Option<String>,
    pipeline: Option<String>,
    group: Option<String>,
    cause: Option<String>,
    state: Option<DeadState>,
    since_ms: Option<i64>,
}

impl Filter {
    fn means(&self, letter: &Named) -> bool {
        let row = &letter.row;
        self.pipeline.as_ref().is_none_or(|pipeline| *pipeline == row.pipeline)
            && self.step.as_ref().is_none_or(|step| *step == letter.step)
            && self.state.is_none_or(|state| state == row.state)
            && self.since_ms.is_none_or(|since| row.place.at_us >= since.saturating_mul(1_000))
            && self.cause.as_ref().is_none_or(|cause| row.cause.contains(cause))
            && self.group.as_ref().is_none_or(|group| *group == group_of(&row.pipeline, &letter.step, &row.cause))
    }
}

/// A letter, and the name of its step.
struct Named {
    row: store::dead_letters::DeadLetter,
    step: String,
}

/// What one request is about, and where the next one goes on.
struct Piece {
    letters: Vec<Named>,
    next: Option<DeadPlace>,
    until: Option<DeadPlace>,
}

/// The letters of a run that are meant.
async fn of_run(state: &AppState, run: RunId, deed: &Deed) -> Result<Piece> {
    let (_, steps) = state.store.run(run, None).await?;
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

/// A letter with its step's name; none if its run is gone by now, and its pipeline with it.
async fn named(state: &AppState, row: store::dead_letters::DeadLetter) -> Result<Option<Named>> {
    let pipeline = known_pipeline(state, row.pipeline_digest).await?;
    Ok(pipeline.map(|pipeline| Named { step: step_name(&pipeline, row.place.step.step), row }))
}

async fn known_pipeline(
    state: &AppState,
    digest: Digest,
) -> Result<Option<std::sync::Arc<pawl_domain::pipeline::Pipeline>>> {
    match state.store_pipeline(digest).await {
        Ok(pipeline) => Ok(Some(pipeline)),
        Err(store::Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn place(text: &str) -> Result<DeadPlace> {
    text.parse().map_err(|wrong| Problem::bad_request(format!("{wrong}, not {text:?}")))
}

/// A key as `next` says it: version, number of the step, pipeline, cause.
fn written(key: &DeadGroupKey) -> String {
    format!("{}/{}/{}/{}", key.pipeline_digest, key.step.0, key.pipeline, key.cause)
}

fn group_key(text: &str) -> Result<DeadGroupKey> {
    let mut parts = text.splitn(4, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (digest, step, pipeline, cause) = (part(), part(), part(), part());
    match (digest.parse(), step.parse()) {
        (Ok(pipeline_digest), Ok(step)) if !text.contains('\0') => {
            let (pipeline, cause) = (pipeline.to_owned(), cause.to_owned());
            Ok(DeadGroupKey { pipeline, pipeline_digest, step: StepNo(step), cause })
        }
        _ => Err(Problem::bad_request(format!("`after` is `next` of the page before, not {text:?}"))),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl From<DeadLetterState> for DeadState {
    fn from(state: DeadLetterState) -> Self {
        match state {
            DeadLetterState::Failed => Self::Failed,
            DeadLetterState::Parked => Self::Parked,
        }
    }
}

impl From<Named> for DeadLetter {
    fn from(Named { row, step }: Named) -> Self {
        Self {
            run: row.place.step.run,
            group: group_of(&row.pipeline, &step, &row.cause),
            step,
            pipeline: row.pipeline,
            state: match row.state {
                DeadState::Failed => DeadLetterState::Failed,
                DeadState::Parked => DeadLetterState::Parked,
            },
            cause: row.cause,
            died_at_ms: row.place.at_us / 1_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_groups_goes_on_where_it_ended() {
        let key = DeadGroupKey {
            pipeline: "load".into(),
            pipeline_digest: Digest::of(b"a"),
            step: StepNo(3),
            cause: "no answer of http://a/#/b".into(),
        };
        assert_eq!(group_key(&written(&key)).expect("it reads what it writes"), key);
        assert!(group_key("3/load").is_err());
    }
}

//! All that a replacement starts a step from, rebuilt from the store: its input, its component, its config, its checkpoint and
//! the journal after it. For a replay elsewhere, and for whoever wants to see it; workers read the same, in pieces.

use std::time::Duration;

use pawl_domain::attempt::{Claim, Ingredients};
use pawl_domain::id::{Digest, Fence, StepId};
use pawl_domain::journal::History;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::replay::is_open_wait;
use pawl_store::history::{opened, opened_outputs};
use pawl_store::runs::{StepRow, all_outputs};
use pawl_store::seal::{Place, Seal};
use pawl_store::{self as store, Store};

/// How long a piece of what is read may take.
const PIECE: Duration = Duration::from_secs(5);

/// What a step's next attempt starts from.
#[derive(Debug, Clone)]
pub struct Context {
    /// The step.
    pub id: StepId,
    /// Its name in the pipeline.
    pub name: String,
    /// What it runs on.
    pub component: Digest,
    /// What made its journal, if a person has put the step on another component since.
    pub recorded_by: Option<Digest>,
    /// Attempts that ended in a failure; the guest's attempt number is one more.
    pub failures: u32,
    /// JSON text; `null` if there is none.
    pub config: String,
    /// JSON bytes: the run's input, or what is made of the outputs of the steps that it needs.
    pub input: Vec<u8>,
    /// The checkpoint, and the entries that a replay touches; without the wait in which the step is, which has no answer yet: a
    /// replay ends there.
    pub history: History,
}

/// Why a context was not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum NotRebuilt {
    /// It runs on no component yet.
    #[error("step `{0}` has not started")]
    NotStarted(String),
    /// It needs steps that have not succeeded.
    #[error("the step waits for the steps that it needs")]
    WaitsForNeeds,
    /// A worker was at it meanwhile.
    #[error("step {0} has moved on while its journal was read: ask again")]
    HasMoved(StepId),
    /// Its past has more bytes than may be held.
    #[error("the step's past has more than {0} bytes")]
    TooLarge(usize),
    /// The store did not tell.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Rebuilds a step's context, as it was at one moment; its past may have `most_bytes`, and `seal` is what its run's payloads are
/// sealed with ([`Seals::of`](crate::seals::Seals::of)). Reading only.
///
/// ```no_run
/// # async fn example(ports: pawl_dispatch::Ports, id: pawl_domain::id::StepId) -> Result<(), Box<dyn std::error::Error>> {
/// use pawl_dispatch::recovery::rebuild;
/// let pipeline = ports.store.pipeline_version(ports.store.pipeline_of_run(id.run).await?).await?;
/// let context = rebuild(&*ports.store, &pipeline, id, 16 << 20, &pawl_store::seal::Seal::CLEAR).await?;
/// println!("attempt {} on {} goes on from {:?}", context.failures + 1, context.component, context.history.checkpoint);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`NotRebuilt`].
pub async fn rebuild(
    store: &dyn Store,
    pipeline: &Pipeline,
    id: StepId,
    most_bytes: usize,
    seal: &Seal,
) -> Result<Context, NotRebuilt> {
    let row = step_row(store, id).await?;
    let spec = pipeline.step(id.step);
    let name = spec.map_or_else(|| id.step.to_string(), |spec| spec.name.clone());
    let Some(component) = row.component else { return Err(NotRebuilt::NotStarted(name)) };
    let mut history = history(store, id, &row, most_bytes, seal).await?;
    if let Some((_, entries)) = history.segments.last_mut()
        && entries.last().is_some_and(|entry| is_open_wait(entry, row.awaits.as_deref()))
    {
        entries.pop();
        history.length -= 1;
    }
    let input = input(store, pipeline, id, seal).await?;
    let config = spec.map_or_else(|| "null".to_owned(), |spec| spec.config.to_string());
    Ok(Context {
        id,
        name,
        component,
        recorded_by: history.recorded_by,
        failures: row.failures,
        config,
        input,
        history,
    })
}

async fn step_row(store: &dyn Store, id: StepId) -> Result<StepRow, NotRebuilt> {
    let (_, rows) = store.run(id.run, Some(id.step)).await?;
    let missing = || store::Error::NotFound(format!("there is no step {id}"));
    Ok(rows.into_iter().next().ok_or_else(missing)?)
}

/// It is read in several parts, which must be of one moment.
async fn history(
    store: &dyn Store,
    id: StepId,
    row: &StepRow,
    most_bytes: usize,
    seal: &Seal,
) -> Result<History, NotRebuilt> {
    let (journal_length, checkpoint_position) = (row.journal_length, row.checkpoint_position);
    let claim = Claim { journal_length, checkpoint_position, ..Claim::bare(id, Fence(row.fence)) };
    // Told before it is in memory.
    let history = store.history(&claim, most_bytes, seal).await?.ok_or(NotRebuilt::TooLarge(most_bytes))?;
    let after = step_row(store, id).await?;
    let same = |row: &StepRow| (row.fence, row.status, row.journal_length, row.checkpoint_position);
    if same(row) == same(&after) { Ok(history) } else { Err(NotRebuilt::HasMoved(id)) }
}

async fn input(store: &dyn Store, pipeline: &Pipeline, id: StepId, seal: &Seal) -> Result<Vec<u8>, NotRebuilt> {
    let made_of = match pipeline.step(id.step).map_or(&[][..], |spec| &spec.needs) {
        [] => Ingredients::Run(opened(seal, Place::Input, store.run_input(id.run).await?)?),
        needs => {
            let outputs = all_outputs(store, id.run, needs, PIECE).await.map_err(|error| match error {
                store::Error::NotFound(_) => NotRebuilt::WaitsForNeeds,
                error => error.into(),
            });
            Ingredients::Outputs(opened_outputs(seal, needs, outputs?)?)
        }
    };
    Ok(pipeline.input_of(id.step, made_of))
}

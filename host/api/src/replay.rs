//! Replays over HTTP: what a step's component does against its journal, up to an entry that somebody picks. Nothing of the step
//! moves, and nothing is executed in this process: `elsewhere.rs` has it done in another one, `here.rs` does it there.

use std::process::ExitCode;
use std::time::Duration;

use axum::Json;
use pawl_store::control::ResumeOn;
use schemars::JsonSchema;
use serde::Deserialize;

use super::component::to_resume_on;
use super::journal;
use super::problem::Result;
use super::request::{Params, Path, run_id};
use super::types::{Problem, StepReplay};
use super::whose::Scoped;
pub use here::{NotReplayed, replay};

mod elsewhere;
mod here;

/// The largest past that is replayed, bytes: two processes hold it, several times.
const LARGEST: usize = 16 << 20;

/// How long a replay waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the program does if it was started to replay a step; `None` if not. Called first of all.
#[must_use]
pub fn replay_if_asked() -> Option<ExitCode> {
    pawl_engine::apart::do_if_asked::<elsewhere::Replaying>()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayParams {
    /// The entry of the journal at which the guest is stopped; without it, it goes on to the end of the journal.
    to: Option<u32>,
    /// Which component is executed: `pinned` (the one that the step has; also if nothing is said), `latest` (the plugin's active
    /// version) or a digest, of which the first digits are enough.
    #[schemars(extend("pattern" = "^(pinned|latest|[0-9A-Fa-f]{6,64})$"))]
    on: Option<String>,
}

pub(super) async fn show(
    Scoped(state): Scoped,
    Path((run, step)): Path<(String, String)>,
    Params(params): Params<ReplayParams>,
) -> Result<Json<StepReplay>> {
    let run = run_id(&run)?;
    let pipeline = state.pipeline_of(run).await?;
    let on = to_resume_on(&state, &pipeline, &step, params.on.as_deref().unwrap_or("pinned")).await?;
    // One at a time also holds the journal and the component: they are read when it is its turn.
    let replaying = state.replaying.while_asked(PATIENCE, async {
        let journal = journal::of_step(&state, run, &step, LARGEST).await?;
        let component = match on {
            ResumeOn::Pinned => journal.component,
            ResumeOn::Component(digest) => digest,
        };
        let bytes = state.store.component(component).await?;
        elsewhere::replay(&state.apart, &state.limits, &journal, &bytes, params.to).await
    });
    let busy = |_| Problem::busy("other steps are being replayed", "try again in a moment, or with `pawl run replay`");
    replaying.await.map_err(busy)?.map(Json)
}

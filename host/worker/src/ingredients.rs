//! What a step's input is made of, if that is more than a claim carries: read after the claim, outside its transaction,
//! in pieces, each in its own time, so that a wide join holds up nobody and gets there however slow the link is.

use std::time::Duration;

use pawl_domain::attempt::{Cause, Claim, ClaimedInput, Failure, Ingredients, Outcome};
use pawl_domain::limits::Limits;
use pawl_domain::pipeline::Pipeline;
use pawl_store::runs::all_outputs;
use pawl_store::{self as store, Store, within};

use crate::loaded::unloadable;

/// What the claim's input is made of. The inner error is the step's: more than it may join.
///
/// # Errors
/// If the store is away: try again.
pub async fn of(
    store: &dyn Store,
    claim: &Claim,
    pipeline: &Pipeline,
    limits: &Limits,
    piece: Duration,
) -> store::Result<Result<Ingredients, Outcome>> {
    let needs = pipeline.step(claim.id.step).map_or(&[][..], |spec| &spec.needs);
    let bytes = match &claim.input {
        ClaimedInput::Whole(whole) => return Ok(Ok(whole.clone())),
        ClaimedInput::Apart(bytes) => *bytes,
    };
    if needs.len() > 1 && bytes > limits.joined_bytes as u64 {
        return Ok(Err(Outcome::Failed(too_much(bytes, limits))));
    }
    let read = match needs {
        [] => within(piece, store.run_input(claim.run())).await.map(Ingredients::Run),
        needs => all_outputs(store, claim.run(), needs, piece).await.map(Ingredients::Outputs),
    };
    match read {
        Err(error) if !error.is_passing() => Ok(Err(Outcome::Failed(unloadable(&error)))),
        read => Ok(Ok(read?)),
    }
}

fn too_much(bytes: u64, limits: &Limits) -> Failure {
    Failure {
        cause: Cause::Limit,
        message: format!(
            "the outputs that this step joins are {bytes} bytes together, {} may be (`limit-joined`): let steps put out \
             less, or where the data is",
            limits.joined_bytes
        ),
        details: None,
        delay_ms: None,
        from_checkpoint: false,
    }
}

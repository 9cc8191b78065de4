//! What a step's input is made of, if that is more than a claim carries: read after the claim, outside its transaction,
//! in pieces, so that a wide join holds up nobody and gets there however slow the link is.

use pawl_base::sealing::is_sealed;
use pawl_domain::attempt::{Cause, Claim, ClaimedInput, Failure, Ingredients};
use pawl_domain::id::{StepId, StepNo};
use pawl_domain::limits::Limits;
use pawl_domain::pipeline::Pipeline;
use pawl_store::history::{self, PIECE_BYTES};
use pawl_store::runs::next_outputs;
use pawl_store::seal::{Place, Seal};
use pawl_store::{self as store};

use crate::reading::{Missed, Reading};

/// What the claim's input is made of. The inner error is the step's: more than it may join.
///
/// # Errors
/// [`Missed`].
pub async fn of(
    reading: &Reading,
    claim: &Claim,
    pipeline: &Pipeline,
    limits: &Limits,
    given_up: &(impl Fn() -> bool + ?Sized),
) -> Result<Result<Ingredients, Failure>, Missed> {
    let bytes = match &claim.input {
        ClaimedInput::Whole(whole) => return Ok(Ok(whole.clone())),
        ClaimedInput::Apart(bytes) => *bytes,
    };
    let store = reading.store();
    match pipeline.step(claim.id.step).map_or(&[][..], |spec| &spec.needs) {
        [] => Ok(Ok(Ingredients::Run(reading.ask(given_up, || store.run_input(claim.run())).await?))),
        needs if needs.len() > 1 && bytes > limits.joined_bytes as u64 => Ok(Err(too_much(bytes, limits))),
        needs => Ok(Ok(Ingredients::Outputs(outputs(reading, claim, needs, given_up).await?))),
    }
}

/// Whether payloads of their run are sealed. All are, or none; where only some seem to be, none of the others opens.
pub fn are_sealed(ingredients: &Ingredients) -> bool {
    match ingredients {
        Ingredients::Run(input) => is_sealed(input),
        Ingredients::Outputs(outputs) => outputs.iter().any(|output| is_sealed(output)),
    }
}

/// What was sealed, in the clear.
///
/// # Errors
/// [`store::Error::Damaged`].
pub fn opened(ingredients: Ingredients, seal: &Seal, pipeline: &Pipeline, id: StepId) -> store::Result<Ingredients> {
    if !are_sealed(&ingredients) {
        return Ok(ingredients);
    }
    Ok(match ingredients {
        Ingredients::Run(input) => Ingredients::Run(history::opened(seal, Place::Input, input)?),
        Ingredients::Outputs(outputs) => {
            let needs = pipeline.step(id.step).map_or(&[][..], |spec| &spec.needs);
            Ingredients::Outputs(history::opened_outputs(seal, needs, outputs)?)
        }
    })
}

async fn outputs(
    reading: &Reading,
    claim: &Claim,
    needs: &[StepNo],
    given_up: &(impl Fn() -> bool + ?Sized),
) -> Result<Vec<Vec<u8>>, Missed> {
    let store = reading.store();
    let mut outputs = Vec::with_capacity(needs.len());
    while let Some(some) = next_outputs(needs, outputs.len()) {
        outputs.extend(reading.ask(given_up, || store.outputs(claim.run(), some, PIECE_BYTES)).await?);
    }
    Ok(outputs)
}

fn too_much(bytes: u64, limits: &Limits) -> Failure {
    Failure {
        cause: Cause::Limit,
        message: format!(
            "the outputs that this step joins are {bytes} bytes together, {} may be (`limit_joined`): let steps put out \
             less, or where the data is",
            limits.joined_bytes
        ),
        details: None,
        delay_ms: None,
        from_checkpoint: false,
    }
}

//! The host interface of `wit/step.wit`, one file for each of its interfaces. All of it runs on the
//! guest's own thread and may block.
//!
//! Every call goes the same way: the replay machine answers it from the journal, or the world is asked,
//! the answer is recorded and the replay machine told. What must be durable before anything leaves waits
//! at a barrier. Nothing here may panic because of what a guest passed.

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;

mod calling;
mod context;
mod counted;
mod durable;
mod filling;
pub(crate) mod gate;
mod http;
mod leaving;
mod logging;
pub(super) mod outgoing;
mod redirect;
mod wait;
pub(crate) mod way;

/// Generated from the WIT.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "step",
        imports: { default: trappable },
    });
}

#[cfg(test)]
pub(super) use bindings::pawl::step::durable::Host as Durable;
pub(super) use bindings::pawl::step::{http as http_interface, types};
pub(super) use bindings::{Step, StepPre};
pub(super) use logging::{Level, Log};

/// All that a component may import.
///
/// # Errors
/// Never, for a WIT package without duplicates.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    Step::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

impl types::Host for Guest {}

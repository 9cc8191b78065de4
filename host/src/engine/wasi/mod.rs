//! WASI 0.2 for components of other toolchains: what a language's runtime expects of a system, answered so
//! that a replay gets the same answers. Linked only into components that import it.
//!
//! ```text
//!  wall clock       journaled
//!  monotonic clock  the guest's own: it moves when it is read, and while the guest waits
//!  poll             all but timers is ready at once; that a timer was waited for is journaled
//!  random           the step's own generator, "insecure" or not
//!  http             `pawl:step/http` under another name: journaled, effects with their keys
//!  stdout, stderr   the step's log, line by line
//!  stdin, environment, arguments, folders: empty
//!  sockets          refused
//!  exit             ends the guest as a trap
//! ```
//!
//! This is an implementation of our own, not `wasmtime-wasi`: that one asks the system for the time, lets
//! an async runtime decide what is ready first, and none of it could be replayed.

use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};

use super::guest::{Guest, Halt};

mod cli;
mod clocks;
mod http;
mod poll;
mod random;
mod refused;
mod streams;
mod stubs;

pub(super) use stubs::{is_offered, is_wasi};

/// Generated from the WIT.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "src/engine/wasi/wasi.wit",
        world: "imports",
        imports: { default: trappable },
        with: {
            "wasi:io/error.error": super::streams::Error,
            "wasi:io/poll.pollable": super::poll::Pollable,
            "wasi:io/streams.input-stream": super::streams::Input,
            "wasi:io/streams.output-stream": super::streams::Output,
            "wasi:sockets/network.network": super::refused::Network,
            "wasi:http/types.fields": super::http::fields::Fields,
            "wasi:http/types.outgoing-request": super::http::request::OutgoingRequest,
            "wasi:http/types.request-options": super::http::request::Options,
            "wasi:http/types.outgoing-body": super::http::request::OutgoingBody,
            "wasi:http/types.future-incoming-response": super::http::response::Future,
            "wasi:http/types.incoming-response": super::http::response::IncomingResponse,
            "wasi:http/types.incoming-body": super::http::response::IncomingBody,
            "wasi:http/types.future-trailers": super::http::response::Trailers,
        },
    });
}

/// Things of the host that a guest may hold at a time.
const RESOURCES: usize = 1_000;

/// What a guest has of WASI; made when it first calls.
pub(super) struct Wasi {
    table: ResourceTable,
    stdout: cli::Lines,
    stderr: cli::Lines,
    /// The monotonic clock.
    elapsed_ns: u64,
}

impl Default for Wasi {
    fn default() -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self { table, stdout: cli::Lines::default(), stderr: cli::Lines::default(), elapsed_ns: 0 }
    }
}

/// Offers WASI to a component that names these imports.
///
/// # Errors
/// Never, for imports that are all [offered](is_offered).
pub(super) fn add_to_linker(
    linker: &mut Linker<Guest>,
    engine: &wasmtime::Engine,
    component: &wasmtime::component::types::Component,
) -> wasmtime::Result<()> {
    stubs::add_to_linker(linker, engine, component)?;
    linker.allow_shadowing(true);
    bindings::Imports::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl Guest {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_default()
    }

    /// Hands something to the guest.
    fn push<T: Send + 'static>(&mut self, thing: T) -> Result<Resource<T>, Halt> {
        let full =
            |_| Halt::Limit(format!("a step may hold {RESOURCES} WASI resources at a time, this one wants more"));
        self.wasi().table.push(thing).map_err(full)
    }

    /// Something that the guest holds.
    fn held<T: 'static>(&mut self, resource: &Resource<T>) -> wasmtime::Result<&mut T> {
        Ok(self.wasi().table.get_mut(resource)?)
    }

    /// Takes something back.
    fn take<T: 'static>(&mut self, resource: Resource<T>) -> wasmtime::Result<T> {
        Ok(self.wasi().table.delete(resource)?)
    }
}

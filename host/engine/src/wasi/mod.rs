//! WASI 0.2 for components of other toolchains: what a language's runtime expects of a system, answered so
//! that a replay gets the same answers. Linked only into components that import it.
//!
//! ```text
//!  wall clock       journaled
//!  monotonic clock  the guest's own: it moves when it is read, and while the guest waits
//!  poll             all but timers is ready at once; that a timer was waited for is journaled
//!  random           of a seed from the system, which is journaled; "insecure": the step's own generator
//!  http             `pawl:step/http` under another name: journaled, effects with their keys
//!  stdout, stderr   the step's log, line by line
//!  stdin, environment, arguments, folders: empty
//!  sockets          refused
//!  exit             ends the guest as a trap
//! ```
//!
//! `wasmtime-wasi` implements what is the same on every machine and in every replay: streams, the empty
//! surroundings, folders and sockets of which there are none. Ours are the clocks, chance, waiting and HTTP,
//! which that library takes from the system, and the streams that lead into the log and into requests. No
//! answer depends on an async runtime: whatever is asked is ready at once, or waits for the guest's own clock.

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

use super::guest::{Guest, Halt};
use super::host::Level;
use clocks::Clock;
use stdio::Printed;

mod clocks;
mod http;
mod interfaces;
mod poll;
mod random;
mod stdio;

pub(super) use interfaces::{add_to_linker, is_later, is_offered, is_wasi};

/// Things of the host that a guest may hold at a time. A timer counts as two.
const RESOURCES: usize = 1_000;

/// What a guest is told that it may write to a stream at a time.
const WRITE_BYTES: usize = 64 << 10;

/// What a guest has of WASI; made when it first calls.
pub(super) struct Wasi {
    /// What the library knows of the guest's surroundings: nothing but where it prints to.
    ctx: WasiCtx,
    table: ResourceTable,
    clock: Arc<Clock>,
    printed: [Printed; 2],
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { ctx, table, .. } = self.wasi();
        WasiCtxView { ctx, table }
    }
}

impl Guest {
    fn wasi(&mut self) -> &mut Wasi {
        let log = &self.log;
        self.wasi.get_or_insert_with(|| {
            let printed = [Level::Info, Level::Warn].map(|level| Printed::new(level, Arc::clone(log)));
            let [stdout, stderr] = printed.clone();
            let ctx = WasiCtx::builder().stdout(stdout).stderr(stderr).allow_tcp(false).allow_udp(false).build();
            let mut table = ResourceTable::new();
            table.set_max_capacity(RESOURCES);
            Box::new(Wasi { ctx, table, clock: Arc::default(), printed })
        })
    }

    /// Hands something to the guest.
    fn push<T: Send + 'static>(&mut self, thing: T) -> wasmtime::Result<Resource<T>> {
        Ok(self.wasi().table.push(thing)?)
    }

    /// Something that the guest holds.
    fn held<T: 'static>(&mut self, resource: &Resource<T>) -> wasmtime::Result<&mut T> {
        Ok(self.wasi().table.get_mut(resource)?)
    }

    /// Takes something back.
    fn take<T: 'static>(&mut self, resource: Resource<T>) -> wasmtime::Result<T> {
        Ok(self.wasi().table.delete(resource)?)
    }

    /// The guest has ended: what it printed last may lack a line break.
    pub(super) fn print_rest(&mut self) {
        let Some(wasi) = &self.wasi else { return };
        self.tell_log();
        wasi.printed.iter().for_each(Printed::end);
    }
}

/// The limit that a guest broke, if the library ended it for one.
pub(super) fn broken_limit(error: &wasmtime::Error) -> Option<Halt> {
    matches!(error.downcast_ref()?, ResourceTableError::Full)
        .then(|| Halt::Limit(format!("a step may hold {RESOURCES} WASI resources at a time, this one wants more")))
}

/// What a guest did that called `exit`.
pub(super) fn exited(error: &wasmtime::Error) -> Option<String> {
    let I32Exit(code) = error.downcast_ref()?;
    Some(format!("the step called exit({code}): a step returns an output or a failure"))
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::p2::bindings::cli::exit::Host as _;
    use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;

    use super::*;
    use crate::{Config, Engine};

    /// A guest that nobody calls.
    pub(super) fn guest() -> Guest {
        Engine::new(Config { slots: 1, ..Config::default() }).expect("the engine starts").nobody()
    }

    #[test]
    fn who_holds_too_much_is_told_so() {
        let mut guest = guest();
        let mut timers = Vec::new();
        let error = loop {
            match guest.subscribe_duration(1) {
                Ok(timer) => timers.push(timer),
                Err(error) => break error,
            }
        };
        assert_eq!(timers.len(), RESOURCES / 2);
        let limit = broken_limit(&error.context("called by the guest")).expect("a limit");
        assert!(limit.to_string().contains("may hold 1000 WASI resources at a time"), "{limit}");
    }

    #[test]
    fn who_calls_exit_is_told_what_steps_do() {
        use wasmtime_wasi::cli::WasiCliView as _;
        let error = guest().cli().exit_with_code(3).expect_err("it ends the guest");
        let told = exited(&error).expect("an exit");
        assert!(told.contains("exit(3): a step returns"), "{told}");
        assert!(exited(&wasmtime::format_err!("something else")).is_none() && broken_limit(&error).is_none());
    }
}

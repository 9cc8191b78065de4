//! One runtime for everything asynchronous in the harness, so that tests are plain functions and the target
//! server and the proxies go on while a test blocks.

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    pawl_base::use_ring();
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("harness")
        .enable_all()
        .build()
        .expect("a process can start two threads")
});

/// The runtime, for what runs in the background.
#[must_use]
pub fn handle() -> &'static Handle {
    RUNTIME.handle()
}

/// Waits for `future` on the calling thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

//! Executes components. The only module that knows wasmtime.
//!
//! ```text
//!  bytes ──prepare──▶ Prepared ──execute(attempt, recorder)──▶ Executed
//!         (compiled once      │   on a guest thread: a new store and instance for every attempt,
//!          per digest)        │   host calls through the replay machine, answers to the recorder
//!                             └─describe──▶ Manifest
//! ```
//!
//! The worker executes attempts, `pawl plugin` describes components; those that are uploaded are described in a process of
//! their own ([`examine`], [`apart`]). A guest can neither panic
//! nor stall the process: it ends with an outcome, whatever it does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use clock::{boot_time, local_unix_ns};
pub use container::usual_budget_bytes;
pub use ending::RAISE_TIMEOUT;
pub use execute::{Attempt, Executed};
pub use imports::imports;
pub use intricate::TooIntricate;
pub use load::{LoadError, Prepared, imports_of, refused_import};
pub use manifest::Manifest;
pub use memory::Memory;
pub use outside::{Endpoint, Outside, Own, Resolver};
pub use secrets::{Secret, Secrets};
pub use spoken::Spoken;
pub use threads::{GuestThreads, Job, Stuck};

use pawl_domain::id::Digest;
use pawl_domain::limits::Limits;
use pawl_metrics::figures;

pub mod apart;
mod cache;
mod clock;
mod container;
mod ending;
pub mod examine;
mod execute;
mod guest;
mod host;
mod imports;
pub mod in_memory;
mod intricate;
mod limiter;
mod load;
mod manifest;
mod memory;
mod outside;
mod past;
pub mod read_only;
pub mod recorder;
mod secrets;
mod seen;
mod settings;
mod spoken;
mod threads;
mod trap;
mod wasi;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// What guests must keep within.
    pub limits: Limits,
    /// The folder for compiled components, shared by all processes of a machine; without it, every process
    /// compiles anew.
    pub cache_dir: Option<PathBuf>,
    /// How many guests execute at the same time.
    pub slots: u32,
    /// How often a guest is asked whether it must stop.
    pub tick_ms: u64,
    /// What compiled components may take in memory; the least recently used go first.
    pub cache_bytes: usize,
    /// What all guests together may make the process hold; what does not fit waits. As much as one guest may take at
    /// least.
    pub memory_bytes: usize,
    /// What they may take in the folder; about so much stays after the least recently used have gone.
    pub cache_dir_bytes: u64,
    /// How steps reach the outside.
    pub outside: Outside,
    /// Whether what memories begin with is kept in files of the system's, from which instances take it without a copy.
    pub images: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            cache_dir: None,
            slots: 16,
            tick_ms: 10,
            cache_bytes: container::at_most_an_eighth(512 << 20),
            memory_bytes: usual_budget_bytes(),
            cache_dir_bytes: 512 << 20,
            outside: Outside::default(),
            images: true,
        }
    }
}

/// Executes components; shared by all guest threads.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    /// None where the system has no address space for a pool.
    pooling: Option<load::Target>,
    on_demand: load::Target,
    cache: cache::Cache,
    memory: Arc<Memory>,
    http: Arc<host::outgoing::Outgoing>,
}

/// The engine can't start on this machine.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine can't start")]
pub struct StartError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl From<wasmtime::Error> for StartError {
    fn from(error: wasmtime::Error) -> Self {
        Self(error.into_boxed_dyn_error())
    }
}

impl Engine {
    /// What steps must keep within.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sets up both wasmtime engines and starts the ticker that interrupts guests.
    ///
    /// # Errors
    /// [`StartError`] if the cache folder or the certificates of outside hosts can't be used, or the machine is not one that wasmtime compiles
    /// for.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let common = settings::common(config.cache_dir.as_deref(), config.cache_dir_bytes, config.images)?;
        let on_demand = load::Target::new(&settings::on_demand(&common))?;
        let pooling = load::Target::new(&settings::pooling(&common, config.slots, &config.limits))
            .inspect_err(|error| tracing::warn!(%error, "no pool of instances here: every instance is made on demand"))
            .ok();
        let engines: Vec<_> = pooling.iter().chain([&on_demand]).map(|target| target.engine.clone()).collect();
        clock::start_ticker(&engines, Duration::from_millis(config.tick_ms.max(1)))
            .map_err(|error| StartError(error.into()))?;
        let cache = cache::Cache::new(config.cache_bytes);
        let memory = Memory::new(config.memory_bytes, config.limits.memory_bytes);
        let http = host::outgoing::Outgoing::new(config.outside).map_err(|error| StartError(error.into()))?;
        Ok(Self { limits: config.limits, pooling, on_demand, cache, memory, http: Arc::new(http) })
    }

    /// Where Pawl and its servers listen, for whoever learns of more.
    #[must_use]
    pub fn own(&self) -> &Own {
        &self.http.outside().own
    }

    /// The budget of all guests.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The component of that digest, if it is ready to be executed at once.
    #[must_use]
    pub fn prepared(&self, digest: Digest) -> Option<Arc<Prepared>> {
        self.cache.get(digest)
    }

    /// Looks at a new component's shape, without compiling it: whether that would take too long or too much.
    ///
    /// # Errors
    /// [`LoadError::TooIntricate`].
    pub fn check_shape(&self, component: &[u8]) -> Result<(), LoadError> {
        Ok(intricate::check(component)?)
    }

    /// Compiles a component, or waits for somebody who is compiling it already. Takes from milliseconds to
    /// seconds: for a thread that may block.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with the component and how to mend it.
    pub fn prepare(&self, digest: Digest, bytes: &[u8]) -> Result<Arc<Prepared>, LoadError> {
        self.cache.get_or_load(digest, || {
            let began = Instant::now();
            let prepared = Prepared::load(self, digest, bytes);
            figures().compile_seconds.took(began.elapsed());
            prepared
        })
    }
}

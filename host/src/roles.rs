//! The production roles (`pawl api`, `pawl worker`) and what belongs to a database (`migrate`, `doctor`).
//!
//! A role runs until SIGINT or SIGTERM, then drains: what it has begun is finished or handed back. A second
//! signal ends it at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use pawl_api as api;
use pawl_api::ServeError;
use pawl_base::fault;
use pawl_dispatch::Ports;
use pawl_engine::{self as engine, Engine};
use pawl_queue::RedisStreams;
use pawl_store::doctor::{Invariants as _, Violation};
use pawl_store::{Postgres, Schema as _};
use pawl_worker as worker;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::{End, INTERRUPTED, usage};
use super::output::{Answer, Output, Table};
use super::settings::{ServerFlags, Settings};

/// Connections of a process, besides those of its lanes.
const API_CONNECTIONS: u32 = 16;
const WORKER_CONNECTIONS: u32 = 8;

/// The longest time that a statement of the API may take.
const API_STATEMENT: Duration = Duration::from_millis(2_250);

/// How long one statement of `pawl doctor` and `pawl migrate` may take: they go over whole tables.
const LONG_STATEMENT: Duration = Duration::from_secs(600);

/// How long `pawl migrate` waits for a database that is away.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Arguments of `pawl api`.
#[derive(Debug, Args)]
pub(super) struct Api {
    #[command(flatten)]
    servers: ServerFlags,
    /// Where to listen [default: 127.0.0.1:7340]; PAWL_API_TOKEN is the token that requests must carry
    #[arg(long, value_name = "ADDRESS", env = "PAWL_LISTEN")]
    listen: Option<String>,
    #[command(flatten)]
    cache: CacheFlag,
}

/// Arguments of `pawl worker`.
#[derive(Debug, Args)]
pub(super) struct Worker {
    #[command(flatten)]
    servers: ServerFlags,
    /// Steps executed at once; each may use the memory that a guest may have [default: 256]
    #[arg(long, value_name = "N", env = "PAWL_SLOTS")]
    slots: Option<usize>,
    /// Queues to serve [default: default]
    #[arg(long = "queue", value_name = "NAME", env = "PAWL_QUEUES", num_args = 1.., value_delimiter = ',')]
    queues: Vec<String>,
    /// How long the worker's right to its steps outlives its last sign of life [default: 5000]
    #[arg(long, value_name = "MS", env = "PAWL_LEASE_MS", value_parser = clap::value_parser!(u64).range(500..=600_000))]
    lease_ms: Option<u64>,
    /// How long running steps may take to end when the worker is asked to stop [default: 10000]
    #[arg(long, value_name = "MS", env = "PAWL_DRAIN_MS")]
    drain_ms: Option<u64>,
    /// Connections that write; a run belongs to one [default: 1]
    #[arg(long, value_name = "N", env = "PAWL_LANES", value_parser = clap::value_parser!(u64).range(1..=16))]
    lanes: Option<u64>,
    #[command(flatten)]
    cache: CacheFlag,
}

/// What every process has that compiles components.
#[derive(Debug, Clone, Args)]
pub(super) struct CacheFlag {
    /// Where compiled components are kept [default: pawl in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "PAWL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
}

impl CacheFlag {
    /// An engine that executes up to `slots` steps at once.
    pub(super) fn engine(self, slots: usize) -> anyhow::Result<Arc<Engine>> {
        let slots = u32::try_from(slots)?;
        Ok(Arc::new(Engine::new(engine::Config { cache_dir: self.dir(), slots, ..Default::default() })?))
    }

    /// A component with an interpreter takes seconds to compile, so that it should happen once. None where
    /// the user has no folder that can be written: a service often has none.
    pub(super) fn dir(self) -> Option<PathBuf> {
        let of_user = || {
            let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
            let folder = given.or_else(|| Some(std::env::home_dir()?.join(".cache")))?.join("pawl");
            std::fs::create_dir_all(&folder).is_ok().then_some(folder)
        };
        self.cache_dir.or_else(of_user)
    }
}

/// Arguments of `pawl migrate`.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    servers: ServerFlags,
}

/// Arguments of `pawl doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    servers: ServerFlags,
    /// Check besides what holds only while nothing moves
    #[arg(long)]
    quiet: bool,
    /// How long a lease may have ended before its steps are a problem
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    grace_ms: u64,
    #[command(flatten)]
    output: Output,
}

impl Api {
    /// Serves the API until it is asked to stop.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        fault::announce()?;
        let defaults = api::Config::default();
        let config = api::Config {
            listen: self.listen.or_else(|| settings.listen()).unwrap_or(defaults.listen),
            token: settings.api_token(),
            ..defaults
        };
        let store = Postgres::new(&settings.database_url(&self.servers)?, API_CONNECTIONS, API_STATEMENT)?;
        let queue = RedisStreams::new(&settings.redis_url(&self.servers)?)?;
        // It checks and describes components; it executes none.
        let engine = self.cache.engine(1)?;
        let ports = Ports { store: Arc::new(store), queue: Arc::new(queue) };
        api::serve(config, ports, engine, asked_to_stop()).await.map_err(|error| match error {
            ServeError::Store(error) => error.into(),
            other => other.into(),
        })
    }
}

impl Worker {
    /// Runs a worker until it is asked to stop.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        fault::announce()?;
        let defaults = worker::Config::default();
        let queues = match (self.queues, settings.queues()) {
            (given, _) if !given.is_empty() => given,
            (_, Some(in_file)) => in_file.to_vec(),
            _ => defaults.queues,
        };
        let slots = self.slots.or(settings.slots()).unwrap_or(defaults.slots);
        if slots == 0 {
            return Err(usage("a worker with 0 slots executes nothing; give --slots 1 or more"));
        }
        let config = worker::Config {
            slots,
            queues,
            lease: self.lease_ms.map_or(defaults.lease, Duration::from_millis),
            drain: self.drain_ms.map_or(defaults.drain, Duration::from_millis),
            lanes: self.lanes.map_or(defaults.lanes, |lanes| lanes as usize),
            ..defaults
        };
        let url = settings.database_url(&self.servers)?;
        let store = Postgres::new(&url, WORKER_CONNECTIONS, worker::session_timeout(config.lease))?;
        let queue = RedisStreams::new(&settings.redis_url(&self.servers)?)?;
        let ports = Ports { store: Arc::new(store), queue: Arc::new(queue) };
        Ok(worker::run(config, ports, self.cache.engine(slots)?, asked_to_stop()).await?)
    }
}

impl Migrate {
    /// Brings the schema up to date.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let store = Postgres::new(&settings.database_url(&self.servers)?, 1, LONG_STATEMENT)?;
        let end = Instant::now() + START_LIMIT;
        let mut told = false;
        loop {
            match store.migrate().await {
                Ok(()) => break,
                // It may be starting beside us, as in a compose file.
                Err(error) if error.is_passing() && Instant::now() < end => {
                    if !std::mem::replace(&mut told, true) {
                        eprintln!("waiting for Postgres: {:#}", anyhow::Error::from(error));
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        eprintln!("the schema is up to date");
        Ok(())
    }
}

impl Doctor {
    /// Checks all invariants over the whole database.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let store = Postgres::new(&settings.database_url(&self.servers)?, 1, LONG_STATEMENT)?;
        store.check_schema().await?;
        let found = Findings { violations: store.doctor(Duration::from_millis(self.grace_ms), self.quiet).await? };
        self.output.print(&found)?;
        if found.violations.is_empty() { Ok(()) } else { Err(End::Said.into()) }
    }
}

/// Ends with the first signal to stop; the second ends the process.
pub(super) async fn asked_to_stop() {
    signalled().await;
    tracing::info!("stopping; a second signal stops at once");
    tokio::spawn(async {
        signalled().await;
        std::process::exit(i32::from(INTERRUPTED));
    });
}

/// Ends with the next SIGINT or SIGTERM.
pub(super) async fn signalled() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers, the system ends the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// What `pawl doctor` found.
#[derive(Debug, Serialize)]
struct Findings {
    violations: Vec<Violation>,
}

impl Answer for Findings {
    fn ids(&self) -> Vec<String> {
        self.violations.iter().map(|violation| violation.invariant.to_string()).collect()
    }

    fn text(&self) -> String {
        if self.violations.is_empty() {
            return "all invariants hold".to_owned();
        }
        let mut table = Table::new(["INVARIANT", "FOUND"]);
        for violation in &self.violations {
            table.row([violation.invariant.to_string(), violation.what.clone()]);
        }
        table.to_string()
    }
}

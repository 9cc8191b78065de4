//! Starts and stops the API process.
//!
//! Store and queue may be away when it starts: it serves at once, says so in `/ready`, and refuses what
//! needs them until they are there. A schema that is not this build's ends it: mending that takes a person.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pawl_dispatch::Ports;
use pawl_dispatch::submissions::Submissions;
use pawl_domain::limits::Limits;
use pawl_domain::namespace::Namespace;
use pawl_domain::suspicion::Suspicion;
use pawl_engine::Engine;
use pawl_store::{self as store, Store};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::aside::Aside;
use super::doors::{self, Doors};
use super::home::Home;
use super::metrics::Asked;
use super::router;
use super::state::AppState;
use super::watch::Watch;

/// How the API is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// The token that requests must carry, if any.
    pub token: Option<String>,
    /// How long a shutdown waits for requests under way.
    pub grace: Duration,
    /// When a step is blamed for the deaths of its workers, for requeues on an operator's word.
    pub suspicion: Suspicion,
    /// What requests must keep within.
    pub limits: Limits,
    /// Pipeline versions kept in memory.
    pub pipelines: usize,
    /// Connections served at once.
    pub connections: usize,
    /// Event streams and waits for the end of a run at once.
    pub readers: usize,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How long its body may take, besides what its size takes.
    pub body_timeout: Duration,
    /// How long a component that is pushed may take to be compiled.
    pub compile_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7340".to_owned(),
            token: None,
            grace: Duration::from_secs(10),
            suspicion: Suspicion::default(),
            limits: Limits::default(),
            pipelines: 256,
            connections: 4_096,
            readers: 2_048,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            compile_timeout: Duration::from_secs(60),
        }
    }
}

/// Why the API does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("can't listen on {address}: {}", if source.kind() == std::io::ErrorKind::InvalidInput {
        "an address is HOST:PORT, for example 127.0.0.1:7340"
    } else {
        "another process may have it; choose another with --listen"
    })]
    Bind {
        /// As the setting has it.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database's schema is wrong.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The listening socket broke.
    #[error("serving failed")]
    Io(#[source] std::io::Error),
}

/// Components that are being pushed at once: each is held in memory.
const PUSHES: usize = 4;

/// Pauses between looks at a store that is away.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Serves until `shutdown`, then lets requests under way end.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    config: Config,
    ports: Ports,
    engine: Arc<Engine>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let state = prepare(&config, ports, engine, None);
    // A wrong schema is said before anything listens, if the store is there to tell.
    let is_checked = check_schema(&state).await?;
    let (listener, address) = listen(&config.listen).await?;
    eprintln!("listening on http://{address}");
    if config.token.is_none() && !address.ip().is_loopback() {
        tracing::warn!(
            "there is no token, and other machines can connect: whoever does may do everything. Set api_token"
        );
    }
    answer(config, state, listener, is_checked, shutdown).await
}

/// Takes an address, and tells which one it is.
///
/// # Errors
/// [`ServeError::Bind`].
pub async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), ServeError> {
    let bind = |source| ServeError::Bind { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    Ok((listener, address))
}

/// The same as [`serve`] for one folder, on an address that was taken before.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_at_home(
    home: Home,
    listener: TcpListener,
    config: Config,
    ports: Ports,
    engine: Arc<Engine>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let state = prepare(&config, ports, engine, Some(home));
    let is_checked = check_schema(&state).await?;
    answer(config, state, listener, is_checked, shutdown).await
}

/// Whether the schema is this build's; false if the store is away.
async fn check_schema(state: &AppState) -> Result<bool, ServeError> {
    match store::check(&*state.store).await {
        Err(error) if !error.is_passing() => Err(error.into()),
        checked => Ok(checked.is_ok()),
    }
}

async fn answer(
    config: Config,
    state: AppState,
    listener: TcpListener,
    is_checked: bool,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let watch = state.watch.clone();
    let (stopping, stopped) = watch::channel(false);
    let signal = {
        let watch = watch.clone();
        async move {
            shutdown.await;
            tracing::info!("shutting down: requests under way may end");
            watch.close();
            stopping.send_replace(true);
        }
    };
    let Config { connections, header_timeout, body_timeout, .. } = config;
    let doors = Doors { connections, header_timeout, body_timeout };
    let serving = doors::serve(listener, router(state.clone()), doors, stopped.clone());
    // Tasks of their own, which run where the readers do: otherwise each wake-up would go by way of this thread.
    let mut readers = JoinSet::new();
    readers.spawn(async move { watch.run().await });
    readers.spawn(wake_readers(state.clone()));
    tokio::spawn(signal);
    tokio::select! {
        () = serving => Ok(()),
        error = wait_for_schema(&*state.store), if !is_checked => Err(error.into()),
        // They go on for ever, unless one panics: then nobody would be told anything any more.
        Some(ended) = readers.join_next() => ended.map_err(|panic| ServeError::Io(std::io::Error::other(panic))),
        () = grace(stopped, config.grace) => {
            tracing::warn!("requests were still under way at the end of the grace period");
            Ok(())
        }
    }
}

fn prepare(config: &Config, Ports { store, queue }: Ports, engine: Arc<Engine>, home: Option<Home>) -> AppState {
    AppState {
        submissions: Submissions::start(&store, Arc::clone(&queue)),
        watch: Watch::new(store.clone()),
        store,
        queue,
        engine,
        compiling: Aside::new(1),
        compile_timeout: config.compile_timeout,
        checking: Aside::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        pushes: Arc::new(Semaphore::new(PUSHES)),
        readers: Arc::new(Semaphore::new(config.readers.min(Semaphore::MAX_PERMITS))),
        most_readers: config.readers,
        limits: config.limits,
        namespace: Namespace::default(),
        suspicion: config.suspicion,
        home,
        token_hash: config.token.as_ref().map(|token| blake3::hash(token.as_bytes())),
        pipelines: Arc::default(),
        most_pipelines: config.pipelines,
        schemas: Arc::default(),
        asked: Asked::default(),
        sweeper: Arc::default(),
    }
}

/// Looks until the schema could be checked. Returns only if it is not this build's.
async fn wait_for_schema(store: &dyn Store) -> store::Error {
    let mut pause = FIRST_PAUSE;
    let mut is_out = false;
    loop {
        match store::check(store).await {
            Ok(()) => {
                if is_out {
                    tracing::info!("{} is there", store.name());
                }
                return std::future::pending().await;
            }
            Err(error) if !error.is_passing() => return error,
            Err(error) => {
                if !std::mem::replace(&mut is_out, true) {
                    tracing::warn!(error = error.chain(), "waiting for {}", store.name());
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn wake_readers(state: AppState) {
    state.queue.run_changes(&|moved| state.watch.wake(moved)).await;
}

async fn grace(mut stopping: watch::Receiver<bool>, grace: Duration) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(grace).await;
}

//! Starts and stops the API process.
//!
//! Store and queue may be away when it starts: it serves at once, says so in `/ready`, and refuses what
//! needs them until they are there. So it does with the schema of an older build (`unmigrated.rs`). One that this build does not
//! work with, and that is newer or another's, ends it: mending that takes a person.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pawl_base::envelope::Keys;
use pawl_base::tell;
use pawl_dispatch::Ports;
use pawl_dispatch::seals::Seals;
use pawl_dispatch::submissions::Submissions;
use pawl_domain::limits::Limits;
use pawl_domain::proxies::Proxies;
use pawl_domain::suspicion::Suspicion;
use pawl_engine::apart::Apart;
use pawl_store::{self as store, Store};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::access::{Access, OwnToken};
use super::aside::Aside;
use super::browsers::Hosts;
use super::doors::{self, Doors};
use super::home::Home;
use super::inside::Front;
use super::lookout;
use super::metrics::Asked;
use super::oidc::{self, Oidc};
use super::quotas;
use super::router;
use super::state::{AppState, Shared};
use super::tls::{Tls, TlsFiles};
use super::tokens::{API_TOKEN, DEV_TOKEN};
use super::trusted::Policy;
use super::wanted::Wanted;
use super::watch::Watch;

/// How the API is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// The files with which it speaks TLS; none: it speaks without, and a proxy in front of it may speak it.
    pub tls: Option<TlsFiles>,
    /// A token of an admin that no store has, if any.
    pub token: Option<String>,
    /// Whose tokens let people in besides those of the store, if anybody's.
    pub oidc: Option<oidc::Config>,
    /// Names that requests may be for, besides those of loopback and where it listens; one that begins with `*.` is for all
    /// names below.
    pub allowed_hosts: Vec<String>,
    /// Proxies whose word for where a request comes from counts.
    pub trusted_proxies: Proxies,
    /// Wrong tokens of one address in a row that are looked at as they come.
    pub failures: u32,
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
    /// The processes in which components that are pushed are compiled and asked what they are, and steps replayed, and their bounds.
    pub apart: Apart,
    /// What seals secrets; without any, none is taken.
    pub secrets: Keys,
    /// Which components are let in.
    pub trusted: Policy,
    /// What answers beside the API, if anything does.
    pub front: Option<Front>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7340".to_owned(),
            tls: None,
            token: None,
            oidc: None,
            allowed_hosts: Vec::new(),
            trusted_proxies: Proxies::default(),
            failures: 20,
            grace: Duration::from_secs(10),
            suspicion: Suspicion::default(),
            limits: Limits::default(),
            pipelines: 256,
            connections: 4_096,
            readers: 2_048,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            apart: Apart::default(),
            secrets: Keys::default(),
            trusted: Policy::default(),
            front: None,
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
    /// Others can connect, and nobody could be let in.
    #[error(
        "other machines can connect to {0}, and there is no token: make one with `pawl migrate --admin-token NAME`, or set \
         api_token (PAWL_API_TOKEN), or listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// Certificate or key can't be used.
    #[error("{0}")]
    Tls(String),
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
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    // A wrong schema is said before anything listens, if the store is there to tell.
    let is_checked = check_schema(&*ports.store).await?;
    let tls = config.tls.as_ref().map(Tls::of).transpose()?;
    let (listener, address) = listen(&config.listen).await?;
    refuse_to_shut_all_out(&config, &*ports.store, address, is_checked).await?;
    tell!("listening on {}://{address}", if tls.is_some() { "https" } else { "http" });
    let state = prepare(&config, ports, None, address, is_checked);
    answer(config, tls, state, listener, is_checked, shutdown).await
}

/// Nobody is let in without a token where other machines can connect. That there is none is a mistake then, and told at once; a
/// store that is away, or is to be migrated, may have one.
async fn refuse_to_shut_all_out(
    config: &Config,
    store: &dyn Store,
    address: SocketAddr,
    is_checked: bool,
) -> Result<(), ServeError> {
    if config.token.is_some() || config.oidc.is_some() || address.ip().is_loopback() {
        return Ok(());
    }
    if !is_checked {
        tracing::warn!(
            "api_token is not set, and {} can't be asked for tokens yet: nobody is let in so far",
            store.name()
        );
        return Ok(());
    }
    match store.has_tokens().await {
        Ok(false) => Err(ServeError::NoToken(address)),
        Err(error) if !error.is_passing() => Err(error.into()),
        _ => Ok(()),
    }
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
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let is_checked = check_schema(&*ports.store).await?;
    let address = listener.local_addr().map_err(ServeError::Io)?;
    let state = prepare(&config, ports, Some(home), address, is_checked);
    answer(config, None, state, listener, is_checked, shutdown).await
}

/// Whether the schema is this build's; false if the store is away, or is to be migrated.
async fn check_schema(store: &dyn Store) -> Result<bool, ServeError> {
    match store::check(store).await {
        Err(error) if !error.is_passing() => Err(error.into()),
        checked => Ok(checked.is_ok()),
    }
}

async fn answer(
    config: Config,
    tls: Option<Tls>,
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
    let doors = Doors { tls, connections, header_timeout, body_timeout };
    let serving = doors::serve(listener, router(state.clone(), config.front.as_ref()), doors, stopped.clone());
    // Tasks of their own, which run where the readers do: otherwise each wake-up would go by way of this thread.
    let mut readers = JoinSet::new();
    readers.spawn(async move { watch.run().await });
    readers.spawn(wake_readers(state.clone()));
    readers.spawn(lookout::run(state.clone()));
    readers.spawn(quotas::measure(state.clone()));
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

fn prepare(
    config: &Config,
    Ports { store, queue }: Ports,
    home: Option<Home>,
    address: SocketAddr,
    fits: bool,
) -> AppState {
    let fits = Arc::new(AtomicBool::new(fits));
    let own = config.token.iter().map(|text| OwnToken::of(API_TOKEN, text));
    let own = own.chain(home.iter().map(|home| OwnToken::of(DEV_TOKEN, &home.token))).collect();
    let is_local = address.ip().is_loopback();
    AppState::new(Shared {
        access: Access::new(
            own,
            config.oidc.clone().map(Oidc::new),
            is_local,
            store.clone(),
            Arc::clone(&fits),
            config.failures,
            config.trusted_proxies.clone(),
        ),
        wanted: Wanted::of_all_routes(),
        hosts: Hosts::of(&config.listen, address, &config.allowed_hosts),
        submissions: Submissions::start(&store, Arc::clone(&queue)),
        watch: Watch::new(store.clone()),
        fits,
        store,
        queue,
        apart: config.apart.clone(),
        compiling: Aside::new(1),
        replaying: Aside::new(1),
        checking: Aside::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        pushes: Arc::new(Semaphore::new(PUSHES)),
        readers: Arc::new(Semaphore::new(config.readers.min(Semaphore::MAX_PERMITS))),
        most_readers: config.readers,
        limits: config.limits,
        trusted: config.trusted.clone(),
        secret_keys: config.secrets.clone(),
        seals: Arc::new(Seals::new(config.secrets.clone())),
        whose: Arc::default(),
        quotas: Arc::default(),
        suspicion: config.suspicion,
        home,
        pipelines: Arc::default(),
        most_pipelines: config.pipelines,
        schemas: Arc::default(),
        asked: Asked::default(),
        sweeper: Arc::default(),
    })
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

//! The production roles (`pawl api`, `pawl worker`), whether one is `ready`, and the schema of a database (`migrate`).
//!
//! A role runs until SIGINT or SIGTERM, then drains: what it has begun is finished or handed back. A second
//! signal ends it at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use pawl_api as api;
use pawl_api::ServeError;
use pawl_api::client::Client;
use pawl_api::types::Readiness;
use pawl_base::fault;
use pawl_dispatch::Ports;
use pawl_domain::pipeline_file::parse_duration_ms;
use pawl_queue::{RedisStreams, WhichInstallation};
use pawl_store::{self as store, Postgres, Schema as _};
use pawl_worker as worker;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::auto_recover;
use super::exit::{End, INTERRUPTED};
use super::output::{Answer, Output};
use super::settings::Settings;

/// How long one statement of `pawl migrate` may take: it goes over whole tables.
const LONG_STATEMENT: Duration = Duration::from_secs(600);

/// How long `pawl migrate` waits for a database that is away: it may be starting beside it, as in a compose file.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long one look whether it is there may take.
const LOOK: Duration = Duration::from_secs(2);

/// Serves the API until it is asked to stop.
pub(super) async fn api(settings: &Settings) -> anyhow::Result<()> {
    let stop = asked_to_stop();
    fault::announce()?;
    let ports = ports(settings)?;
    auto_recover::beside_the_start(settings, &ports);
    // It checks and describes components; it executes none.
    let engine = settings.engine(1)?;
    api::serve(settings.api(), ports, engine, stop).await.map_err(|error| match error {
        ServeError::Store(error) => error.into(),
        other => other.into(),
    })
}

/// Runs a worker until it is asked to stop.
pub(super) async fn worker(settings: &Settings) -> anyhow::Result<()> {
    let stop = asked_to_stop();
    fault::announce()?;
    let config = settings.worker();
    let ports = ports(settings)?;
    auto_recover::beside_the_start(settings, &ports);
    let engine = settings.engine(config.slots)?;
    let standing = worker::Standing::default();
    let telling = tell_metrics(settings, standing.clone()).await?;
    let worked = worker::run(config, ports, engine, standing, stop).await;
    // A drain is told to its end.
    telling.send_replace(true);
    Ok(worked?)
}

/// Tells a worker's figures, and whether it is ready, where the settings say, until it is told to stop.
async fn tell_metrics(settings: &Settings, standing: worker::Standing) -> anyhow::Result<watch::Sender<bool>> {
    let (telling, stopping) = watch::channel(false);
    if let Some(address) = settings.metrics_listen() {
        let taken = || format!("can't listen on {address}: choose another address with --metrics-listen");
        let listener = TcpListener::bind(address).await.with_context(taken)?;
        eprintln!("metrics at http://{}/metrics", listener.local_addr()?);
        let token = settings.api_token();
        let is_ready = move || standing.takes_steps();
        tokio::spawn(async move { api::serve_metrics(listener, token.as_deref(), is_ready, stopping).await });
    }
    Ok(telling)
}

fn ports(settings: &Settings) -> anyhow::Result<Ports> {
    let store = settings.store()?;
    let asked = store.clone();
    let installation: WhichInstallation = Arc::new(move || {
        let store = asked.clone();
        Box::pin(async move { Ok(store.installation().await?) })
    });
    let queue = RedisStreams::new(&settings.redis()?, installation)?;
    Ok(Ports { store: Arc::new(store), queue: Arc::new(queue) })
}

/// Arguments of `pawl migrate`.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Change nothing: wait for so long at most until the schema is this build's
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    wait: Option<u64>,
}

impl Migrate {
    /// Brings the schema up to date, or waits until somebody has.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = settings.database_url()?;
        match self.wait {
            Some(wait_ms) => until_migrated(&url, Duration::from_millis(wait_ms)).await?,
            None => {
                until_there(&url, START_LIMIT).await?;
                Postgres::new(&url, 1, LONG_STATEMENT)?.migrate().await?;
            }
        }
        eprintln!("the schema is up to date");
        Ok(())
    }
}

/// Waits until somebody has brought the schema up to date. A newer one is no reason to wait.
async fn until_migrated(url: &str, limit: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    until_there(url, limit).await?;
    let looking = Postgres::new(url, 1, LOOK)?;
    let mut told = false;
    loop {
        match looking.check_schema().await {
            Ok(()) => return Ok(()),
            Err(error) => {
                let may_pass = match &error {
                    store::Error::Schema { found, needed } => found < needed,
                    error => error.is_passing(),
                };
                if !may_pass || Instant::now() >= end {
                    return Err(error.into());
                }
                if !std::mem::replace(&mut told, true) {
                    eprintln!("waiting up to {} s for the schema: {error}", limit.as_secs());
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Arguments of `pawl ready`.
#[derive(Debug, Args)]
pub(super) struct Ready {
    #[command(flatten)]
    output: Output,
}

impl Ready {
    /// Asks a role whether it is ready; fails if it is not, with the reasons.
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<()> {
        let readiness = client.readiness().await?;
        self.output.print(&readiness)?;
        if readiness.reasons.is_empty() { Ok(()) } else { Err(End::Said.into()) }
    }
}

/// Waits until Postgres answers, and says so.
pub(super) async fn until_there(url: &str, limit: Duration) -> anyhow::Result<()> {
    let looking = Postgres::new(url, 1, LOOK)?;
    let end = Instant::now() + limit;
    let mut told = false;
    loop {
        match looking.check_connections().await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_passing() && Instant::now() < end => {
                if !std::mem::replace(&mut told, true) {
                    eprintln!("waiting up to {} s for Postgres: {:#}", limit.as_secs(), anyhow::Error::from(error));
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends with the first signal to stop since the call; the second ends the process.
pub(super) fn asked_to_stop() -> impl Future<Output = ()> + Send + 'static {
    let first = signalled();
    async {
        first.await;
        tracing::info!("stopping; a second signal stops at once");
        let second = signalled();
        tokio::spawn(async {
            second.await;
            std::process::exit(i32::from(INTERRUPTED));
        });
    }
}

/// Ends with the next SIGINT or SIGTERM since the call, which is heard also while the role is being set up.
pub(super) fn signalled() -> impl Future<Output = ()> + Send + 'static {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            // Without handlers, the system ends the process.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

impl Answer for Readiness {
    fn ids(&self) -> Vec<String> {
        vec![self.status.clone()]
    }

    fn text(&self) -> String {
        let reasons = self.reasons.iter().map(|reason| format!("\n  {reason}"));
        std::iter::once(self.status.clone()).chain(reasons).collect()
    }
}

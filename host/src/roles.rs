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
use pawl_base::tell;
use pawl_dispatch::Ports;
use pawl_domain::name::Name;
use pawl_domain::pipeline_file::parse_duration_ms;
use pawl_engine::{Endpoint, Own};
use pawl_queue::{RedisStreams, WhichInstallation};
use pawl_store::tokens::Tokens as _;
use pawl_store::{self as store, Postgres, Schema as _};
use pawl_worker as worker;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::auto_recover;
use super::exit::{End, INTERRUPTED};
use super::output::{Answer, Output, duration};
use super::settings::Settings;
use super::token;
use super::traces::Traces;

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
    settings.check_trusted()?;
    let ports = ports(settings)?;
    auto_recover::beside_the_start(settings, &ports);
    let traces = Traces::start(settings, &ports.store)?;
    // It checks and describes components; it executes none.
    let front = Some(pawl_pages::front(None));
    let config =
        api::Config { token: settings.api_token()?, secrets: settings.secret_keys()?, front, ..settings.api() };
    let served = api::serve(config, ports, stop).await;
    traces.finish().await;
    served.map_err(|error| match error {
        ServeError::Store(error) => error.into(),
        other => other.into(),
    })
}

/// Runs a worker until it is asked to stop.
pub(super) async fn worker(settings: &Settings) -> anyhow::Result<()> {
    let stop = asked_to_stop();
    fault::announce()?;
    let config = worker::Config { secrets: settings.secret_keys()?, ..settings.worker() };
    let ports = ports(settings)?;
    auto_recover::beside_the_start(settings, &ports);
    let traces = Traces::start(settings, &ports.store)?;
    let engine = settings.engine(config.slots)?;
    let queue = Arc::clone(&ports.queue);
    engine.own().told_by(move || queue.servers().into_iter().map(Endpoint::of_server).collect());
    let standing = worker::Standing::default();
    let telling = tell_metrics(settings, &ports, standing.clone(), engine.own()).await?;
    let worked = worker::run(config, ports, engine, standing, stop).await;
    // A drain is told to its end.
    traces.finish().await;
    telling.send_replace(true);
    Ok(worked?)
}

/// Tells a worker's figures, and whether it is ready, where the settings say, until it is told to stop.
async fn tell_metrics(
    settings: &Settings,
    ports: &Ports,
    standing: worker::Standing,
    own: &Own,
) -> anyhow::Result<watch::Sender<bool>> {
    let (telling, stopping) = watch::channel(false);
    if let Some(address) = settings.metrics_listen() {
        let taken = || format!("can't listen on {address}: choose another address with --metrics-listen");
        let tls = settings.tls()?.as_ref().map(api::Tls::of).transpose()?;
        let listener = TcpListener::bind(address).await.with_context(taken)?;
        let address_taken = listener.local_addr()?;
        tell!("metrics at {}://{address_taken}/metrics", if tls.is_some() { "https" } else { "http" });
        own.add(address_taken.into());
        let config = api::MetricsConfig {
            listen: address.to_owned(),
            tls,
            token: settings.api_token()?,
            allowed_hosts: settings.allowed_hosts(),
            proxies: settings.trusted_proxies(),
            store: ports.store.clone(),
        };
        let is_ready = move || standing.takes_steps();
        tokio::spawn(async move {
            if let Err(error) = api::serve_metrics(listener, config, is_ready, stopping).await {
                tracing::error!(%error, "figures are not told");
            }
        });
    }
    Ok(telling)
}

fn ports(settings: &Settings) -> anyhow::Result<Ports> {
    let store = settings.store()?;
    let queue = queue(settings, store.clone())?;
    Ok(Ports { store: Arc::new(store), queue: Arc::new(queue) })
}

/// The queue of the installation that this store is.
pub(super) fn queue(settings: &Settings, store: Postgres) -> anyhow::Result<RedisStreams> {
    let installation: WhichInstallation = Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { Ok(store.installation().await?) })
    });
    Ok(RedisStreams::new(&settings.redis()?, installation)?)
}

/// Arguments of `pawl migrate`.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Change nothing: wait for so long at most until the schema is this build's
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    wait: Option<u64>,
    /// Then let this role of Postgres work in the schema, and change nothing of it: that of the API and the workers
    #[arg(long, value_name = "ROLE", conflicts_with = "wait")]
    run_role: Option<String>,
    /// Then make a token of this name with the role `admin`, and print it: with it, others are made
    #[arg(long, value_name = "NAME", conflicts_with = "wait")]
    admin_token: Option<Name>,
}

impl Migrate {
    /// Brings the schema up to date, or waits until somebody has.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = settings.database_url()?;
        match self.wait {
            Some(wait_ms) => {
                until_migrated(&url, Duration::from_millis(wait_ms)).await?;
                tell!("the schema is up to date");
                Ok(())
            }
            None => {
                until_there(&url, START_LIMIT).await?;
                let store = Postgres::new(&url, 1, LONG_STATEMENT)?;
                store.migrate().await?;
                if let Some(role) = &self.run_role {
                    store.let_work(role).await?;
                }
                tell!("the schema is up to date");
                match &self.admin_token {
                    Some(name) => token::make_first(&store, name).await,
                    None => {
                        if settings.api_token()?.is_none() && !store.has_tokens().await? {
                            tell!("there is no token yet: `pawl migrate --admin-token NAME` makes the first one");
                        }
                        Ok(())
                    }
                }
            }
        }
    }
}

/// Waits until Postgres answers, then until somebody has brought the schema up to date. A newer one is no reason to wait.
async fn until_migrated(url: &str, limit: Duration) -> anyhow::Result<()> {
    let (looking, patience) = (Postgres::new(url, 1, LOOK)?, Patience::of(limit));
    patience.until("Postgres", async || looking.check_connections().await, may_come).await?;
    patience.until("the schema", async || looking.check_schema().await, store::Error::is_passing).await
}

/// Waits until Postgres answers.
pub(super) async fn until_there(url: &str, limit: Duration) -> anyhow::Result<()> {
    let looking = Postgres::new(url, 1, LOOK)?;
    let asked = async || looking.check_connections().await;
    Patience::of(limit).until("Postgres", asked, may_come).await
}

/// Whether waiting may help who has just started: a server that is there and lets nobody in so goes on like that.
fn may_come(error: &store::Error) -> bool {
    error.is_passing() && !error.is_denied()
}

/// How long something may be waited for, from its making on.
struct Patience {
    limit: Duration,
    end: Instant,
}

impl Patience {
    fn of(limit: Duration) -> Self {
        Self { limit, end: Instant::now() + limit }
    }

    /// Asks every second until all is well, what is wrong can't pass, or time is up; says once that it waits, for `what`.
    async fn until(
        &self,
        what: &str,
        ask: impl AsyncFn() -> store::Result<()>,
        may_pass: impl Fn(&store::Error) -> bool,
    ) -> anyhow::Result<()> {
        let mut told = false;
        loop {
            match ask().await {
                Ok(()) => return Ok(()),
                Err(error) if may_pass(&error) && Instant::now() < self.end => {
                    if !std::mem::replace(&mut told, true) {
                        let why = anyhow::Error::from(error);
                        let limit_ms = i64::try_from(self.limit.as_millis()).unwrap_or(i64::MAX);
                        tell!("waiting up to {} for {what}: {why:#}", duration(limit_ms));
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(error.into()),
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

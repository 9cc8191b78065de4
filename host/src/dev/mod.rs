//! `pawl dev`: everything in one process, with nothing else to install. API, scheduler and worker are those of
//! production; the store is a SQLite file and the queue lies in memory. It keeps the same promises: killed at any
//! moment and started again, it goes on where it was.
//!
//! Plugin sources and pipeline files are built, checked and activated as they change ([`reload`]); what does not
//! build leaves the version before it active.

use std::net::SocketAddr;
use std::sync::Arc;

use pawl_api as api;
use pawl_api::client::Client;
use pawl_base::fault;
use pawl_dispatch::Ports;
use pawl_dispatch::requeue;
use pawl_queue::{InProcess, SharedQueue};
use pawl_store::{SharedStore, Sqlite};
use pawl_worker as worker;
use tokio::sync::watch;

use super::exit::usage;
use super::roles::asked_to_stop;
use super::settings::Settings;

mod changes;
mod reload;
mod sources;

use sources::Sources;

/// Runs until it is asked to stop.
pub(super) async fn run(settings: &Settings) -> anyhow::Result<()> {
    fault::announce()?;
    let (serve, execute) = (settings.api(), settings.worker());
    require_loopback(&serve.listen)?;
    let (data, plugins, pipelines) = settings.folders();
    let sources = Sources::of(plugins, pipelines)?;
    let store: SharedStore = Arc::new(Sqlite::open(&data)?);
    let queue: SharedQueue = Arc::new(InProcess::new());
    // The process before this one is dead, whatever its leases say, and its queue is gone.
    let resumed = requeue::stale(&*store, &*queue, settings.suspicion()).await?;
    if resumed > 0 {
        eprintln!("going on with {resumed} {}", if resumed == 1 { "step" } else { "steps" });
    }

    let (stop, stopped) = watch::channel(false);
    let stopping = move || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.wait_for(|stop| *stop).await) }
    };
    let client = Client::new(&format!("http://{}", serve.listen), settings.api_token())?;
    let ports = Ports { store, queue };
    let engine = settings.engine(execute.slots)?;
    let serving = api::serve(serve, ports.clone(), Arc::clone(&engine), stopping());
    let executing = worker::run(execute, ports, engine, stopping());
    let (mut serving, mut executing) = (tokio::spawn(serving), tokio::spawn(executing));
    let reloading = tokio::spawn(reload::run(client, sources));
    tokio::select! {
        // Neither ends by itself but by an error.
        served = &mut serving => return Ok(served??),
        executed = &mut executing => return Ok(executed??),
        () = asked_to_stop() => {}
    }
    reloading.abort();
    let _ = stop.send(true);
    executing.await??;
    Ok(serving.await??)
}

/// Nobody asks for a token here, so nobody else may come in.
fn require_loopback(listen: &str) -> anyhow::Result<()> {
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(()),
        Ok(_) => Err(usage(format!("`pawl dev` serves this machine only, not {listen}: for others, use `pawl api`"))),
        Err(_) => Err(usage(format!("`{listen}` is no address; it looks like 127.0.0.1:7340"))),
    }
}

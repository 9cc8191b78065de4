//! `pawl dev`: everything in one process, with nothing else to install. API, scheduler and worker are those of
//! production; the store is a SQLite file and the queue lies in memory. It keeps the same promises: killed at any
//! moment and started again, it goes on where it was.
//!
//! Plugin sources and pipeline files are built, checked and activated as they change ([`reload`]); what does not
//! build leaves the version before it active. Where it listens, and its token, commands find in its folder ([`super::here`]).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use pawl_api::client::Client;
use pawl_api::{self as api, Building, Home, ServeError};
use pawl_base::fault;
use pawl_base::tell;
use pawl_dispatch::Ports;
use pawl_dispatch::requeue;
use pawl_queue::{InProcess, SharedQueue};
use pawl_store::{SharedStore, Sqlite};
use pawl_worker as worker;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;

use super::auto_recover;
use super::exit::usage;
use super::here::{Announced, DATA, Said, keep_data, secret_keys_in, token_for};
use super::roles::asked_to_stop;
use super::settings::Settings;
use super::traces::Traces;

mod changes;
mod made;
mod reload;
mod report;
mod sources;

use sources::Sources;

/// A port of loopback that is free.
const ANY_PORT: &str = "127.0.0.1:0";

/// Runs until it is asked to stop.
pub(super) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let asked = asked_to_stop();
    fault::announce()?;
    let (mut serve, mut execute) = (settings.api(), settings.worker());
    require_loopback(&serve.listen).await?;
    let (data, plugins, pipelines) = settings.folders();
    let sources = Sources::of(plugins, pipelines)?;
    let store: SharedStore = Arc::new(Sqlite::open(&data)?);
    keep_data(&data)?;
    let (listener, address) = listen(settings).await?;
    let (token, token_file) = token_for(&data)?;
    let keys = if settings.has_no_secret_keys() { secret_keys_in(&data)? } else { settings.secret_keys()? };
    serve.token = settings.api_token()?;
    (serve.secrets, execute.secrets) = (keys.clone(), keys);
    let folder = std::env::current_dir()?.canonicalize()?;
    let said = Said { url: format!("http://{address}"), folder, token: Some(token.clone()) };
    // Commands find it by that, or by the usual address; the promises do not hang on it.
    let announced = Announced::in_data(&data, &said).map_err(|error| tell!("{error:#}"));
    tell!("listening on {}", said.url);
    let (entry, way_in) = pawl_pages::Entry::new(&token)?;
    serve.front = Some(pawl_pages::front(Some(entry)));
    tell!("pages at {}{way_in}", said.url);
    let queue: SharedQueue = Arc::new(InProcess::new());
    let ports = Ports { store, queue };
    let traces = Traces::start(settings, &ports.store)?;
    auto_recover::at_home(settings, &ports).await?;
    // The process before this one is dead, whatever its leases say, and its queue is gone.
    let resumed = requeue::stale(&*ports.store, &*ports.queue, settings.suspicion()).await?;
    if resumed > 0 {
        tell!("going on with {resumed} {}", if resumed == 1 { "step" } else { "steps" });
    }

    let (stop, stopped) = watch::channel(false);
    let stopping = move || {
        let mut stopped = stopped.clone();
        async move { drop(stopped.wait_for(|stop| *stop).await) }
    };
    let client = Client::new(&said.url, Some(token.clone()))?;
    let (tell, building) = watch::channel(Building::UnderWay { unbuilt: sources.all_unbuilt(), failed: Vec::new() });
    let home = Home { folder: said.folder.clone(), token, token_file, building };
    let engine = settings.engine(execute.slots)?;
    engine.own().add(address.into());
    let serving = api::serve_at_home(home, listener, serve, ports.clone(), stopping());
    let executing = worker::run(execute, ports, engine, worker::Standing::default(), stopping());
    let (mut serving, mut executing) = (tokio::spawn(serving), tokio::spawn(executing));
    let is_found = announced.is_ok() && data.canonicalize().ok() == said.folder.join(DATA).canonicalize().ok();
    let address = (!is_found).then(|| said.url.clone());
    let built = reload::Place { target: data.join("target"), tell, address };
    let reloading = tokio::spawn(reload::run(client, sources, built));
    tokio::select! {
        // Neither ends by itself but by an error.
        served = &mut serving => return Ok(served??),
        executed = &mut executing => return Ok(executed??),
        () = asked => {}
    }
    reloading.abort();
    let _ = stop.send(true);
    let (executed, served) = (executing.await?, serving.await?);
    traces.finish().await;
    executed?;
    Ok(served?)
}

/// Takes the address; if nobody has asked for one and the usual one is taken, a free one.
async fn listen(settings: &Settings) -> Result<(TcpListener, SocketAddr), ServeError> {
    let usual = settings.api().listen;
    match api::listen(&usual).await {
        Err(ServeError::Bind { source, .. })
            if source.kind() == ErrorKind::AddrInUse && settings.is_default("listen") =>
        {
            tell!("another process has {usual}: taking a free port");
            api::listen(ANY_PORT).await
        }
        listening => listening,
    }
}

/// Its token is this user's alone, and so is what it executes: nobody else may come in.
async fn require_loopback(listen: &str) -> anyhow::Result<()> {
    let addresses: Vec<SocketAddr> = match lookup_host(listen).await {
        Ok(addresses) => addresses.collect(),
        Err(_) => Vec::new(),
    };
    if addresses.is_empty() {
        return Err(usage(format!("`{listen}` is no address; it looks like 127.0.0.1:7340 or localhost:7340")));
    }
    if addresses.iter().all(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    Err(usage(format!("`pawl dev` serves this machine only, not {listen}: for others, use `pawl api`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loopback_has_several_names_and_nothing_else_is_served() {
        for listen in ["127.0.0.1:7340", "localhost:7400", "[::1]:0", "127.0.0.2:80"] {
            require_loopback(listen).await.unwrap();
        }
        for (listen, says) in [
            ("0.0.0.0:7340", "this machine only"),
            ("localhost", "is no address; it looks like"),
            ("7340", "is no address"),
            ("", "is no address"),
        ] {
            let error = require_loopback(listen).await.unwrap_err().to_string();
            assert!(error.contains(says), "{listen}: {error}");
        }
    }
}

//! What is made of settings, as its users take it: a client, a store, an engine, and what roles are set up with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_api as api;
use pawl_api::client::{Client, Trust};
use pawl_base::envelope::Keys;
use pawl_base::owner_only::{self, Kept};
use pawl_base::tell;
use pawl_domain::limits::Limits;
use pawl_domain::proxies::Proxies;
use pawl_domain::reach::Grant;
use pawl_domain::suspicion::Suspicion;
use pawl_engine::Engine;
use pawl_queue::RedisConfig;
use pawl_store::Postgres;
use pawl_worker as worker;

use super::value::check_token;
use super::{Error, Role, Settings, own, redact};
use crate::exit::usage;
use crate::here::{self, Here, Said};

/// How long an API may take to start, and between looks whether it has.
const START_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

impl Settings {
    /// A client of the API: of the one that was named, else of that of this folder, else of the usual address.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        self.check_where_the_token_goes()?;
        let (trust, namespace) = (self.trust()?, self.config.namespace().map_err(usage)?);
        let client =
            |url: &str, token| Ok::<_, anyhow::Error>(Client::trusting(&trust, url, token)?.about(namespace.clone()));
        let usual = |url: &str| Ok::<_, anyhow::Error>(client(url, self.api_token()?)?.finding(here::token_in));
        Ok(match self.here() {
            // What is set is for somewhere else, perhaps.
            Here::Runs(Said { url, folder, token }) => {
                let token = token.map_or_else(|| self.api_token(), |token| Ok(Some(token)))?;
                client(&url, token)?.of_folder(&folder)
            }
            Here::Silent(folder) => usual(&self.config.api_url)?.of_folder(&folder),
            Here::Nothing(Some(folder)) => usual(&self.config.api_url)?.outside(folder),
            Here::Nothing(None) => usual(&self.config.api_url)?,
        })
    }

    /// The API's address.
    pub(crate) fn api_url(&self) -> String {
        match self.here() {
            Here::Runs(said) => said.url,
            _ => self.config.api_url.clone(),
        }
    }

    /// What the folder says of its API, if nobody has named one.
    fn here(&self) -> Here {
        let folder = std::env::current_dir().ok().filter(|_| self.is_default("api-url"));
        folder.and_then(|folder| folder.canonicalize().ok()).map_or(Here::Nothing(None), |folder| here::look(&folder))
    }

    /// A client for somebody who has perhaps started the API a moment ago: one on this machine is waited for.
    pub(crate) async fn reach(&self) -> anyhow::Result<Client> {
        let end = Instant::now() + START_LIMIT;
        let mut is_told = false;
        loop {
            let client = self.client()?;
            match client.get::<serde_json::Value>(&["health"], &[]).await {
                Err(error) if error.is_early() && client.is_local() && Instant::now() < end => {
                    if !std::mem::replace(&mut is_told, true) {
                        tell!("waiting up to {} s: {error}", START_LIMIT.as_secs());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) if error.is_early() => return Err(error.into()),
                // Whatever else is wrong, the request itself says better.
                _ => return Ok(client),
            }
        }
    }

    /// Whom a client of the API trusts.
    pub(crate) fn trust(&self) -> Result<Trust, Error> {
        self.config.trust().map_err(Error::Together)
    }

    /// With what a listener speaks TLS, if it does.
    pub(crate) fn tls(&self) -> Result<Option<api::TlsFiles>, Error> {
        self.config.tls().map_err(Error::Together)
    }

    /// The API's token.
    pub(crate) fn api_token(&self) -> Result<Option<String>, Error> {
        let token = self.config.api_token.read("api_token").map_err(Error::Together)?;
        // What was given otherwise was checked when it was read.
        token.map(|token| check_token(&token).map(|()| token)).transpose().map_err(|rule| {
            let file =
                self.config.api_token.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
            Error::Together(format!("api_token_file is {file}: {rule}"))
        })
    }

    /// The database.
    pub(crate) fn database_url(&self) -> Result<String, Error> {
        let url = self.config.database_url.read("database_url").map_err(Error::Together)?;
        url.ok_or(Error::Missing { name: "database-url" })
    }

    /// Whether somebody has named a database.
    pub(crate) fn has_database(&self) -> bool {
        self.config.database_url.is_given()
    }

    /// The same, without its password.
    pub(crate) fn database_shown(&self) -> Result<String, Error> {
        Ok(redact::url(&self.database_url()?))
    }

    /// Where the queue is.
    pub(crate) fn redis_url(&self) -> Result<String, Error> {
        let url = self.config.redis_url.read("redis_url").map_err(Error::Together)?;
        url.ok_or(Error::Missing { name: "redis-url" })
    }

    /// Whether somebody has named a Redis.
    pub(crate) fn has_redis(&self) -> bool {
        self.config.redis_url.is_given()
    }

    /// The queue.
    pub(crate) fn redis(&self) -> Result<RedisConfig, Error> {
        let (prefix, ca) = (self.config.redis_prefix.clone(), self.config.redis_ca.clone());
        let own = self.config.redis_own().map_err(Error::Together)?;
        Ok(RedisConfig { url: self.redis_url()?, prefix, ca, own })
    }

    /// The database as a role uses it: no statement outlives what depends on it.
    pub(crate) fn store(&self) -> anyhow::Result<Postgres> {
        let longest = match self.role {
            Role::Worker => worker::session_timeout(self.config.worker.lease),
            _ => self.config.statement_timeout,
        };
        Ok(Postgres::new(&self.database_url()?, self.config.database_connections, longest)?)
    }

    /// Names that requests may be for.
    pub(crate) fn allowed_hosts(&self) -> Vec<String> {
        self.config.api.allowed_hosts.clone()
    }

    /// Proxies whose word for where a request comes from counts.
    pub(crate) fn trusted_proxies(&self) -> Proxies {
        self.config.api.trusted_proxies.clone()
    }

    /// How the API is set up, but for its token.
    pub(crate) fn api(&self) -> api::Config {
        self.config.api()
    }

    /// How a worker is set up.
    pub(crate) fn worker(&self) -> worker::Config {
        self.config.worker()
    }

    /// The master keys of secrets.
    pub(crate) fn secret_keys(&self) -> Result<Keys, Error> {
        self.config.secret_keys.read().map_err(Error::Together)
    }

    /// Whether what says which components are let in can be read.
    pub(crate) fn check_trusted(&self) -> Result<(), Error> {
        self.config.api.trusted.check().map_err(Error::Together)
    }

    /// Whether nobody has named one.
    pub(crate) fn has_no_secret_keys(&self) -> bool {
        self.config.secret_keys.are_none()
    }

    /// What everybody must keep within.
    pub(crate) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// When a step is blamed for the deaths of its workers.
    pub(crate) fn suspicion(&self) -> Suspicion {
        self.config.suspicion
    }

    /// Whether interrupted runs go on with the start of a role.
    pub(crate) fn auto_recover(&self) -> bool {
        self.config.auto_recover
    }

    /// An engine that executes up to `slots` steps at once. A component with an interpreter takes seconds to compile,
    /// so that it should happen once; where the user has no folder that can be written, as a service often has none,
    /// every process compiles for itself.
    pub(crate) fn engine(&self, slots: usize) -> anyhow::Result<Arc<Engine>> {
        let mut config = self.config.engine(slots);
        if self.is_default("cache-dir") {
            config.cache_dir = config.cache_dir.filter(|folder| owner_only::folder(folder, Kept::ForPawl).is_ok());
        }
        let engine = Engine::new(config)?;
        own::endpoints(&self.config).into_iter().for_each(|own| engine.own().add(own));
        Ok(Arc::new(engine))
    }

    /// What a step may reach whose pipeline says nothing.
    pub(crate) fn default_allow(&self) -> &[Grant] {
        &self.config.engine.outside.usual
    }

    /// Where compiled components are kept, if they are.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        self.config.engine(1).cache_dir
    }

    /// Where `pawl dev` keeps runs, and where its plugins and pipelines are.
    pub(crate) fn folders(&self) -> (PathBuf, Option<PathBuf>, Option<PathBuf>) {
        (self.config.data.clone(), self.config.plugins.clone(), self.config.pipelines.clone())
    }

    /// Whether figures are kept.
    pub(crate) fn keeps_metrics(&self) -> bool {
        self.config.metrics
    }

    /// Where a worker tells its figures, if anywhere.
    pub(crate) fn metrics_listen(&self) -> Option<&str> {
        self.config.metrics_listen.as_deref()
    }

    /// How spans are sent, if they are.
    pub(crate) fn traces(&self) -> Result<Option<pawl_traces::Config>, Error> {
        self.config.traces.config().map_err(Error::Together)
    }

    /// Which lines are logged.
    pub(crate) fn log(&self) -> &str {
        &self.config.log
    }

    /// Whether log lines are for programs.
    pub(crate) fn logs_json(&self) -> bool {
        self.config.log_format == "json"
    }
}

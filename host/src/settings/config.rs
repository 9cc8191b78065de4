//! Everything that is set, in the types of those who use it. What stands here before anything is read are the defaults:
//! those of the crates, and for each role what is its own.

use std::path::PathBuf;
use std::time::Duration;

use pawl_api as api;
use pawl_api::client::Trust;
use pawl_domain::limits::Limits;
use pawl_domain::namespace::{BadName, Namespace};
use pawl_domain::suspicion::Suspicion;
use pawl_engine as engine;
use pawl_queue::RedisConfig;
use pawl_worker as worker;

use super::in_files::InFile;
use super::oidc::Oidc;
use super::secrets::SecretKeys;
use super::setting::Role;
use super::traces::Traces;

/// What roles log, and clients.
const ROLES_LOG: &str = "info";
const CLIENTS_LOG: &str = "warn";

/// The values of all settings. A role reads those that are its own; the others keep their defaults.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) log: String,
    pub(super) metrics: bool,
    pub(super) metrics_listen: Option<String>,
    pub(super) oidc: Oidc,
    pub(super) secret_keys: SecretKeys,
    pub(super) traces: Traces,
    pub(super) log_format: String,
    pub(super) api_url: String,
    pub(super) api_ca: Option<PathBuf>,
    pub(super) api_certificate: Option<PathBuf>,
    pub(super) api_key: Option<PathBuf>,
    pub(super) api_token: InFile,
    pub(super) namespace: Option<String>,
    pub(super) tls_certificate: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) tls_client_ca: Option<PathBuf>,
    pub(super) database_url: InFile,
    pub(super) redis_url: InFile,
    pub(super) redis_prefix: String,
    pub(super) redis_ca: Option<PathBuf>,
    pub(super) redis_certificate: Option<PathBuf>,
    pub(super) redis_key: Option<PathBuf>,
    pub(super) database_connections: u32,
    pub(super) statement_timeout: Duration,
    /// For both who count crashes: the worker, and the API on an operator's word.
    pub(super) suspicion: Suspicion,
    /// For all who start.
    pub(super) auto_recover: bool,
    /// For both who check them.
    pub(super) limits: Limits,
    pub(super) api: api::Config,
    pub(super) worker: worker::Config,
    pub(super) engine: engine::Config,
    pub(super) data: PathBuf,
    pub(super) plugins: Option<PathBuf>,
    pub(super) pipelines: Option<PathBuf>,
}

impl Config {
    /// The defaults of a role.
    pub(super) fn of(role: Role) -> Self {
        let worker = worker::Config {
            slots: match role {
                // Enough for a person's work, and little memory.
                Role::Dev => 64,
                _ => worker::Config::default().slots,
            },
            ..worker::Config::default()
        };
        Self {
            log: if role == Role::Client { CLIENTS_LOG } else { ROLES_LOG }.to_owned(),
            log_format: "text".to_owned(),
            metrics: true,
            metrics_listen: None,
            oidc: Oidc::default(),
            secret_keys: SecretKeys::default(),
            traces: Traces::default(),
            api_url: format!("http://{}", api::Config::default().listen),
            api_ca: None,
            api_certificate: None,
            api_key: None,
            api_token: InFile::default(),
            namespace: None,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            database_url: InFile::default(),
            redis_url: InFile::default(),
            redis_prefix: RedisConfig::new("").prefix,
            redis_ca: None,
            redis_certificate: None,
            redis_key: None,
            // Besides those of its lanes, a worker needs few.
            database_connections: if role == Role::Worker { 8 } else { 16 },
            statement_timeout: worker::session_timeout(worker.lease),
            suspicion: Suspicion::default(),
            auto_recover: false,
            limits: Limits::default(),
            api: api::Config::default(),
            engine: engine::Config { cache_dir: users_cache(), outside: outside(role), ..engine::Config::default() },
            worker,
            data: PathBuf::from(crate::here::DATA),
            plugins: None,
            pipelines: None,
        }
    }

    /// The namespace that commands are about, if one was named.
    pub(super) fn namespace(&self) -> Result<Option<Namespace>, String> {
        self.namespace
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error: BadName| format!("namespace is wrong: {error}"))
    }

    /// What several settings must keep together.
    pub(super) fn check(&self) -> Result<(), String> {
        let Suspicion { suspect_from, crash_limit } = self.suspicion;
        if suspect_from >= crash_limit {
            let rule = "a step would be parked before it has run alone; crash_limit must be the greater one";
            return Err(format!("suspect_from is {suspect_from} and crash_limit {crash_limit}: {rule}"));
        }
        let (line, log) = (self.limits.log_line_bytes, self.limits.log_bytes);
        if line > log {
            return Err(format!("limit_log_line is {line} bytes and limit_log {log}: no such line would fit"));
        }
        self.namespace()?;
        self.api_token.check("api_token")?;
        self.database_url.check("database_url")?;
        self.redis_url.check("redis_url")?;
        self.redis_own()?;
        self.trust()?;
        self.tls()?;
        self.oidc.config()?;
        self.secret_keys.check()?;
        self.traces.config().map(drop)
    }

    /// What is shown to a Redis that wants a certificate.
    pub(super) fn redis_own(&self) -> Result<Option<(PathBuf, PathBuf)>, String> {
        together("redis_certificate", &self.redis_certificate, "redis_key", &self.redis_key)
    }

    /// Whom commands trust, and what they show.
    pub(super) fn trust(&self) -> Result<Trust, String> {
        let own = together("api_certificate", &self.api_certificate, "api_key", &self.api_key)?;
        Ok(Trust { ca: self.api_ca.clone(), own })
    }

    /// With what a listener speaks TLS, if it does.
    pub(super) fn tls(&self) -> Result<Option<api::TlsFiles>, String> {
        let client_ca = self.tls_client_ca.clone();
        match together("tls_certificate", &self.tls_certificate, "tls_key", &self.tls_key)? {
            Some((certificate, key)) => Ok(Some(api::TlsFiles { certificate, key, client_ca })),
            None if client_ca.is_some() => {
                Err("tls_client_ca is for TLS alone: give tls_certificate and tls_key, too".to_owned())
            }
            None => Ok(None),
        }
    }

    pub(super) fn api(&self) -> api::Config {
        api::Config {
            // These were checked when the settings were read.
            tls: self.tls().unwrap_or_default(),
            oidc: self.oidc.config().unwrap_or_default(),
            suspicion: self.suspicion,
            limits: self.limits,
            ..self.api.clone()
        }
    }

    pub(super) fn worker(&self) -> worker::Config {
        worker::Config { suspicion: self.suspicion, ..self.worker.clone() }
    }

    pub(super) fn engine(&self, slots: usize) -> engine::Config {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        engine::Config { slots, limits: self.limits, ..self.engine.clone() }
    }
}

/// A certificate is of no use without its key.
fn together(
    certificate: &str,
    its: &Option<PathBuf>,
    key: &str,
    other: &Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, String> {
    match (its.clone(), other.clone()) {
        (Some(file), Some(key)) => Ok(Some((file, key))),
        (None, None) => Ok(None),
        _ => Err(format!("{certificate} and {key} go together: give both, or none")),
    }
}

/// A person's own machine is open to what that person has there; whatever is elsewhere, pipelines must name.
fn outside(role: Role) -> engine::Outside {
    let grants = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect::<Vec<_>>();
    let mut outside = engine::Outside::default();
    let local = grants(&["http://localhost:*", "https://localhost:*"]);
    match role {
        Role::Api | Role::Worker => {}
        Role::Dev => {
            outside.most.extend(local.iter().cloned());
            outside.usual = local;
        }
        // `pawl plugin test`: whoever calls it has the component, and knows.
        Role::Client => {
            outside.usual = [outside.most.clone(), local.clone()].concat();
            outside.most.extend(local);
            outside.most.extend(grants(&[
                "http://0.0.0.0/0:*",
                "https://0.0.0.0/0:*",
                "http://[::/0]:*",
                "https://[::/0]:*",
            ]));
        }
    }
    outside
}

/// Where the user's programs keep what they can make again.
fn users_cache() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    Some(given.or_else(|| Some(std::env::home_dir()?.join(".cache")))?.join("pawl"))
}

//! Everything that is set, in the types of those who use it. What stands here before anything is read are the defaults:
//! those of the crates, and for each role what is its own.

use std::path::PathBuf;
use std::time::Duration;

use pawl_api as api;
use pawl_domain::limits::Limits;
use pawl_domain::suspicion::Suspicion;
use pawl_engine as engine;
use pawl_queue::RedisConfig;
use pawl_worker as worker;

use super::setting::Role;

/// What roles log, and clients.
const ROLES_LOG: &str = "info";
const CLIENTS_LOG: &str = "warn";

/// The values of all settings. A role reads those that are its own; the others keep their defaults.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) log: String,
    pub(super) metrics: bool,
    pub(super) metrics_listen: Option<String>,
    pub(super) log_format: String,
    pub(super) api_url: String,
    pub(super) api_token: Option<String>,
    pub(super) database_url: Option<String>,
    pub(super) redis_url: Option<String>,
    pub(super) redis_prefix: String,
    pub(super) redis_ca: Option<PathBuf>,
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
            api_url: format!("http://{}", api::Config::default().listen),
            api_token: None,
            database_url: None,
            redis_url: None,
            redis_prefix: RedisConfig::new("").prefix,
            redis_ca: None,
            // Besides those of its lanes, a worker needs few.
            database_connections: if role == Role::Worker { 8 } else { 16 },
            statement_timeout: worker::session_timeout(worker.lease),
            suspicion: Suspicion::default(),
            auto_recover: false,
            limits: Limits::default(),
            api: api::Config::default(),
            engine: engine::Config { cache_dir: users_cache(), ..engine::Config::default() },
            worker,
            data: PathBuf::from(crate::here::DATA),
            plugins: None,
            pipelines: None,
        }
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
        Ok(())
    }

    pub(super) fn api(&self) -> api::Config {
        api::Config {
            token: self.api_token.clone(),
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

/// Where the user's programs keep what they can make again.
fn users_cache() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    Some(given.or_else(|| Some(std::env::home_dir()?.join(".cache")))?.join("pawl"))
}

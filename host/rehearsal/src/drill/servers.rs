//! What a drill starts: servers, the API, workers; and where it finds what it does not start.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use pawl_api::client::Client;
use pawl_api::types::Health;
use pawl_base::tell;
use pawl_queue::RedisConfig;

use super::Recovery;
use crate::private::{PrivatePostgres, PrivateRedis, Process, free_port};

/// How long a process of Pawl may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is not for the processes of a drill, whoever has said it: they are told where the servers are, and listen on loopback.
const NOT_SET: [&str; 6] = [
    "PAWL_DATABASE_URL_FILE",
    "PAWL_REDIS_URL_FILE",
    "PAWL_API_TOKEN_FILE",
    "PAWL_TLS_CERTIFICATE",
    "PAWL_TLS_KEY",
    "PAWL_TLS_CLIENT_CA",
];

/// Processes and addresses. Fields are dropped in order: workers first, servers last.
#[derive(Debug)]
pub(super) struct Servers {
    artifacts: PathBuf,
    workers: Vec<Process>,
    api: Option<Process>,
    postgres: Option<PrivatePostgres>,
    redis: Option<PrivateRedis>,
    /// The address in use, private or existing.
    pub(super) database_url: String,
    /// How Redis is reached, private or existing.
    pub(super) redis_config: RedisConfig,
    api_url: String,
    api_token: Option<String>,
}

impl Servers {
    /// Starts private servers, or takes the existing ones.
    pub(super) fn new(drill: &Recovery) -> anyhow::Result<Self> {
        let artifacts = drill.artifacts_dir.canonicalize()?;
        let logs = artifacts.join("logs");
        let earlier = artifacts.join("recovery_summary.json");
        if earlier.exists() {
            // The folder is that of an earlier drill: what it left must not be taken for what comes now.
            std::fs::remove_file(&earlier).with_context(|| format!("can't remove {}", earlier.display()))?;
            std::fs::remove_dir_all(&logs).with_context(|| format!("can't remove {}", logs.display()))?;
        }
        std::fs::create_dir_all(&logs).with_context(|| format!("can't create {}", logs.display()))?;
        let mut servers = Self {
            workers: Vec::new(),
            api: None,
            postgres: None,
            redis: None,
            database_url: String::new(),
            redis_config: RedisConfig::new(""),
            api_url: drill.existing_coordinator.clone().unwrap_or_default(),
            api_token: drill.api_token.clone(),
            artifacts,
        };
        match &drill.existing_services {
            Some((database_url, redis)) => {
                servers.database_url.clone_from(database_url);
                servers.redis_config.clone_from(redis);
            }
            None => servers.start_private()?,
        }
        Ok(servers)
    }

    fn start_private(&mut self) -> anyhow::Result<()> {
        let folder = self.private_folder();
        // Only an earlier drill can have left it.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("can't remove {}", folder.display()))?;
        }
        tell!("starting private Postgres and Redis servers");
        let postgres = PrivatePostgres::start(&folder.join("postgres"))?;
        self.database_url = postgres.url();
        self.postgres = Some(postgres);
        let redis = PrivateRedis::start(&folder.join("redis"))?;
        self.redis_config = RedisConfig::new(redis.url());
        self.redis = Some(redis);
        Ok(())
    }

    fn private_folder(&self) -> PathBuf {
        self.artifacts.join("servers")
    }

    /// Prepares the database and starts an API, or takes the existing one; returns a client of it.
    pub(super) async fn coordinator(&mut self, args: &Recovery) -> anyhow::Result<Client> {
        if args.existing_coordinator.is_some() {
            return Ok(Client::trusting(&args.trust, &self.api_url, self.api_token.clone())?);
        }
        // Somebody else who answers there would be taken for the API that is started.
        let port = args.port.map_or_else(free_port, free)?;
        let mut migrate = Process::spawn("migrate", self.pawl(&["migrate"])?, &self.log("migrate"))?;
        let status = migrate.wait(PATIENCE)?.context("`pawl migrate` did not end")?;
        anyhow::ensure!(status.success(), "`pawl migrate` failed, see {}", self.log("migrate").display());

        let listen = format!("127.0.0.1:{port}");
        self.api_url = format!("http://{listen}");
        let command = self.pawl(&["api", "--listen", &listen])?;
        let api = self.api.insert(Process::spawn("api", command, &self.artifacts.join("logs/api.log"))?);
        let client = Client::new(&self.api_url, self.api_token.clone())?;
        let answered = async {
            while client.get::<Health>(&["health"], &[]).await.is_err() {
                api.ensure_running()?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, answered).await.context("the API did not answer in time")??;
        Ok(client)
    }

    /// Starts a worker; its number in order is returned.
    pub(super) fn start_worker(&mut self, queue: &str) -> anyhow::Result<usize> {
        let index = self.workers.len();
        let name = format!("worker-{}", index + 1);
        let command = self.pawl(&["worker", "--slots", "1", "--queue", queue])?;
        self.workers.push(Process::spawn(&name, command, &self.log(&name))?);
        Ok(index)
    }

    /// A worker that was started.
    pub(super) fn worker(&mut self, index: usize) -> &mut Process {
        &mut self.workers[index]
    }

    /// Where a process writes what it says.
    fn log(&self, name: &str) -> PathBuf {
        self.artifacts.join("logs").join(format!("{name}.log"))
    }

    /// This program, with the addresses in use.
    fn pawl(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("can't find this program's own file")?);
        let RedisConfig { url, prefix, ca, own } = &self.redis_config;
        let (certificate, key) = own.clone().unzip();
        // What is empty is not set, whatever else is said of it.
        let files = [("PAWL_REDIS_CA", ca.clone()), ("PAWL_REDIS_CERTIFICATE", certificate), ("PAWL_REDIS_KEY", key)];
        let files = files.into_iter().chain(NOT_SET.map(|name| (name, None)));
        command
            .args(arguments)
            .env("PAWL_DATABASE_URL", &self.database_url)
            .env("PAWL_REDIS_URL", url)
            .env("PAWL_REDIS_PREFIX", prefix)
            .envs(files.map(|(name, file)| (name, file.unwrap_or_default())))
            .envs(self.api_token.iter().map(|token| ("PAWL_API_TOKEN", token)));
        Ok(command)
    }

    /// Stops everything, politely where that is possible, and keeps the logs.
    pub(super) fn stop(&mut self) {
        for process in self.workers.iter_mut().chain(self.api.as_mut()) {
            if process.is_running()
                && let Err(error) = process.terminate(PATIENCE)
            {
                tell!("note: {error}");
            }
        }
        // What follows is done by dropping, which also happens after an error and on Ctrl-C.
    }

    /// Leaves servers and API running, and says where.
    pub(super) fn leave_running(&mut self) {
        if let Some(api) = self.api.take() {
            tell!("left running: the API at {} (pid {})", self.api_url, api.pid());
            std::mem::forget(api);
        }
        if let (Some(postgres), Some(redis)) = (self.postgres.take(), self.redis.take()) {
            tell!("left running: PAWL_DATABASE_URL={} PAWL_REDIS_URL={}", postgres.url(), redis.url());
            std::mem::forget((postgres, redis));
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.workers.clear();
        self.api = None;
        let logs = [self.postgres.as_ref().map(PrivatePostgres::log), self.redis.as_ref().map(PrivateRedis::log)];
        let had_servers = self.postgres.is_some();
        self.postgres = None;
        self.redis = None;
        for log in logs.iter().flatten() {
            keep(log, &self.artifacts.join("logs"));
        }
        if had_servers {
            // The data of a drill is of no use to anybody; if it can't be removed, the next drill tries.
            let _ = std::fs::remove_dir_all(self.private_folder());
        }
    }
}

/// The port, if nobody listens there.
fn free(port: u16) -> anyhow::Result<u16> {
    TcpListener::bind(("127.0.0.1", port)).with_context(|| {
        format!("can't listen on port {port}: give another --port, or none, and a free one is taken; for the API that is there, --existing-coordinator")
    })?;
    Ok(port)
}

fn keep(log: &Path, logs: &Path) {
    if let Some(name) = log.file_name() {
        let _ = std::fs::copy(log, logs.join(name));
    }
}

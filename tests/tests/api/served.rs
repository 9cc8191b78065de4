//! An API in this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use pawl_api as api;
use pawl_api::types::{PushedPlugin, SubmittedRun};
use pawl_base::envelope::Keys;
use pawl_dispatch::Ports;
use pawl_domain::id::RunId;
use pawl_engine as engine;
use pawl_engine::Engine;
use pawl_queue::{RedisConfig, RedisStreams, WhichInstallation};
use pawl_rehearsal::private::{PrivatePostgres, PrivateRedis, free_port};
use pawl_store::{Postgres, Schema as _};
use pawl_tests::client::Answer;
use pawl_tests::runtime::{block_on, handle};
use pawl_tests::{Client, Proxy, binary, bounds, wait};
use pawl_worker as worker;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Two steps in a row.
pub const PIPELINE: &str = r#"
name = "pair"
[[step]]
name = "first"
plugin = "echo"
[[step]]
name = "second"
plugin = "echo@1"
needs = ["first"]
config = { unused = true }
"#;

/// An engine for so many steps at once.
pub fn engine(slots: u32) -> anyhow::Result<Arc<Engine>> {
    Ok(Arc::new(Engine::new(engine::Config { slots, ..engine::Config::default() })?))
}

/// An API in this process, with servers of its own.
pub struct Api {
    pub client: Client,
    pub postgres: PrivatePostgres,
    pub redis: PrivateRedis,
    pub folder: PathBuf,
    pub config: api::Config,
    /// On the way to the database, if something is.
    pub proxy: Option<Proxy>,
    stop: Option<oneshot::Sender<()>>,
    pub served: Option<JoinHandle<Result<(), api::ServeError>>>,
}

impl Api {
    pub fn start(name: &str) -> anyhow::Result<Self> {
        let mut api = Self::prepare(name)?;
        api.migrate()?;
        api.serve()?;
        Ok(api)
    }

    pub fn migrate(&self) -> anyhow::Result<()> {
        Ok(block_on(async { Postgres::new(&self.postgres.url(), 1, Duration::from_secs(30))?.migrate().await })?)
    }

    /// The servers, without a schema and without the API.
    pub fn prepare(name: &str) -> anyhow::Result<Self> {
        let folder = binary::programs()?.join("tests").join(format!("{name}-{}", std::process::id()));
        let postgres = PrivatePostgres::start(&folder.join("postgres"))?;
        let redis = PrivateRedis::start(&folder.join("redis"))?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let secrets = Keys::read(&"7".repeat(64))?;
        let front = Some(pawl_pages::front(None));
        let mut config =
            api::Config { listen: listen.clone(), grace: bounds::PROCESS, secrets, front, ..api::Config::default() };
        // This process is not Pawl.
        config.apart.program = binary::pawl_file()?;
        let client = Client::new(format!("http://{listen}"))?;
        Ok(Self { client, postgres, redis, folder, config, proxy: None, stop: None, served: None })
    }

    pub fn serve(&mut self) -> anyhow::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or_default() };
        self.served = Some(handle().spawn(api::serve(self.config.clone(), self.ports()?, shutdown)));
        self.stop = Some(stop);
        wait::until_true(bounds::PROCESS, "the API to answer", || {
            Ok(self.client.get("/health").is_ok_and(|answer| answer.status == 200))
        })
    }

    /// Asks the API to end, and waits until it has.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        let served = self.served.take().context("the API was not started")?;
        Ok(block_on(async { tokio::time::timeout(bounds::PROCESS, served).await })???)
    }

    /// Starts a worker in this process that ends with the returned value.
    pub fn worker(&self) -> anyhow::Result<oneshot::Sender<()>> {
        let (stop, stopped) = oneshot::channel::<()>();
        let secrets = self.config.secrets.clone();
        let config = worker::Config { slots: 4, secrets, ..worker::Config::default() };
        let stopped = async { stopped.await.unwrap_or_default() };
        handle().spawn(worker::run(config, self.ports()?, engine(4)?, worker::Standing::default(), stopped));
        Ok(stop)
    }

    pub fn ports(&self) -> anyhow::Result<Ports> {
        // A store starts its connections' housekeeping on the runtime that it is made on.
        let _runtime = handle().enter();
        let url = self.postgres.url();
        let url = self.proxy.as_ref().map_or_else(|| url.clone(), |proxy| proxy.url(&url));
        let store = Postgres::new(&url, 8, Duration::from_millis(2_250))?;
        let asked = store.clone();
        let installation: WhichInstallation = Arc::new(move || {
            let store = asked.clone();
            Box::pin(async move { Ok(store.installation().await?) })
        });
        let queue = RedisStreams::new(&RedisConfig::new(self.redis.url()), installation)?;
        Ok(Ports { store: Arc::new(store), queue: Arc::new(queue) })
    }

    pub fn push_echo(&self) -> anyhow::Result<PushedPlugin> {
        self.client.post("/v1/plugins/echo/versions/1", "application/wasm", binary::component("echo")?)?.read()
    }

    pub fn apply(&self, toml: &str) -> anyhow::Result<Answer> {
        self.client.post("/v1/pipelines", "application/toml", toml)
    }

    pub fn submit(&self, input: &Value) -> anyhow::Result<RunId> {
        Ok(block_on(self.client.try_submit("pair", input, None))?.read::<SubmittedRun>()?.id)
    }

    /// Reads a run's server-sent events to the end of the stream.
    pub async fn stream(&self, run: RunId, last_event_id: Option<&str>) -> anyhow::Result<String> {
        let mut request = reqwest::Client::new()
            .get(self.client.url(&format!("/v1/runs/{run}/events")))
            .header("accept", "text/event-stream");
        if let Some(number) = last_event_id {
            request = request.header("last-event-id", number);
        }
        let mut chunks = request.send().await?.error_for_status()?.bytes_stream();
        let mut text = Vec::new();
        while let Some(chunk) = chunks.next().await {
            text.extend_from_slice(&chunk?);
        }
        Ok(String::from_utf8(text)?)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        // What can't be removed now is in the target folder and does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

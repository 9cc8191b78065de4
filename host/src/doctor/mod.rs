//! `pawl doctor`: the checklist after an incident. Each family of checks has a file, in which what was found is judged without
//! asking anybody; here they are asked for it, all at the same time, each within its own bound.
//!
//! ```text
//!  database there? ──▶ schema ──▶ invariants │ workers │ queues │ runs │ retention │ connections
//!  deliveries ────────────────────────────────────────────────────────────────────────────────▶ the list
//! ```
//!
//! It goes to the servers themselves, so that it works while the API does not; and it changes nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pawl_dispatch::recovery::THRESHOLD;
use pawl_dispatch::retention;
use pawl_domain::id::InstallationId;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline_file::parse_duration_ms;
use pawl_queue::{Queue, RedisStreams};
use pawl_store::doctor::Violation;
use pawl_store::{self as store, Postgres, Sqlite, Store};

use check::{Check, Status, bounded};
use findings::Findings;
use workers::Known;

use super::exit::End;
use super::here::DATA;
use super::output::Output;
use super::roles::{queue, until_there};
use super::settings::Settings;

mod check;
mod database;
mod deliveries;
mod disk;
mod findings;
mod queues;
mod runs;
mod workers;

/// How long one statement may take that goes over whole tables.
const LONG_STATEMENT: Duration = Duration::from_secs(600);

/// How long it waits for a database that is away: it may be starting.
const START_LIMIT: Duration = Duration::from_secs(5);

/// Connections: a check that waits for an answer holds up no other.
const CONNECTIONS: u32 = 6;

/// Gone workers, and runs that nobody moves, that are counted.
const COUNTED: u32 = 50;

/// Arguments of `pawl doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Check besides what holds only while nothing moves
    #[arg(long)]
    quiet: bool,
    /// How long a lease may have ended before its steps are a problem
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    grace_ms: u64,
    /// What is new: workers lost, steps parked, runs failed within this time are counted
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration_ms)]
    since: u64,
    /// How long each check may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration_ms)]
    timeout: u64,
    /// The same for the invariants, which go over the whole database
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration_ms)]
    invariants_timeout: u64,
    /// Leave out the invariants
    #[arg(long)]
    quick: bool,
    /// Check what `pawl dev` has in this folder, also while it runs [default: .pawl, if no database is named]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Doctor {
    /// Goes through the checklist; fails if a check does.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let findings = match self.folder(settings) {
            Some(folder) => self.of_folder(&folder).await?,
            None => self.of_servers(settings).await?,
        };
        self.output.print(&findings)?;
        if findings.status == Status::Fail { Err(End::Said.into()) } else { Ok(()) }
    }

    /// The folder of `pawl dev`, if that is what is to be checked.
    fn folder(&self, settings: &Settings) -> Option<PathBuf> {
        let usual = || Some(PathBuf::from(DATA)).filter(|folder| settings.database_url().is_err() && folder.is_dir());
        self.data.clone().or_else(usual)
    }

    async fn of_folder(&self, folder: &std::path::Path) -> anyhow::Result<Findings> {
        let store = Sqlite::look(folder)?;
        let mut checks = vec![database::schema(store::Schema::check_schema(&store).await)];
        let (found, violations, unserved) = self.of_store(&store, &store).await;
        checks.extend(found);
        checks.extend(disk::look("disk", folder));
        checks.push(Check::ok("deliveries", "they are in the memory of `pawl dev`; a restart makes them again"));
        Ok(Findings::new(checks, violations, unserved))
    }

    async fn of_servers(&self, settings: &Settings) -> anyhow::Result<Findings> {
        let url = settings.database_url()?;
        // Of a wrong setting nothing can be found.
        let store = Postgres::new(&url, CONNECTIONS, self.limit())?;
        let there = match until_there(&url, START_LIMIT).await {
            Err(error) if matches!(error.downcast_ref(), Some(store::Error::Config(_))) => return Err(error),
            there => there,
        };
        let is_there = there.is_ok();
        let of_store = async {
            if let Err(error) = there {
                let fix = "bring it back: without it nothing is accepted, and nothing moves; nothing is lost";
                return Ok((vec![Check::fail("database", format!("{error:#}"), fix)], Vec::new(), Vec::new()));
            }
            let mut checks = bounded("schema", self.limit(), async {
                Ok(vec![database::schema(store::Schema::check_schema(&store).await)])
            })
            .await;
            if checks.iter().any(|check| check.status == Status::Fail) {
                return Ok::<_, anyhow::Error>((checks, Vec::new(), Vec::new()));
            }
            let whole = Postgres::new(&url, 1, LONG_STATEMENT)?;
            let (found, violations, unserved) = self.of_store(&store, &whole).await;
            checks.extend(found);
            Ok((checks, violations, unserved))
        };
        let (of_store, of_queue) = tokio::join!(of_store, self.of_queue(settings, &store, is_there));
        let (mut checks, violations, unserved) = of_store?;
        checks.extend(of_queue?);
        checks.extend(settings.cache_dir().and_then(|folder| disk::look("cache_disk", &folder)));
        Ok(Findings::new(checks, violations, unserved))
    }

    async fn of_queue(&self, settings: &Settings, store: &Postgres, is_there: bool) -> anyhow::Result<Vec<Check>> {
        if settings.redis_url().is_err() {
            return Ok(vec![Check::unknown("redis", "no address of it is given: --redis-url or PAWL_REDIS_URL")]);
        }
        let queue = if is_there {
            queue(settings, store.clone())?
        } else {
            // Whose streams they are only the database knows; the server can be looked at all the same.
            RedisStreams::of(&settings.redis()?, InstallationId::new())?
        };
        Ok(deliveries::look(&queue as &dyn Queue, self.limit()).await)
    }

    /// All that the store knows. `whole` takes longer statements.
    async fn of_store(&self, store: &dyn Store, whole: &dyn Store) -> (Vec<Check>, Vec<Violation>, Vec<String>) {
        let (limit, here) = (self.limit(), Namespace::default());
        let since = Duration::from_millis(self.since);
        let since_ms = i64::try_from(self.since).unwrap_or(i64::MAX);
        let mut violations = Vec::new();
        let mut unserved = Vec::new();
        let (condition, workers, queues, stuck, troubles, retention, invariants) = tokio::join!(
            bounded("database", limit, async { Ok(database::condition(&store.condition().await?)) }),
            bounded("workers", limit, async {
                let (workers, gone) = (store.workers().await?, store.gone_workers(COUNTED).await?);
                let now_ms = store.condition().await?.now_ms;
                Ok(workers::judge(&Known { workers: &workers, gone: &gone, since_ms, now_ms }))
            }),
            bounded("queues", limit, async {
                let (backlog, workers) = (store.backlog().await?, store.workers().await?);
                unserved = store.unserved_queues().await?;
                Ok(queues::judge(&backlog.oldest_ready_ms, &unserved, &workers))
            }),
            bounded("stuck", limit, async {
                let found = store.interrupted(&here, THRESHOLD, COUNTED).await?;
                Ok(vec![runs::interrupted(&found, store.condition().await?.now_ms)])
            }),
            bounded("parked", limit, async {
                Ok(runs::troubles(&store.troubles(&here, since).await?, since_ms).to_vec())
            }),
            bounded("retention", limit, async {
                Ok(vec![runs::retention(retention::standing(store).await?.as_ref())])
            }),
            async {
                if self.quick {
                    return vec![Check::unknown("invariants", "left out, as --quick asks for it")];
                }
                bounded("invariants", Duration::from_millis(self.invariants_timeout), async {
                    violations = whole.doctor(Duration::from_millis(self.grace_ms), self.quiet).await?;
                    Ok(database::invariants(&violations))
                })
                .await
            },
        );
        let checks = [condition, invariants, workers, queues, stuck, troubles, retention].concat();
        (checks, violations, unserved)
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }
}

//! `pawl doctor`: the checklist after an incident. What the store knows is [`pawl_dispatch::doctor`]'s; here is what only a
//! command sees, each family in a file, in which what was found is judged without asking anybody.
//!
//! ```text
//!  database there? ──▶ schema ──▶ invariants │ workers │ queues │ runs │ retention │ connections
//!                              ──▶ deliveries, certificates ───────────────────────────────────▶ the list
//! ```
//!
//! It goes to the servers themselves, so that it works while the API does not; and it changes nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use pawl_base::tell;
use pawl_dispatch::doctor::{self, Check, Found, Look, Status, bounded};
use pawl_domain::id::InstallationId;
use pawl_domain::pipeline_file::parse_duration_ms;
use pawl_queue::{Queue, RedisStreams};
use pawl_store::doctor::Violation;
use pawl_store::{self as store, Postgres, Sqlite, Store};

use findings::Findings;

use super::exit::End;
use super::here;
use super::output::{Answer as _, Output};
use super::roles::{queue, until_there};
use super::settings::Settings;

mod certificates;
mod database;
mod deliveries;
mod disk;
mod findings;

/// How long one statement may take that goes over whole tables.
const LONG_STATEMENT: Duration = Duration::from_secs(600);

/// How long it waits for a database that is away: it may be starting.
const START_LIMIT: Duration = Duration::from_secs(5);

/// Between two looks of who waits until all is well.
const PAUSE: Duration = Duration::from_secs(1);

/// Connections: a check that waits for an answer holds up no other.
const CONNECTIONS: u32 = 8;

/// Arguments of `pawl doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Check besides what holds only while nothing moves
    #[arg(long)]
    quiet: bool,
    /// How long a lease may have ended before its steps are a problem
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration_ms)]
    grace: u64,
    /// The same in milliseconds, as older scripts say it
    #[arg(long, value_name = "MS", hide = true, conflicts_with = "grace")]
    grace_ms: Option<u64>,
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
    /// Look again until nothing fails or is warned of, for so long at most; exit code 1 if something still is
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    wait: Option<u64>,
    /// Check what `pawl dev` has in this folder, also while it runs [default: .pawl here or above, if no database is named]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Doctor {
    /// Goes through the checklist; fails if a check does, and with `--wait` also if one warns.
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let (findings, worst) = match self.wait {
            None => (self.look(settings, self.quick).await?, Status::Warn),
            Some(wait_ms) => (self.until_well(settings, Duration::from_millis(wait_ms)).await?, Status::Ok),
        };
        self.output.print(&findings)?;
        if findings.status > worst { Err(End::Said.into()) } else { Ok(()) }
    }

    /// Looks until all is well, for so long at most, and tells what it waits for whenever that has changed. The whole
    /// database is gone over only when the rest is well.
    async fn until_well(&self, settings: &Settings, limit: Duration) -> anyhow::Result<Findings> {
        let end = Instant::now() + limit;
        let mut told = Vec::new();
        loop {
            let mut findings = self.look(settings, true).await?;
            let is_over = Instant::now() >= end;
            if !self.quick && (findings.status == Status::Ok || is_over) {
                findings = self.look(settings, false).await?;
            }
            if findings.status == Status::Ok || is_over {
                return Ok(findings);
            }
            let not_well = findings.ids();
            if told != not_well {
                tell!("not well yet: {}", not_well.join(", "));
                told = not_well;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&self, settings: &Settings, quick: bool) -> anyhow::Result<Findings> {
        match self.folder(settings) {
            Some(folder) => self.of_folder(&folder, quick).await,
            None => self.of_servers(settings, quick).await,
        }
    }

    /// The folder of `pawl dev`, if that is what is to be checked.
    fn folder(&self, settings: &Settings) -> Option<PathBuf> {
        let usual = || here::data_near(&std::env::current_dir().ok()?).filter(|_| settings.database_url().is_err());
        self.data.clone().or_else(usual)
    }

    async fn of_folder(&self, folder: &std::path::Path, quick: bool) -> anyhow::Result<Findings> {
        let store = Sqlite::look(folder)?;
        let mut checks = vec![doctor::schema(store::Schema::check_schema(&store).await)];
        let (found, violations, unserved) = self.of_store(&store, &store, quick).await;
        checks.extend(found);
        checks.extend(disk::look("disk", folder));
        checks.push(Check::ok("deliveries", "they are in the memory of `pawl dev`; a restart makes them again"));
        Ok(Findings::new(checks, violations, unserved))
    }

    async fn of_servers(&self, settings: &Settings, quick: bool) -> anyhow::Result<Findings> {
        let url = settings.database_url()?;
        // Of a wrong setting nothing can be found.
        let store = Postgres::new(&url, CONNECTIONS, self.limit())?;
        let there = match until_there(&url, START_LIMIT).await {
            Err(error) if matches!(error.downcast_ref(), Some(store::Error::Config(_))) => return Err(error),
            there => there,
        };
        let mut checks = match there {
            Err(error) => vec![database::away(&error)],
            Ok(()) => {
                bounded("schema", self.limit(), async {
                    Ok(vec![doctor::schema(store::Schema::check_schema(&store).await)])
                })
                .await
            }
        };
        // All else that is asked of it stands in tables of ours, and whose streams those of Redis are does, too.
        let is_there = checks.iter().all(|check| check.status != Status::Fail);
        let of_store = async {
            if !is_there {
                return Ok::<_, anyhow::Error>((checks, Vec::new(), Vec::new()));
            }
            let whole = Postgres::new(&url, 1, LONG_STATEMENT)?;
            let (found, violations, unserved) = self.of_store(&store, &whole, quick).await;
            checks.extend(found);
            Ok((checks, violations, unserved))
        };
        // It bounds itself, so that one server that is silent does not hide another one's.
        let of_certificates =
            bounded("certificates", self.limit() * 3, async { Ok(certificates::look(settings, self.limit()).await?) });
        let (of_store, of_queue, of_certificates) =
            tokio::join!(of_store, self.of_queue(settings, &store, is_there), of_certificates);
        let (mut checks, violations, unserved) = of_store?;
        checks.extend(of_queue?);
        checks.extend(of_certificates);
        checks.extend(settings.cache_dir().and_then(|folder| disk::look("cache_disk", &folder)));
        Ok(Findings::new(checks, violations, unserved))
    }

    async fn of_queue(&self, settings: &Settings, store: &Postgres, is_there: bool) -> anyhow::Result<Vec<Check>> {
        if !settings.has_redis() {
            return Ok(vec![Check::unknown("redis", "no address of it is given: --redis-url or PAWL_REDIS_URL")]);
        }
        let queue = if is_there {
            queue(settings, store.clone())?
        } else {
            // Whose streams they are only the database knows; the server can be looked at all the same.
            RedisStreams::of(&settings.redis()?, InstallationId::new())?
        };
        let mut checks = deliveries::look(&queue as &dyn Queue, self.limit()).await;
        if is_there && checks.iter().all(|check| check.status != Status::Fail) {
            let readers = bounded("redis_readers", self.limit(), async {
                // In this order: who comes in between is not missing among the readers.
                let workers = store::workers::Workers::workers(store).await?;
                Ok(vec![deliveries::readers(&workers, &queue.streams().await?)])
            });
            checks.extend(readers.await);
        }
        Ok(checks)
    }

    /// All that the store knows. `whole` takes longer statements.
    async fn of_store(
        &self,
        store: &dyn Store,
        whole: &dyn Store,
        quick: bool,
    ) -> (Vec<Check>, Vec<Violation>, Vec<String>) {
        let mut violations = Vec::new();
        let of_invariants = async {
            if quick {
                return vec![Check::unknown("invariants", "left out, as --quick asks for it")];
            }
            bounded("invariants", Duration::from_millis(self.invariants_timeout), async {
                violations =
                    whole.doctor(Duration::from_millis(self.grace_ms.unwrap_or(self.grace)), self.quiet).await?;
                Ok(database::invariants(&violations))
            })
            .await
        };
        let look = Look { limit: self.limit(), since: Duration::from_millis(self.since) };
        let (found, invariants) = tokio::join!(doctor::look(store, look), of_invariants);
        let Found { database, others, unserved } = found;
        ([database, invariants, others].concat(), violations, unserved)
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }
}

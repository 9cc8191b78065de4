//! Hosts that die without a word: their connections stay open, and nothing comes through them any more. A system notices
//! that after a quarter of an hour; Pawl's work goes on within seconds, whichever server it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use pawl_domain::id::{InstallationId, RunId};
use pawl_domain::ready::Moved;
use pawl_queue::{FollowUp, Queue as _, RedisConfig, RedisStreams};
use pawl_rehearsal::private::{PrivatePostgres, PrivateRedis};
use pawl_store::workers::Workers as _;
use pawl_store::{Postgres, Schema as _};
use pawl_tests::runtime::{block_on, handle};
use pawl_tests::wait::Look;
use pawl_tests::{Cluster, Database, Proxy, binary, bounds, wait};
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use crate::pipelines;

/// What is promised: all work goes on within this time.
const PROMISED: Duration = Duration::from_secs(10);

/// A cluster whose API and worker reach both servers through proxies, and is busy.
struct Behind {
    cluster: Cluster,
    postgres: Proxy,
    redis: Proxy,
    runs: Vec<RunId>,
}

fn busy_behind_proxies(name: &str) -> Result<Behind> {
    let mut cluster = Cluster::start(name)?;
    let postgres = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
    let redis = Proxy::start(format!("127.0.0.1:{}", cluster.redis_server.port()))?;
    pipelines::chain(&cluster, 2)?;
    pipelines::chain_of_naps(&cluster, 5)?;
    let (database, queue) = (postgres.url(&cluster.postgres.url()), redis.url(&cluster.redis_server.url()));
    let through = [("PAWL_DATABASE_URL", database.as_str()), ("PAWL_REDIS_URL", queue.as_str())];
    cluster.start_api(&through)?;
    cluster.worker("a").default_lease().set(through[0].0, through[0].1).set(through[1].0, through[1].1).start()?;
    let runs = cluster.client.submit_all("naps-5", &vec![json!(null); 12])?;
    wait::until_true(bounds::RUN, "a run to end", || {
        cluster.database.value("select exists (select from run where ended_at is not null)")
    })?;
    // Connections of all kinds have been used by now, and some are in the middle of something.
    cluster.client.get("/v1/runs")?.read::<serde_json::Value>()?;
    cluster.client.queues()?;
    Ok(Behind { cluster, postgres, redis, runs })
}

impl Behind {
    /// A run that is submitted now is accepted, executed and told of to whoever waits for it, in time; and nothing of
    /// what was under way is lost.
    fn goes_on(self) -> Result<()> {
        let silent = Instant::now();
        let cluster = &self.cluster;
        let run = wait::until(bounds::RECOVERY, "a submission to be accepted", || {
            Ok(match cluster.submit("chain-2", &json!(1)) {
                Ok(run) => Look::Done(run),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        })?;
        let accepted = silent.elapsed();
        wait::until(bounds::RECOVERY, "the API to tell of its end", || {
            Ok(match cluster.client.get(&format!("/v1/runs/{run}"))?.read::<pawl_api::types::Run>() {
                Ok(run) if run.summary.status.is_ended() => Look::Done(()),
                Ok(run) => Look::NotYet(run.summary.status.to_string()),
                Err(error) => Look::NotYet(format!("{error:#}")),
            })
        })?;
        let ended = silent.elapsed();
        wait::until_true(bounds::RECOVERY, "the queues to be told", || Ok(cluster.client.queues().is_ok()))?;
        let told = silent.elapsed();
        eprintln!("after the silence: accepted {accepted:?}, ended {ended:?}, queues told {told:?}");
        cluster.all_succeed(&[self.runs.as_slice(), &[run]].concat(), bounds::RECOVERY)?;
        assert!(told <= PROMISED, "accepted after {accepted:?}, ended after {ended:?}, queues told after {told:?}");
        assert_eq!(cluster.database.value::<i64>("select count(*) from step where failures > 0")?, 0);
        self.cluster.finish()
    }
}

#[test]
fn work_goes_on_soon_after_the_way_to_postgres_has_died_silently() -> Result<()> {
    let behind = busy_behind_proxies("postgres_died_silently")?;
    behind.postgres.swallow_all();
    behind.goes_on()
}

#[test]
fn work_goes_on_soon_after_the_way_to_redis_has_died_silently() -> Result<()> {
    let behind = busy_behind_proxies("redis_died_silently")?;
    behind.redis.swallow_all();
    behind.goes_on()
}

#[test]
fn a_subscription_that_has_died_silently_is_made_again() -> Result<()> {
    let folder = binary::programs()?.join("tests").join(format!("subscription_died-{}", std::process::id()));
    let server = PrivateRedis::start(&folder)?;
    let proxy = Proxy::start(format!("127.0.0.1:{}", server.port()))?;
    // Made where it listens.
    let _runtime = handle().enter();
    let installation = InstallationId::new();
    let queue = |url: String| RedisStreams::of(&RedisConfig::new(url), installation);
    let (listener, teller) = (queue(proxy.url(&server.url()))?, queue(server.url())?);
    let heard = Arc::new(AtomicUsize::new(0));
    let listening = handle().spawn({
        let heard = Arc::clone(&heard);
        async move {
            let hear = |moved: &[Moved]| {
                heard.fetch_add(moved.len(), Ordering::Relaxed);
            };
            listener.run_changes(&hear).await;
        }
    });
    let tell_until_heard = || {
        let before = heard.load(Ordering::Relaxed);
        wait::until_true(bounds::PROCESS, "the listener to hear", || {
            let moved = [Moved { run: RunId::new(), ended: true }];
            block_on(teller.follow_up(FollowUp { moved: &moved, ..FollowUp::default() }))?;
            Ok(heard.load(Ordering::Relaxed) > before)
        })
    };
    tell_until_heard()?;
    proxy.swallow_all();
    let silent = Instant::now();
    tell_until_heard()?;
    let took = silent.elapsed();
    listening.abort();
    assert!(took <= PROMISED, "it took {took:?}");
    Ok(())
}

/// Callers that give up leave a connection in the middle of something, which nobody can wait out.
#[test]
fn a_pool_gets_back_the_places_of_connections_that_died_in_the_middle_of_something() -> Result<()> {
    const PLACES: u32 = 2;
    let folder = binary::programs()?.join("tests").join(format!("pool_died-{}", std::process::id()));
    let server = PrivatePostgres::start(&folder)?;
    let proxy = Proxy::start(format!("127.0.0.1:{}", server.port()))?;
    let database = Database::new(&server.url())?;
    let store = block_on(async {
        Postgres::new(&server.url(), 1, Duration::from_secs(30))?.migrate().await?;
        Postgres::new(&proxy.url(&server.url()), PLACES, Duration::from_millis(2_250))
    })?;
    let mut holder = block_on(sqlx::PgConnection::connect(&server.url()))?;
    block_on(holder.execute("begin; lock table worker in access exclusive mode"))?;
    let asking = || {
        let store = store.clone();
        handle().spawn(async move { store.workers().await.map(drop) })
    };
    let in_the_middle: Vec<_> = (0..PLACES).map(|_| asking()).collect();
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%from worker%'";
    wait::until_true(bounds::PROCESS, "all connections to be in use", || {
        Ok(database.value::<i64>(waiting)? == i64::from(PLACES))
    })?;
    proxy.swallow_all();
    in_the_middle.iter().for_each(tokio::task::JoinHandle::abort);
    block_on(holder.execute("commit"))?;
    let silent = Instant::now();
    wait::until(bounds::RECOVERY, "an answer", || {
        Ok(match block_on(asking())? {
            Ok(()) => Look::Done(()),
            Err(error) => Look::NotYet(error.chain()),
        })
    })?;
    assert!(silent.elapsed() <= PROMISED, "it took {:?}", silent.elapsed());
    Ok(())
}

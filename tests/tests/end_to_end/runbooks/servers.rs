//! Postgres and Redis, away, full, slow, or down with everything else.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use pawl_domain::id::RunId;
use pawl_tests::{Cluster, bounds, runtime, wait};
use serde_json::json;

use super::{Runbook, logged, until_interrupted};
use crate::pipelines;

/// Two workers in the middle of runs of which some have ended.
fn in_mid_run(cluster: &mut Cluster) -> Result<Vec<RunId>> {
    pipelines::chain_of_naps(cluster, 5)?;
    cluster.worker("a").start()?;
    cluster.worker("b").start()?;
    let runs = cluster.client.submit_all("naps-5", &vec![json!(null); 30])?;
    wait::until_true(bounds::RUN, "some runs to end", || {
        cluster.database.value("select count(*) >= 3 from run where ended_at is not null")
    })?;
    Ok(runs)
}

#[test]
fn postgres_is_away() -> Result<()> {
    let mut cluster = Cluster::start("runbook_postgres")?;
    let runs = in_mid_run(&mut cluster)?;
    cluster.postgres.stop()?;
    Runbook::open("postgres", &cluster, &[])?.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn redis_is_away() -> Result<()> {
    let mut cluster = Cluster::start("runbook_redis")?;
    let mut runs = in_mid_run(&mut cluster)?;
    cluster.redis_server.stop();
    runs.extend(cluster.client.submit_all("naps-5", &vec![json!(null); 3])?);
    logged(&cluster, "a", "no messages are read")?;
    Runbook::open("redis", &cluster, &[])?.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn redis_is_full() -> Result<()> {
    let mut cluster = Cluster::start("runbook_redis_full")?;
    let mut runs = in_mid_run(&mut cluster)?;
    cluster.redis.command::<String>(&["CONFIG", "SET", "maxmemory", "1"])?;
    runs.extend(cluster.client.submit_all("naps-5", &vec![json!(null); 3])?);
    Runbook::open("redis", &cluster, &[])?.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn somebody_holds_rows_of_the_database() -> Result<()> {
    let mut cluster = Cluster::start("runbook_slow_database")?;
    pipelines::batch(&cluster)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(40, 10))?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value("select coalesce(max(checkpoint_ordinal), 0) > 2 from step")
    })?;
    let rows =
        format!("select from run where id = '{run}' for update; select from step where run_id = '{run}' for update");
    let held = cluster.database.hold(&rows)?;
    logged(&cluster, "a", "somebody else's transaction holds the run")?;
    let other = cluster.submit("batch", &pipelines::batch_of(3, 1))?;
    cluster.succeeds(other, bounds::RUN)?;
    let holder = "select pid::text from pg_stat_activity where state = 'idle in transaction'";
    let fills = [("RUN", run.to_string()), ("PID", cluster.database.value(holder)?)];
    Runbook::open("slow-database", &cluster, &fills)?.finish(&mut cluster)?;
    ensure!(held.release().is_err(), "its session was ended");
    cluster.succeeds(run, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn everything_was_down() -> Result<()> {
    let mut cluster = Cluster::start("runbook_recovery")?;
    pipelines::batch(&cluster)?;
    cluster.worker("a").start()?;
    cluster.worker("b").start()?;
    let runs = cluster.client.submit_all("batch", &vec![pipelines::batch_of(40, 10); 4])?;
    wait::until_true(bounds::RUN, "a checkpoint", || {
        cluster.database.value("select exists (select from step where status = 'running' and checkpoint_ordinal > 1)")
    })?;
    for worker in ["a", "b"] {
        cluster.the(worker)?.kill9();
    }
    until_interrupted(&cluster)?;
    cluster.api()?.kill9();
    cluster.redis_server.stop();
    cluster.postgres.stop()?;
    Runbook::open("recovery", &cluster, &[])?.finish(&mut cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

/// A disk of a few hundred mebibytes, in memory. It is unmounted when it is dropped, and nobody may use it by then.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pawl-small-disk-").tempdir()?;
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let disk = Self { folder };
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m,mode=755", "tmpfs"]).arg(disk.path()))?;
        Ok(disk)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the data of a server here, which goes on with them.
    fn take_in(&self, cluster: &mut Cluster) -> Result<PathBuf> {
        let before: String = cluster.database.value("show data_directory")?;
        let here = self.path().join("data");
        cluster.postgres.stop()?;
        run(Command::new("cp").arg("--archive").arg(&before).arg(&here))?;
        std::fs::remove_dir_all(&before)?;
        std::os::unix::fs::symlink(&here, &before)?;
        cluster.postgres.launch()?;
        let is_back = || Ok(cluster.client.get("/ready")?.status == 200);
        wait::until_true(bounds::PROCESS, "the API to find it again", is_back)?;
        Ok(here)
    }

    /// Fills it to the last byte with a file that is nobody's.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.path().join("old.dump");
        let mut file = File::create(&path)?;
        for size in [1 << 20, 1 << 12, 1] {
            let piece = vec![0; size];
            while file.write_all(&piece).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg("--lazy").arg(self.path())) {
            eprintln!("{} is left: {error:#}", self.path().display());
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let ended = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

#[test]
fn the_disk_of_the_database_is_full() -> Result<()> {
    // Outlives the server.
    let disk = SmallDisk::mount()?;
    let mut cluster = Cluster::start("runbook_disk")?;
    let data = disk.take_in(&mut cluster)?;
    // A worker is quick to look after what has a short term; nothing here is cancelled.
    cluster.set("PAWL_RETENTION_CANCELLED", "1m");
    let runs = in_mid_run(&mut cluster)?;
    wait::until_true(bounds::RECOVERY, "a worker to look after retention", || {
        Ok(!cluster.pawl(&["retention", "status"])?.contains("no worker has looked after"))
    })?;
    let junk = disk.fill()?;
    let large = json!({"items": 0, "padding": "x".repeat(900_000)});
    wait::until_true(bounds::RECOVERY, "a submission to be refused", || {
        let answer = runtime::block_on(cluster.client.try_submit("naps-5", &large, None))?;
        Ok(answer.status == 503)
    })?;
    let log = cluster.postgres.log();
    wait::until_true(bounds::PROCESS, "Postgres to say why", || {
        Ok(std::fs::read_to_string(&log)?.contains("No space left on device"))
    })?;
    let fills = [("PGDATA", data.display().to_string()), ("JUNK", junk.display().to_string())];
    Runbook::open("disk", &cluster, &fills)?.finish(&mut cluster)?;
    for run in runs {
        cluster.succeeds(run, bounds::RECOVERY)?;
    }
    cluster.finish()
}

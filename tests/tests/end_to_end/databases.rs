//! Databases that refuse for a while, and what may stand between them and Pawl: nothing that was answered is lost, nothing is
//! taken for a fault of what was sent, and what can't work is said at the start.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pawl_domain::id::RunId;
use pawl_rehearsal::private::{Process, free_port};
use pawl_tests::{Cluster, Scrape, binary, bounds, wait};
use serde_json::json;

use crate::pipelines;
use crate::redis::certificates_of;

/// A busy cluster.
fn busy(name: &str) -> Result<(Cluster, Vec<RunId>)> {
    let mut cluster = Cluster::start(name)?;
    pipelines::chain_of_naps(&cluster, 5)?;
    cluster.start_api(&[])?;
    cluster.worker("a").default_lease().start()?;
    let runs = cluster.client.submit_all("naps-5", &vec![json!(null); 12])?;
    wait::until_true(bounds::RUN, "a run to end", || {
        cluster.database.value("select exists (select from run where ended_at is not null)")
    })?;
    Ok((cluster, runs))
}

/// What `/ready` says.
fn ready(cluster: &Cluster) -> Result<(bool, String)> {
    let answer = cluster.client.get("/ready")?;
    Ok((answer.status == 200, String::from_utf8_lossy(&answer.body).into_owned()))
}

/// Nobody was blamed: no step failed, was parked, or lost its outcome.
fn nothing_was_refused(cluster: &Cluster) -> Result<()> {
    let blamed = "select count(*) from step where failures > 0 or status in ('failed', 'parked')";
    assert_eq!(cluster.database.value::<i64>(blamed)?, 0);
    let log = std::fs::read_to_string(cluster.log("a"))?;
    assert!(!log.contains("was refused"), "an outage was taken for a fault of what was sent");
    Ok(())
}

#[test]
fn a_database_that_is_read_only_for_a_while_delays_and_loses_nothing() -> Result<()> {
    let (cluster, mut runs) = busy("read_only")?;
    let set = |value: &str| {
        cluster.database.execute(&format!("alter system {value}"))?;
        cluster.database.execute("select pg_reload_conf()")
    };
    set("set default_transaction_read_only = on")?;
    wait::until_true(bounds::PROCESS, "the API to say so", || {
        let (is_ready, said) = ready(&cluster)?;
        Ok(!is_ready && said.contains("read only"))
    })?;
    let figures = |name: &str, value: f64| {
        wait::until_true(bounds::PROCESS, &format!("{name} to be {value}"), || {
            Ok(Scrape::of(&cluster.client)?.sum(name, &[]) == value)
        })
    };
    figures("pawl_store_up", 0.0)?;
    let refused = cluster.client.post("/v1/runs", "application/json", json!({"pipeline": "naps-5"}).to_string())?;
    assert_eq!(refused.status, 503);
    std::thread::sleep(Duration::from_secs(10));
    set("reset default_transaction_read_only")?;
    wait::until_true(bounds::PROCESS, "the API to be ready", || Ok(ready(&cluster)?.0))?;
    figures("pawl_store_up", 1.0)?;
    runs.extend(cluster.client.submit_all("naps-5", &vec![json!(null); 2])?);
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    nothing_was_refused(&cluster)?;
    cluster.finish()
}

#[test]
fn a_role_whose_password_was_changed_waits_and_loses_nothing() -> Result<()> {
    let (cluster, runs) = busy("password_changed")?;
    // Logins are refused, and sessions that there are end: as it is when a password was changed, until it is put right.
    cluster.database.execute("alter role pawl nologin")?;
    cluster.database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'pawl' and application_name = 'pawl'",
    )?;
    wait::until_true(bounds::PROCESS, "the API to say so", || Ok(!ready(&cluster)?.0))?;
    let refused = cluster.client.post("/v1/runs", "application/json", json!({"pipeline": "naps-5"}).to_string())?;
    assert_eq!(refused.status, 503, "it may come again: {}", String::from_utf8_lossy(&refused.body));
    cluster.database.execute("alter role pawl login")?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    nothing_was_refused(&cluster)?;
    cluster.finish()
}

/// A PgBouncer in front of a cluster's Postgres.
struct Pooler {
    /// The database's, through it.
    url: String,
    _process: Process,
    /// Where another user can read it.
    _folder: tempfile::TempDir,
}

impl Pooler {
    fn start(cluster: &Cluster, mode: &str) -> Result<Self> {
        let (port, server) = (free_port()?, cluster.postgres.port());
        let mut settings = String::new();
        writeln!(settings, "[databases]\n* = host=127.0.0.1 port={server} user=pawl")?;
        writeln!(settings, "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =")?;
        writeln!(settings, "auth_type = any\npool_mode = {mode}\ndefault_pool_size = 40")?;
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings)?;
        let programs = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];
        let program = programs.into_iter().find(|path| Path::new(path).exists()).context("no pgbouncer")?;
        let mut command = Command::new(program);
        if rustix::process::getuid().is_root() {
            // It refuses to run as root.
            command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", program]);
        }
        command.arg(&file);
        let process = Process::spawn("pgbouncer", command, &cluster.log("pgbouncer"))?;
        wait::until_true(bounds::PROCESS, "pgbouncer to listen", || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        let url = cluster.postgres.url().replace(&format!(":{server}/"), &format!(":{port}/"));
        Ok(Self { url, _process: process, _folder: folder })
    }
}

#[test]
fn a_pooler_that_keeps_sessions_is_as_good_as_the_server() -> Result<()> {
    let mut cluster = Cluster::start("pooled_sessions")?;
    pipelines::chain_of_naps(&cluster, 5)?;
    let pooler = Pooler::start(&cluster, "session")?;
    let url = pooler.url.as_str();
    cluster.start_api(&[("PAWL_DATABASE_URL", url)])?;
    cluster.worker("a").set("PAWL_DATABASE_URL", url).start()?;
    let runs = cluster.client.submit_all("naps-5", &vec![json!(null); 5])?;
    cluster.all_succeed(&runs, bounds::RUN)?;
    let sessions = "select count(*) from pg_stat_activity where application_name = 'pawl'";
    assert!(cluster.database.value::<i64>(sessions)? > 2, "all go through the pooler, under their name");
    cluster.worker("b").set("PAWL_DATABASE_URL", url).start()?;
    cluster.the("a")?.kill9();
    let more = cluster.client.submit_all("naps-5", &vec![json!(null); 2])?;
    cluster.all_succeed(&more, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_pooler_that_lends_servers_for_transactions_is_refused_at_the_start() -> Result<()> {
    let cluster = Cluster::start("pooled_transactions")?;
    let pooler = Pooler::start(&cluster, "transaction")?;
    for role in ["api", "worker"] {
        let mut command = binary::pawl()?;
        command.arg(role).envs(cluster.environment()).env("PAWL_DATABASE_URL", &pooler.url);
        if role == "api" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut process = Process::spawn(role, command, &cluster.log(role))?;
        let status = process.wait(bounds::PROCESS)?.with_context(|| format!("{role} goes on"))?;
        let said = std::fs::read_to_string(cluster.log(role))?;
        assert!(!status.success() && said.contains("pool_mode = session"), "{role}: {said}");
    }
    cluster.finish()
}

#[test]
fn a_certificate_of_the_database_that_ends_soon_is_told() -> Result<()> {
    let cluster = Cluster::start("database_tls")?;
    // Not spoken to over TLS, and no file named.
    assert_eq!(certificates_of(&cluster)?, [(String::new(), "ok".to_owned(), -1)]);
    // In the folder of its data, as its own user.
    let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 5 -keyout server.key \
                -out server.crt -subj /CN=db && chmod 600 server.key";
    cluster.database.execute(&format!("copy (select 1) to program '{make}'"))?;
    cluster.database.execute("alter system set ssl = on")?;
    cluster.database.execute("select pg_reload_conf()")?;
    let subject = format!("postgres 127.0.0.1:{}", cluster.postgres.port());
    wait::until_true(bounds::PROCESS, "it to be told", || {
        let found = certificates_of(&cluster)?;
        Ok(matches!(&found[..], [(of, status, 4..=5)] if *of == subject && status == "warn"))
    })?;
    cluster.finish()
}

#[test]
fn a_server_without_connections_left_is_told_by_each_command_and_none_of_them_hangs() -> Result<()> {
    let cluster = Cluster::start("no_connections_left")?;
    let mut sessions = Vec::new();
    let refused = loop {
        match cluster.database.snapshot() {
            Ok(session) => sessions.push(session),
            Err(refused) => break format!("{refused:#}"),
        }
        anyhow::ensure!(sessions.len() < 10_000, "the server takes any number of connections");
    };
    assert!(refused.contains("clients"), "{refused}");
    for command in ["doctor", "migrate"] {
        let begun = Instant::now();
        let ended = cluster.try_pawl(&[command])?;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "`pawl {command}` says that all is well");
        assert!(said.contains("too many") && begun.elapsed() < bounds::PROCESS, "{:?}: {said}", begun.elapsed());
    }
    drop(sessions);
    cluster.finish()
}

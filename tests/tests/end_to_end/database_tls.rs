//! The way to Postgres: over TLS and to nobody else than is meant, unless somebody says otherwise; and what is said when that
//! can't be. Servers of tests are on this machine, of which Pawl asks for nothing. So they get a name by which it does not know
//! the machine: an address in hexadecimal digits, which the system reads as one.

use std::path::Path;

use anyhow::{Result, ensure};
use pawl_tests::certificates::{Authority, Signed};
use pawl_tests::{Cluster, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// 127.0.0.1, as `inet_aton` reads it; the second has two parts.
const ELSEWHERE: &str = "0x7f000001";
const BY_ANOTHER_NAME: &str = "0x7f.0x1";

/// The cluster's database, at that host, with these parameters.
fn url(cluster: &Cluster, user: &str, host: &str, parameters: &str) -> String {
    format!("postgres://{user}@{host}:{}/postgres?{parameters}", cluster.postgres.port())
}

/// What `pawl migrate` says that is given such a URL, and its exit code. It must not wait for what no waiting mends.
fn said(cluster: &Cluster, url: &str, variables: &[(&str, &str)]) -> Result<(Option<i32>, String)> {
    let mut command = cluster.command()?;
    command.arg("migrate").env("PAWL_DATABASE_URL", url).envs(variables.iter().copied());
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!said.contains("waiting up to"), "{said}");
    Ok((output.status.code(), said))
}

fn is_refused(cluster: &Cluster, url: &str, fix: &str) -> Result<()> {
    let (code, said) = said(cluster, url, &[])?;
    ensure!(code == Some(2) && said.contains(fix), "{url}: {code:?} {said}");
    Ok(())
}

fn is_taken(cluster: &Cluster, url: &str, variables: &[(&str, &str)]) -> Result<()> {
    let (code, said) = said(cluster, url, variables)?;
    ensure!(code == Some(0), "{url}: {code:?} {said}");
    Ok(())
}

/// Has the server speak TLS with that certificate, and let the role `certified` in by a certificate of the authority alone.
fn speak_tls(cluster: &Cluster, authority: &Authority, shown: &Signed) -> Result<()> {
    for (file, name) in
        [(&*shown.certificate, "server.crt"), (&*shown.key, "server.key"), (&*authority.ca(), "root.crt")]
    {
        keep(cluster, file, name)?;
    }
    let rules = "hostssl all certified 127.0.0.1/32 cert\\nlocal all all trust\\nhost all all 127.0.0.1/32 trust\\n";
    let write = format!("chmod 600 server.key && printf ''{rules}'' > pg_hba.conf");
    cluster.database.execute(&format!("copy (select 1) to program '{write}'"))?;
    cluster.database.execute("create role certified superuser login")?;
    cluster.database.execute("alter system set ssl_ca_file = 'root.crt'")?;
    cluster.database.execute("alter system set ssl = on")?;
    cluster.database.execute("select pg_reload_conf()")?;
    wait::until_true(bounds::PROCESS, "the server to speak TLS", || {
        cluster.database.value("select current_setting('ssl') = 'on'")
    })
}

/// Puts a file beside the server's data, as the server's own user.
fn keep(cluster: &Cluster, file: &Path, name: &str) -> Result<()> {
    let bytes: String = std::fs::read(file)?.iter().map(|byte| format!("{byte:02x}")).collect();
    // One after the other: a statement does not see what it makes itself.
    cluster.database.execute(&format!(
        "select lo_from_bytea(7, decode('{bytes}', 'hex')); select lo_export(7, '{name}'); select lo_unlink(7)"
    ))
}

#[test]
fn a_database_elsewhere_is_spoken_to_over_tls_by_whom_it_is_meant_unless_somebody_says_otherwise() -> Result<()> {
    let mut cluster = Cluster::start("database_verified")?;
    let elsewhere = |parameters: &str| url(&cluster, "pawl", ELSEWHERE, parameters);

    // It speaks none: who says nothing is told, and who says so goes without.
    is_refused(&cluster, &elsewhere(""), "sslmode=disable")?;
    is_taken(&cluster, &elsewhere("sslmode=disable"), &[])?;
    is_taken(&cluster, &elsewhere(""), &[("PGSSLMODE", "disable")])?;
    is_taken(&cluster, &url(&cluster, "pawl", "127.0.0.1", ""), &[])?;
    let doctor = cluster.command()?.args(["doctor", "--quick"]).env("PAWL_DATABASE_URL", elsewhere("")).output()?;
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(told.contains("fail  database") && told.contains("sslmode=disable"), "{told}");

    let authority = Authority::new(&cluster.folder().join("certificates"))?;
    speak_tls(&cluster, &authority, &authority.sign("db", &format!("DNS:{ELSEWHERE}"))?)?;
    let ca = format!("sslrootcert={}", authority.ca().display());
    is_refused(&cluster, &elsewhere(""), "sslrootcert=FILE")?;
    is_taken(&cluster, &elsewhere("sslmode=require"), &[])?;
    is_taken(&cluster, &elsewhere(&ca), &[])?;
    is_taken(&cluster, &elsewhere(""), &[("PGSSLROOTCERT", &*authority.ca().to_string_lossy())])?;
    let other = |parameters: &str| url(&cluster, "pawl", BY_ANOTHER_NAME, parameters);
    is_refused(&cluster, &other(&ca), "sslmode=verify-ca")?;
    is_taken(&cluster, &other(&format!("{ca}&sslmode=verify-ca")), &[])?;
    // A CA that is named is looked at, as libpq has it.
    let stranger = Authority::new(&cluster.folder().join("stranger"))?;
    let by_stranger = format!("sslmode=require&sslrootcert={}", stranger.ca().display());
    is_refused(&cluster, &elsewhere(&by_stranger), "sslrootcert=FILE")?;
    is_refused(&cluster, &elsewhere("sslrootcert=/nowhere/ca.pem"), "name files (PEM)")?;

    // By a certificate of a client, and not without.
    let certified = |parameters: &str| url(&cluster, "certified", ELSEWHERE, &format!("{ca}{parameters}"));
    let own = authority.sign("certified", "DNS:certified")?;
    is_refused(&cluster, &certified(""), "refuses the user")?;
    let shown = format!("&sslcert={}&sslkey={}", own.certificate.display(), own.key.display());
    is_taken(&cluster, &certified(&shown), &[])?;
    is_refused(&cluster, &certified(&format!("&sslcert={}", own.certificate.display())), "the last two together")?;
    let misspelt = said(&cluster, &elsewhere(""), &[("PGSSLMODE", "verify_full")])?;
    ensure!(misspelt.0 == Some(2) && misspelt.1.contains("PGSSLMODE is \"verify_full\""), "{misspelt:?}");

    let url = certified(&shown);
    cluster.set("PAWL_DATABASE_URL", url);
    cluster.start_api(&[])?;
    pipelines::chain(&cluster, 2)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("chain-2", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    let open = "select count(*) from pg_stat_activity join pg_stat_ssl using (pid) where application_name = 'pawl' and not ssl";
    ensure!(cluster.database.value::<i64>(open)? == 0, "all of it goes over TLS");
    ensure!(cluster.pawl(&["doctor", "--quick"])?.contains("postgres 0x7f000001"), "its certificate is looked at");
    cluster.finish()
}

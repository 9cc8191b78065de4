//! A Redis that is not open to all: with TLS, certificates of clients, and a user who may do what Pawl does, and nothing else. What
//! is refused is said with what mends it.

use anyhow::{Result, bail, ensure};
use pawl_rehearsal::private::{PrivateRedis, free_port};
use pawl_tests::certificates::{Authority, Signed};
use pawl_tests::{Cluster, Redis, binary, bounds, wait};
use serde_json::json;

use crate::pipelines;
use crate::redis::{FOUND_AS_LOST, certificates_of, said, wait_until_ready_says};

/// Why an installation with TLS is not ready.
const UNTRUSTED: &str = "nobody who is trusted here has signed its certificate: name its CA in redis_ca";

/// The command of docs/redis.md that makes a user, without its words about keys and channels; and what it says of them.
fn documented() -> Result<(Vec<String>, String)> {
    let page = std::fs::read_to_string(binary::repository().join("docs/redis.md"))?;
    let Some(begin) = page.find("ACL SETUSER pawl ") else { bail!("the page has no user") };
    let text = page[begin..].split("```").next().unwrap_or_default();
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    Ok((words, text.to_owned()))
}

/// A server with TLS on a second port; and that port.
fn secure(cluster: &Cluster, authority: &Authority, shown: &Signed, clients: &str) -> Result<(PrivateRedis, String)> {
    let port = free_port()?.to_string();
    let text = |file: &std::path::Path| file.to_string_lossy().into_owned();
    let (certificate, key, ca) = (text(&shown.certificate), text(&shown.key), text(&authority.ca()));
    let options = ["--tls-port", &port, "--tls-auth-clients", clients, "--tls-ca-cert-file", &ca];
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let folder = cluster.folder().join(format!("secure-{clients}"));
    Ok((PrivateRedis::start_with(&folder, &[&options[..], &files].concat())?, port))
}

#[test]
fn a_redis_with_tls_and_users_serves_who_trusts_it_and_says_what_is_refused() -> Result<()> {
    let mut cluster = Cluster::start("redis_tls")?;
    let authority = Authority::new(&cluster.folder().join("certificates"))?;
    let shown = authority.sign("redis", "DNS:localhost")?;
    let (server, port) = secure(&cluster, &authority, &shown, "no")?;
    let hands = Redis::new(&server.url())?;
    let (words, _) = documented()?;
    let words: Vec<&str> =
        words.iter().map(|word| if word == ">password" { ">a secret@/" } else { word.as_str() }).collect();
    hands.command::<String>(&words)?;
    cluster.use_redis(&server.url())?;
    let url = |host: &str, password: &str| format!("rediss://pawl:{password}@{host}:{port}/");
    let (good, ca) = (url("localhost", "a%20secret%40%2F"), authority.ca().to_string_lossy().into_owned());

    // Not trusted, not that name, then not let in, then held to other keys: each is said.
    cluster.set("PAWL_REDIS_PREFIX", "team:pawl");
    cluster.start_api(&[("PAWL_REDIS_URL", &good)])?;
    wait_until_ready_says(&cluster, Some(UNTRUSTED))?;
    cluster.set("PAWL_REDIS_CA", &ca);
    for (url, why) in [
        (url("127.0.0.1", "a%20secret%40%2F"), "its certificate is for other names"),
        (url("localhost", "wrong"), "(WRONGPASS)"),
    ] {
        cluster.start_api(&[("PAWL_REDIS_URL", &url)])?;
        wait_until_ready_says(&cluster, Some(why))?;
    }
    cluster.set("PAWL_REDIS_URL", &good);
    cluster.start_api(&[("PAWL_REDIS_PREFIX", "other")])?;
    wait_until_ready_says(&cluster, Some("(NOPERM)"))?;

    cluster.start_api(&[])?;
    wait_until_ready_says(&cluster, None)?;
    let checks = certificates_of(&cluster)?;
    let [(bundle, warns, days), (of_server, warns_too, _)] = &checks[..] else { bail!("two: {checks:?}") };
    ensure!(*bundle == format!("redis_ca {ca}") && *of_server == format!("redis localhost:{port}"), "{checks:?}");
    ensure!(warns == "warn" && warns_too == "warn" && (1..=2).contains(days), "{checks:?}");
    cluster.finish()
}

#[test]
fn a_user_with_the_rights_that_are_documented_can_do_all_that_pawl_does() -> Result<()> {
    let mut cluster = Cluster::start("redis_rights")?;
    let server = PrivateRedis::start(&cluster.folder().join("guarded"))?;
    let hands = Redis::new(&server.url())?;
    let (words, text) = documented()?;
    ensure!(!text.contains("+@") && !text.contains("allcommands"), "commands, and no classes of them: {text}");
    hands.command::<String>(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    // What the page says of doctor.
    hands.command::<String>(&["ACL", "SETUSER", "pawl", "+info", "+config|get"])?;
    cluster.use_redis(&server.url())?;
    cluster.set("PAWL_REDIS_URL", server.url().replace("redis://", "redis://pawl:password@"));
    cluster.set("PAWL_REDIS_PREFIX", "team:pawl");
    cluster.start_api(&[])?;
    wait_until_ready_says(&cluster, None)?;

    pipelines::chain(&cluster, 2)?;
    cluster.push("runaway")?;
    cluster.apply("name = \"bad\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\nretry = { max_attempts = 1 }\n")?;
    cluster.worker("a").default_lease().start()?;
    for number in 0..5 {
        let run = cluster.submit("chain-2", &json!(number))?;
        cluster.succeeds(run, bounds::RUN)?;
    }
    ensure!(!said(&cluster, "a").contains(FOUND_AS_LOST), "a step was not delivered");
    // A dead letter is told, and looked after.
    let bad = cluster.submit("bad", &json!({"mode": "trap"}))?;
    ensure!(cluster.ends(bad, bounds::RUN)?.as_str() == "failed");
    let installation: String = cluster.database.value("select id::text from installation")?;
    let letters = format!("team:pawl:{{{installation}}}:dead-letters");
    wait::until_true(bounds::PROCESS, "the dead letter to be told", || {
        Ok(hands.command::<i64>(&["XLEN", &letters])? > 0)
    })?;
    ensure!(cluster.pawl(&["dead-letter", "list"])?.contains("bad"));
    for words in [&["queue", "list"][..], &["queue", "show", "default"]] {
        cluster.pawl(words)?;
    }
    // A takeover, and what becomes of the dead one's messages; a worker that is sent away.
    cluster.worker("b").default_lease().start()?;
    cluster.the("a")?.kill9();
    let run = cluster.submit("chain-2", &json!(7))?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    cluster.worker("c").default_lease().start()?;
    cluster.the("b")?.terminate(bounds::PROCESS)?;
    let run = cluster.submit("chain-2", &json!(8))?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let found = cluster.try_pawl(&["doctor"])?;
    let found = String::from_utf8(found.stdout)?;
    ensure!(found.contains("it takes deliveries") && !found.contains("unknown  redis"), "{found}");

    let keys: Vec<String> = hands.command(&["KEYS", "*"])?;
    ensure!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("team:pawl:")), "{keys:?}");
    let refused: Vec<redis::Value> = hands.command(&["ACL", "LOG"])?;
    ensure!(refused.is_empty(), "refused: {refused:?}");
    cluster.finish()
}

#[test]
fn a_redis_that_wants_certificates_of_clients_is_shown_one() -> Result<()> {
    let mut cluster = Cluster::start("redis_clients")?;
    let authority = Authority::new(&cluster.folder().join("certificates"))?;
    let shown = authority.sign("redis", "DNS:localhost")?;
    let (server, port) = secure(&cluster, &authority, &shown, "yes")?;
    cluster.use_redis(&server.url())?;
    cluster.set("PAWL_REDIS_URL", format!("rediss://localhost:{port}/"));
    cluster.set("PAWL_REDIS_CA", authority.ca().to_string_lossy());
    cluster.start_api(&[])?;
    wait_until_ready_says(&cluster, Some("Redis is not available"))?;
    let Signed { certificate, key } = authority.sign("pawl", "DNS:pawl")?;
    cluster.set("PAWL_REDIS_CERTIFICATE", certificate.to_string_lossy());
    let alone = cluster.try_pawl(&["doctor", "--quick"])?;
    ensure!(
        String::from_utf8_lossy(&alone.stderr).contains("redis_certificate and redis_key go together"),
        "{alone:?}"
    );
    cluster.set("PAWL_REDIS_KEY", key.to_string_lossy());
    cluster.start_api(&[])?;
    wait_until_ready_says(&cluster, None)?;
    pipelines::chain(&cluster, 2)?;
    cluster.worker("a").start()?;
    let run = cluster.submit("chain-2", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    let checks = certificates_of(&cluster)?;
    ensure!(
        checks.iter().any(|(of, _, _)| *of == format!("redis_certificate {}", certificate.display())),
        "{checks:?}"
    );
    cluster.finish()
}

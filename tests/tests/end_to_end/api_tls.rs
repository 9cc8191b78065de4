//! An API that speaks TLS itself, and a worker that tells its figures so: commands find it by `api_ca`, and say what is wrong.

use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use pawl_rehearsal::private::{Process, free_port};
use pawl_tests::certificates::Authority;
use pawl_tests::{Cluster, bounds, wait};

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn commands_speak_https_with_whom_they_trust_and_say_what_is_wrong_otherwise() -> Result<()> {
    let mut cluster = Cluster::start("api_https")?;
    let authority = Authority::new(&cluster.folder().join("certificates"))?;
    let shown = authority.sign("api", "DNS:localhost,IP:127.0.0.1")?;
    let (api, figures) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
    cluster.set("PAWL_TLS_CERTIFICATE", shown.certificate.to_string_lossy());
    cluster.set("PAWL_TLS_KEY", shown.key.to_string_lossy());
    let start = |role: &str| -> Result<Process> {
        let mut command = cluster.command()?;
        command.arg(role).env("PAWL_LISTEN", &api).env("PAWL_METRICS_LISTEN", &figures);
        Process::spawn(role, command, &cluster.log(&format!("https-{role}")))
    };
    let (mut serving, mut working) = (start("api")?, start("worker")?);

    let ask = |words: &[&str], url: &str, ca: Option<&str>| -> Result<Output> {
        let mut command = cluster.command()?;
        command.args(words).env("PAWL_API_URL", url);
        if let Some(ca) = ca {
            command.args(["--api-ca", ca]);
        }
        Ok(command.output()?)
    };
    let (secure, ca) = (format!("https://{api}"), authority.ca().to_string_lossy().into_owned());
    for (process, url) in [(&mut serving, &secure), (&mut working, &format!("https://{figures}"))] {
        wait::until_true(bounds::PROCESS, "it to be ready over TLS", || {
            process.ensure_running()?;
            Ok(ask(&["ready"], url, Some(&ca))?.status.success())
        })?;
    }
    let listed = ask(
        &["worker", "list"],
        &format!("https://localhost:{}", api.rsplit(':').next().context("a port")?),
        Some(&ca),
    )?;
    ensure!(listed.status.success(), "{}", told(&listed));
    for (url, ca, says) in [
        (&secure, None, "--api-ca"),
        (&format!("http://{api}"), Some(&*ca), "https://"),
        (&format!("http://{figures}"), None, "https://"),
        (&format!("https://{}", cluster.client.url("").trim_start_matches("http://")), Some(&*ca), "it speaks no TLS"),
        (&secure, Some("/nowhere/ca.pem"), "api_ca is /nowhere/ca.pem"),
    ] {
        let refused = ask(&["worker", "list"], url, ca)?;
        ensure!(!refused.status.success() && told(&refused).contains(says), "{url}: {}", told(&refused));
    }
    let doctor = ask(&["doctor", "--quick"], &secure, None)?;
    ensure!(told(&doctor).contains(&format!("api {api}")), "its certificate is looked at: {}", told(&doctor));

    // What does not go together is said before anything listens.
    let other = authority.sign("other", "DNS:other")?;
    for (variables, says) in [
        (&[("PAWL_TLS_KEY", other.key.to_string_lossy())][..], "they do not go together"),
        (&[("PAWL_TLS_KEY", "".into())], "tls_certificate and tls_key go together"),
        (&[("PAWL_TLS_CERTIFICATE", ca.as_str().into())], "they do not go together"),
    ] {
        let mut command = cluster.command()?;
        command.args(["api", "--listen", "127.0.0.1:0"]);
        command.envs(variables.iter().map(|(name, value)| (*name, &**value)));
        let refused = command.output()?;
        ensure!(!refused.status.success() && told(&refused).contains(says), "{}", told(&refused));
    }
    working.terminate(bounds::PROCESS)?;
    serving.terminate(bounds::PROCESS)?;
    cluster.finish()
}

//! A Prometheus of a test's own: it reads the test's processes, and evaluates the rules of `deploy/prometheus` as that of an
//! installation does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use pawl_rehearsal::private::{Process, free_port};
use serde_json::{Value, json};

use crate::{Client, binary, bounds, wait};

/// A running Prometheus; it ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    client: Client,
    _process: Process,
}

impl Prometheus {
    /// Starts to read these, each a `host:port`, as the job `pawl`, every 5 s.
    ///
    /// # Errors
    /// If it does not start; `make pressure` and `make test` install it.
    pub fn start(folder: &Path, targets: &[String]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let rules = binary::repository().join("deploy/prometheus/rules.yaml");
        // JSON is YAML, too.
        let config = json!({
            "global": { "scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "5s" },
            "rule_files": [rules],
            "scrape_configs": [{ "job_name": "pawl", "static_configs": [{ "targets": targets }] }],
        });
        let file = folder.join("prometheus.yaml");
        std::fs::write(&file, serde_json::to_vec(&config)?)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let mut process = Process::spawn("prometheus", command, &folder.join("prometheus.log"))?;
        let client = Client::new(format!("http://{address}"))?;
        wait::until_true(bounds::PROCESS, "Prometheus to be ready", || {
            process.ensure_running()?;
            Ok(client.get("/-/ready").is_ok_and(|answer| answer.status == 200))
        })?;
        Ok(Self { client, _process: process })
    }

    /// The names of all alerts that fire.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn firing(&self) -> anyhow::Result<BTreeSet<String>> {
        let answer: Value = self.client.get("/api/v1/alerts")?.read()?;
        let alerts = answer["data"]["alerts"].as_array().context("alerts")?;
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        Ok(firing.filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned)).collect())
    }

    /// What an expression gives now, over all its series; 0 if there is none.
    ///
    /// # Errors
    /// If it is none, or there is no answer.
    pub fn sum(&self, expression: &str) -> anyhow::Result<f64> {
        let path: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer: Value = self.client.get(&format!("/api/v1/query?query={path}"))?.read()?;
        let series = answer["data"]["result"].as_array().with_context(|| format!("{expression}: {answer}"))?;
        let value = |of: &Value| of["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
        series.iter().map(|of| value(of).context("a number")).sum()
    }
}

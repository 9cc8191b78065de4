//! Schemathesis against a running API with a real store, queue and worker: it makes requests of the document, good and bad ones,
//! and holds each answer against it. <https://schemathesis.readthedocs.io>

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use pawl_api::types::AppliedPipeline;
use serde_json::json;

use crate::served::{Api, PIPELINE};

/// How long it asks, s.
const BUDGET: &str = "45";

/// The token of the API: that it is wanted everywhere is checked, too.
const TOKEN: &str = "s3cret";

#[test]
fn schemathesis_finds_nothing() -> anyhow::Result<()> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = tests.join("../.pawl/schemathesis/bin/schemathesis");
    ensure!(program.is_file(), "{} is missing: run `.ci/setup test`", program.display());
    let mut api = Api::start("api_schemathesis")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let _worker = api.worker()?;
    api.submit(&json!(1))?;
    api.stop()?;
    api.config.token = Some(TOKEN.to_owned());
    // It tries many wrong ones.
    api.config.failures = u32::MAX;
    api.serve()?;

    // The same each time, so that a change is told from chance; whoever looks for more gives others.
    let seed = std::env::var("PAWL_SEED").unwrap_or_else(|_| "1".to_owned());
    let fixtures = tests.join("fixtures/schemathesis");
    let mut command = Command::new(&program);
    // Where it leaves what it has found.
    let notes = tempfile::tempdir()?;
    command.current_dir(notes.path()).env("SCHEMATHESIS_HOOKS", "media_types").env("PYTHONPATH", &fixtures);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg("--config-file").arg(fixtures.join("schemathesis.toml"));
    command.args(["run", &api.client.url("/openapi.json"), "--no-color", "--max-time", BUDGET, "--seed", &seed]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--generation-database", "none"]);
    let output = command.output().context("schemathesis can't be started")?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
    ensure!(output.status.success(), "schemathesis has found something: PAWL_SEED={seed}");
    api.stop()
}

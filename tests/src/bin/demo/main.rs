//! `make demo`: two years of hourly temperatures go through the demo pipeline over HTTP; the worker that holds
//! the long steps is killed in the middle with `kill -9`, and the other one goes on from the checkpoint.
//!
//! It exits with 0 only if all that it shows was also verified ([`verify`]). Everything that it starts is
//! private and stopped at its end, by an error or Ctrl-C too.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

mod interruption;
mod story;
mod verify;

use std::process::ExitCode;

use anyhow::Context as _;
use pawl_tests::{Cluster, Target, binary, bounds, wait};
use serde_json::json;

use interruption::Interruption;
use story::Story;

/// Where a worker is killed: when the step that it holds has come this far.
const MIDDLE: f32 = 0.45;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut cluster = Cluster::start_in(binary::programs()?.join("demo-run"))?;
    let outside = serve_data()?;
    let story = Story::begin(&mut cluster)?;
    println!("Pawl: the temperatures of two cities, hour by hour, and a worker that dies in the middle\n");
    println!("servers    Postgres :{}, Redis :{}", cluster.postgres.port(), cluster.redis_server.port());
    println!("pawl       the API at {}, {}", cluster.client.url("/"), story.workers());

    push_and_apply(&cluster)?;
    let input = json!({"data_url": outside.url("/data"), "report_url": outside.url("/reports")});
    let run = cluster.submit("temperatures", &input)?;
    println!("run        {run}, submitted over HTTP\n");

    let mut interruption = Interruption::wait_for_the_middle(&cluster, run, MIDDLE)?;
    println!("{}", interruption.describe(&story));
    interruption.kill(&mut cluster, &story)?;
    interruption.watch_takeover(&cluster)?;
    cluster.succeeds(run, bounds::RECOVERY)?;

    let events = cluster.client.events(run)?;
    println!("\nTimeline\n{}", story.timeline(&events, &interruption));
    let resumed = verify::resumed(&cluster, run, &interruption)?;
    println!("\nResumed\n{}", resumed.table());
    let report = verify::report(&cluster, run, &outside)?;
    println!("\nResult\n{}", report.text());
    verify::history(&events)?;

    cluster.finish_with(&[&outside]).context("after the run, a promise did not hold")?;
    println!("\nverified   nothing before a checkpoint was done again, no retry was used up, the report was posted");
    println!("           once and agrees with the tables, and all invariants hold over the whole database");
    Ok(())
}

/// The outside world: it has the tables and takes the report.
fn serve_data() -> anyhow::Result<Target> {
    let outside = Target::start()?;
    for table in verify::TABLES {
        let file = binary::repository().join("plugins/demo/data").join(table.file);
        let bytes = std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
        outside.serve(&format!("/data/{}", table.file), bytes);
    }
    Ok(outside)
}

fn push_and_apply(cluster: &Cluster) -> anyhow::Result<()> {
    for plugin in ["demo-load", "demo-means", "demo-compare", "demo-publish"] {
        cluster.push(plugin)?;
    }
    let pipeline = binary::repository().join("plugins/demo/pipeline.toml");
    cluster.pawl(&["pipeline", "apply", &pipeline.to_string_lossy()])?;
    println!("pipeline   temperatures: load ×2 → means ×2 → compare → publish");
    Ok(())
}

/// Waits for something with the patience of a person.
fn soon<T>(what: &str, look: impl FnMut() -> anyhow::Result<wait::Look<T>>) -> anyhow::Result<T> {
    wait::until(bounds::RECOVERY, what, look)
}

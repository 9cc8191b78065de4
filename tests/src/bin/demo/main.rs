//! `make demo`: two years of hourly temperatures go through the demo pipeline over HTTP, in one `pawl dev`; it is
//! killed in the middle with `kill -9`, started again, and goes on from its checkpoints.
//!
//! It exits with 0 only if all that it shows was also verified ([`verify`]). Everything that it starts is stopped
//! at its end, by an error or Ctrl-C too.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

mod interruption;
mod story;
mod verify;

use std::process::ExitCode;

use anyhow::Context as _;
use pawl_tests::{Embedded, Target, binary, bounds, wait};
use serde_json::json;

use interruption::Interruption;

/// Where the process is killed: when a step that it holds has come this far.
const MIDDLE: f32 = 0.45;

/// The demo's plugins.
const PLUGINS: [&str; 4] = ["demo-load", "demo-means", "demo-compare", "demo-publish"];

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
    let pipeline = std::fs::read_to_string(binary::repository().join("plugins/demo/pipeline.toml"))?;
    let mut pawl = Embedded::prepare(binary::programs()?.join("demo-run"), &PLUGINS, &pipeline)?;
    let outside = serve_data()?;
    println!("Pawl: the temperatures of two cities, hour by hour, and a process that dies in the middle\n");
    pawl.start_process(&[])?;
    println!("pawl dev   at {}, pid {}: API, worker, SQLite, queue", pawl.client.url("/"), pawl.process()?.pid());
    println!("pipeline   temperatures: load ×2 → means ×2 → compare → publish");
    let input = json!({"data_url": outside.url("/data"), "report_url": outside.url("/reports")});
    let run = pawl.submit("temperatures", &input)?;
    println!("run        {run}, submitted over HTTP\n");

    let interruption = Interruption::in_the_middle(&mut pawl, run, MIDDLE)?;
    pawl.start_process(&[])?;
    println!("pawl dev   again, on the same folder, pid {}; nothing else has to happen ...", pawl.process()?.pid());
    pawl.succeeds(run, bounds::RECOVERY)?;

    let events = pawl.client.events(run)?;
    println!("\nTimeline\n{}", story::timeline(&events, &interruption));
    let resumed = verify::resumed(&pawl.client, run, &interruption)?;
    println!("\nResumed\n{}", resumed.table());
    let report = verify::report(&pawl.client, run, &outside)?;
    println!("\nResult\n{}", report.text());
    verify::history(&events)?;

    pawl.finish_with(&[&outside]).context("after the run, a promise did not hold")?;
    println!("\nverified   nothing before a checkpoint was done again, no retry was used up, the report was posted");
    println!("           once and agrees with the tables, and all invariants hold over the whole store");
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

/// Waits for something with the patience of a person.
fn soon<T>(what: &str, look: impl FnMut() -> anyhow::Result<wait::Look<T>>) -> anyhow::Result<T> {
    wait::until(bounds::RECOVERY, what, look)
}

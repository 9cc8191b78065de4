//! `make bench`: the five loads of `pawl bench` on private servers with fsync on, an API and one worker, and
//! each figure as a ratio to this machine's own floor, beside what it must reach; then the same on a `pawl dev`; then what
//! it costs to be [safe](guarded), and what [open pages](open_pages) cost. With a word, that part alone: `guarded`, `pages`.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::process::{ExitCode, Output};

use anyhow::Context as _;
use pawl_tests::{Cluster, Embedded, binary};
use serde_json::Value;

mod guarded;
mod open_pages;

/// One load and its goal.
struct Load {
    words: &'static [&'static str],
    figure: &'static str,
    goal: Goal,
    aim: Option<f64>,
}

enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

const LOADS: [Load; 5] = [
    Load {
        words: &["chain", "--steps", "10", "--in-flight", "256"],
        figure: "steps_per_floor_commit",
        goal: Goal::AtLeast(2.5),
        aim: Some(4.0),
    },
    Load {
        words: &["latency", "--steps", "10"],
        figure: "p50_in_floor_commits",
        goal: Goal::AtMost(24.0),
        aim: Some(16.0),
    },
    Load { words: &["latency", "--steps", "1"], figure: "p50_in_floor_commits", goal: Goal::AtMost(8.0), aim: None },
    Load {
        words: &["journal", "--entries", "1000"],
        figure: "entries_per_floor_commit",
        goal: Goal::AtLeast(20.0),
        aim: None,
    },
    Load {
        words: &["fanout", "--width", "1000"],
        figure: "p50_in_floor_commits",
        goal: Goal::AtMost(1_000.0),
        aim: None,
    },
];

fn main() -> ExitCode {
    let all = match std::env::args().nth(1).as_deref() {
        None => loads().and_then(|good| Ok(guarded::measure()? & open_pages::measure()? & good)),
        Some("guarded") => guarded::measure(),
        Some("pages") => open_pages::measure(),
        Some(other) => Err(anyhow::anyhow!("`{other}` is no part: `guarded` and `pages` are")),
    };
    match all {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all goals are reached. They are those of the servers; what one process does is shown beside.
fn loads() -> anyhow::Result<bool> {
    println!("{:<48} {:>9} {:>9} {:>9} {:>8}  goal", "load", "steps/s", "p50 ms", "floor/s", "ratio");
    let mut cluster = Cluster::start_in(binary::programs()?.join("bench-servers"))?;
    cluster.start_api(&[])?;
    cluster.worker("worker").default_lease().default_slots().start()?;
    let mut all_reached = true;
    for load in &LOADS {
        let ratio = measure(load, "", |words| cluster.try_pawl(words))?;
        let reached = load.goal.is_reached(ratio);
        all_reached &= reached;
        let aim = load.aim.map(|aim| format!(" (aim {aim})")).unwrap_or_default();
        println!("{}{aim}{}", load.goal, if reached { "" } else { "  MISSED" });
    }
    cluster.finish()?;

    let echo = "name = \"echo\"\n[[step]]\nname = \"echo\"\nplugin = \"echo\"\n";
    let mut dev = Embedded::prepare(binary::programs()?.join("bench-dev"), &["echo"], echo)?;
    dev.start_process(&[])?;
    let data = dev.folder().join("data").display().to_string();
    for load in &LOADS {
        measure(load, "pawl dev: ", |words| dev.try_pawl(&[words, &["--data", &data]].concat()))?;
        println!("-");
    }
    dev.finish_with(&[])?;
    Ok(all_reached)
}

/// Puts on one load and prints its line, but for the goal; returns the ratio. The report's file is kept for a closer
/// look.
fn measure(load: &Load, place: &str, pawl: impl Fn(&[&str]) -> anyhow::Result<Output>) -> anyhow::Result<f64> {
    let plugins = binary::component_file("echo")?;
    let plugins = plugins.parent().context("a component lies in a folder")?.to_string_lossy();
    let words = [&["bench"], load.words, &["--plugins-dir", &plugins, "-o", "json"]].concat();
    let text = binary::succeeded(&words, pawl(&words)?)?;
    let report: Value = serde_json::from_str(&text).context("`pawl bench -o json` printed something else")?;
    let name = format!("{place}{}", load.words.join(" "));
    let file =
        binary::programs()?.join(format!("bench-{}.json", name.replace(": ", "-").replace("--", "").replace(' ', "-")));
    std::fs::write(&file, &text).with_context(|| format!("can't write {}", file.display()))?;
    let figure = |name: &str| report[name].as_f64().with_context(|| format!("no {name} in {report}"));
    let ratio = figure(load.figure)?;
    print!(
        "{name:<48} {:>9.0} {:>9.2} {:>9.0} {ratio:>8.2}  ",
        figure("steps_per_s")?,
        figure("p50_ms")?,
        figure("floor_commits_per_s")?,
    );
    Ok(ratio)
}

impl Goal {
    fn is_reached(&self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(goal) => ratio >= *goal,
            Self::AtMost(goal) => ratio <= *goal,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(f, "≥ {goal}"),
            Self::AtMost(goal) => write!(f, "≤ {goal}"),
        }
    }
}

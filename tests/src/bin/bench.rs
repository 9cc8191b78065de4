//! `make bench`: the five loads of `pawl bench` on private servers with fsync on, an API and one worker, and
//! each figure as a ratio to this machine's own floor, beside what it must reach; then the same in a namespace of its own with its
//! token, and with that one's payloads sealed; then on a `pawl dev`.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::process::{ExitCode, Output};

use anyhow::Context as _;
use pawl_tests::{Cluster, Embedded, binary};
use serde_json::Value;

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
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all goals are reached. They are those of the servers; what one process does is shown beside.
fn run() -> anyhow::Result<bool> {
    println!("{:<48} {:>9} {:>9} {:>9} {:>8}  goal", "load", "steps/s", "p50 ms", "floor/s", "ratio");
    let mut cluster = Cluster::start_in(binary::programs()?.join("bench-servers"))?;
    cluster.set("PAWL_SECRETS_KEY", "7".repeat(64));
    cluster.start_api(&[])?;
    cluster.worker("worker").default_lease().default_slots().start()?;
    let mut all_reached = true;
    let mut plain = Vec::new();
    for load in &LOADS {
        let ratio = measure(load, "", |words| cluster.try_pawl(words))?;
        plain.push(ratio);
        let reached = load.goal.is_reached(ratio);
        all_reached &= reached;
        let aim = load.aim.map(|aim| format!(" (aim {aim})")).unwrap_or_default();
        println!("{}{aim}{}", load.goal, if reached { "" } else { "  MISSED" });
    }
    let token = tokens(&mut cluster)?;
    for (place, sealing) in [("with a token: ", "off"), ("sealed: ", "on")] {
        cluster.pawl(&["namespace", "seal", NAMESPACE, sealing])?;
        for (load, plain) in LOADS.iter().zip(&plain) {
            let ratio = measure(load, place, |words| {
                Ok(cluster.command()?.env("PAWL_API_TOKEN", &token).args(words).output()?)
            })?;
            println!("{:.2} of the first", ratio / plain);
        }
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

/// Whose the loads are from then on.
const NAMESPACE: &str = "team-a";

/// From now on, a token is wanted: everybody else has one of all, and the one that is returned is the namespace's.
fn tokens(cluster: &mut Cluster) -> anyhow::Result<String> {
    let create = |cluster: &Cluster, words: &[&str]| -> anyhow::Result<String> {
        let made: Value =
            serde_json::from_str(&cluster.pawl(&[&["token", "create"], words, &["-o", "json"]].concat())?)?;
        Ok(made["token"].as_str().context("a token")?.to_owned())
    };
    let all = create(cluster, &["all", "--role", "admin"])?;
    cluster.set("PAWL_API_TOKEN", &all);
    cluster.client.show(&all);
    cluster.pawl(&["namespace", "create", NAMESPACE])?;
    create(cluster, &["bench", "--role", "admin", "--namespace", NAMESPACE])
}

/// Puts on one load and prints its line, but for the goal; returns the ratio. The report's file is kept for a closer
/// look.
fn measure(load: &Load, place: &str, pawl: impl Fn(&[&str]) -> anyhow::Result<Output>) -> anyhow::Result<f64> {
    let plugins = binary::component_file("echo")?;
    let plugins = plugins.parent().context("a component lies in a folder")?.to_string_lossy();
    let words = [&["bench"], load.words, &["--plugins-dir", &plugins, "-o", "json"]].concat();
    let text = binary::succeeded(&words, pawl(&words)?)?;
    let name = format!("{place}{}", load.words.join(" "));
    let file =
        binary::programs()?.join(format!("bench-{}.json", name.replace(": ", "-").replace("--", "").replace(' ', "-")));
    std::fs::write(&file, &text).with_context(|| format!("can't write {}", file.display()))?;
    let report: Value = serde_json::from_str(&text).context("`pawl bench -o json` printed something else")?;
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

//! What it costs to be safe: an open installation beside one with tokens, namespaces, quotas and grants, and beside one whose
//! payloads are sealed as well, each with servers and a worker of its own, under the same loads in turns. What is counted is the
//! processor time of the API, the worker and Postgres, since that is what bounds a machine, and hangs least on what else the
//! machine does; of each turn only the ratio counts.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pawl_tests::process::{parent, processor_time, processor_time_of_family};
use pawl_tests::runtime::block_on;
use pawl_tests::{Client, Cluster, binary};
use serde_json::{Value, json};

/// What is called how, its pipeline, runs at once, and runs.
const LOADS: [(&str, &str, usize, usize); 3] = [
    ("chains of ten, 128 at once", "chain", 128, 3_000),
    ("one at a time", "chain", 1, 600),
    ("journals", "batch", 4, 400),
];

/// Whose processor time is counted: the API's, the worker's, and that of Postgres.
const PARTS: usize = 3;

/// Times that each is measured.
const TURNS: usize = 9;

/// What tokens, namespaces and grants may cost together, of one.
const MOST: f64 = 0.03;

/// Whose the loads are.
const NAMESPACE: &str = "team-a";

/// Others that are there, with a token and a secret each.
const OTHERS: usize = 20;

/// What is beside the open one.
const GUARDED: [&str; 2] = ["tokens and grants", "and sealed"];

/// An installation, and somebody who puts loads on it.
struct Side {
    cluster: Cluster,
    client: Client,
    postgres: u32,
}

/// What something took, s, by [`PARTS`].
type Took = [f64; PARTS];

/// Prints a line for each load; whether the goal is reached for all together.
pub(super) fn measure() -> anyhow::Result<bool> {
    let mut sides = [Side::open()?, Side::guarded("guarded", false)?, Side::guarded("sealed", true)?];
    println!("\n{:<36} {:>26} {:>26}", "processor time beside an open one", GUARDED[0], GUARDED[1]);
    let mut all = Vec::new();
    for (name, pipeline, in_flight, runs) in LOADS {
        let mut turns = Vec::new();
        // The first turn warms up.
        for turn in 0..=TURNS {
            let took = loaded(&mut sides, turn, pipeline, in_flight, runs)?;
            turns.extend((turn > 0).then_some(took));
        }
        let cost = |side: usize, part: fn(&Took) -> f64| {
            let mut costs: Vec<f64> =
                turns.iter().map(|[open, beside @ ..]| (part(&beside[side]) - part(open)) / whole(open)).collect();
            costs.sort_by(f64::total_cmp);
            costs
        };
        let line = |name: &str, part: fn(&Took) -> f64| {
            println!("{name:<36} {:>26} {:>26}", told(&cost(0, part)), told(&cost(1, part)));
        };
        line(name, whole);
        line("    of it the API", |[api, _, _]| *api);
        line("    of it the worker", |[_, worker, _]| *worker);
        line("    of it Postgres", |[_, _, postgres]| *postgres);
        all.push(cost(0, whole)[TURNS / 2]);
    }
    let together = all.iter().sum::<f64>() / all.len() as f64;
    let verdict = if together <= MOST { "" } else { "  MISSED" };
    println!("tokens, namespaces and grants together: {:+.1} %  ≤ {:.0} %{verdict}", together * 1e2, MOST * 1e2);
    for side in sides {
        side.cluster.finish()?;
    }
    Ok(together <= MOST)
}

fn whole(took: &Took) -> f64 {
    took.iter().sum()
}

/// One load for each, another one first in each turn. What each took of the processor until all were done: what one puts off, like
/// measuring what a namespace holds, or a vacuum, is its own.
fn loaded(
    sides: &mut [Side; 3],
    turn: usize,
    pipeline: &str,
    in_flight: usize,
    runs: usize,
) -> anyhow::Result<[Took; 3]> {
    let before = spent(sides)?;
    for number in 0..sides.len() {
        sides[(turn + number) % sides.len()].client.keep_in_flight(pipeline, in_flight, runs)?;
    }
    let after = spent(sides)?;
    Ok(std::array::from_fn(|side| std::array::from_fn(|part| (after[side][part] - before[side][part]).as_secs_f64())))
}

fn spent(sides: &mut [Side; 3]) -> anyhow::Result<[[Duration; PARTS]; 3]> {
    let mut all = [[Duration::ZERO; PARTS]; 3];
    for (spent, side) in all.iter_mut().zip(sides) {
        *spent = side.spent()?;
    }
    Ok(all)
}

impl Side {
    fn open() -> anyhow::Result<Self> {
        let cluster = start("open")?;
        furnish(&cluster, None)?;
        Ok(Self { client: cluster.client.clone(), postgres: postmaster(&cluster)?, cluster })
    }

    /// With a token, among others.
    fn guarded(name: &str, is_sealed: bool) -> anyhow::Result<Self> {
        let mut cluster = start(name)?;
        let token = guard(&mut cluster)?;
        furnish(&cluster, Some(&token))?;
        if is_sealed {
            cluster.pawl(&["namespace", "seal", NAMESPACE, "on"])?;
        }
        Ok(Self { client: cluster.client.with(&token)?, postgres: postmaster(&cluster)?, cluster })
    }

    fn spent(&mut self) -> anyhow::Result<[Duration; PARTS]> {
        let (api, worker) = (self.cluster.api()?.pid(), self.cluster.the("worker")?.pid());
        Ok([processor_time(api)?, processor_time(worker)?, processor_time_of_family(self.postgres)?])
    }
}

/// The median, and the middle half.
fn told(costs: &[f64]) -> String {
    let [low, median, high] = [TURNS / 4, TURNS / 2, TURNS - 1 - TURNS / 4].map(|at| costs[at] * 1e2);
    format!("{median:+.1} % ({low:+.1} to {high:+.1})")
}

fn start(name: &str) -> anyhow::Result<Cluster> {
    let mut cluster = Cluster::start_in(binary::programs()?.join(format!("bench-{name}")))?;
    cluster.set("PAWL_SECRETS_KEY", "7".repeat(64));
    cluster.start_api(&[])?;
    cluster.worker("worker").default_lease().default_slots().start()?;
    Ok(cluster)
}

/// The process that is the parent of all others of a server.
fn postmaster(cluster: &Cluster) -> anyhow::Result<u32> {
    parent(cluster.database.value::<i32>("select pg_backend_pid()")?.cast_unsigned())
}

/// The pipelines.
fn furnish(cluster: &Cluster, token: Option<&str>) -> anyhow::Result<()> {
    let pawl = |words: &[&str]| -> anyhow::Result<()> {
        let mut command = cluster.command()?;
        if let Some(token) = token {
            command.env("PAWL_API_TOKEN", token);
        }
        binary::succeeded(words, command.args(words).output()?).map(drop)
    };
    for plugin in ["echo", "batch"] {
        let file = binary::component_file(plugin)?;
        pawl(&["plugin", "push", &file.to_string_lossy(), "--name", plugin, "--version", "1"])?;
    }
    let steps: String = (1..=10)
        .map(|number| {
            let needs = if number == 1 { String::new() } else { format!("needs = [\"s{}\"]\n", number - 1) };
            format!("[[step]]\nname = \"s{number}\"\nplugin = \"echo\"\n{needs}")
        })
        .collect();
    let batch = "[[step]]\nname = \"only\"\nplugin = \"batch\"\nconfig = { items = 40, readings = 25, checkpoint_every = 10 }\n";
    for (name, steps) in [("chain", &*steps), ("batch", batch)] {
        let file = cluster.folder().join(format!("{name}.toml"));
        std::fs::write(&file, format!("name = \"{name}\"\n{steps}"))?;
        pawl(&["pipeline", "apply", path(&file)?])?;
    }
    Ok(())
}

fn path(file: &Path) -> anyhow::Result<&str> {
    file.to_str().context("a path is text")
}

/// Furnishes an installation that several share: a token is wanted, and there are namespaces, quotas, secrets and grants. Returns
/// the token of the one whose loads are measured.
fn guard(cluster: &mut Cluster) -> anyhow::Result<String> {
    let create = |cluster: &Cluster, words: &[&str]| -> anyhow::Result<String> {
        let made: Value =
            serde_json::from_str(&cluster.pawl(&[&["token", "create"], words, &["-o", "json"]].concat())?)?;
        Ok(made["token"].as_str().context("a token")?.to_owned())
    };
    let all = create(cluster, &["all", "--role", "admin"])?;
    cluster.set("PAWL_API_TOKEN", &all);
    cluster.client.show(&all);
    let others: Vec<String> = (1..=OTHERS).map(|number| format!("other-{number}")).collect();
    for namespace in others.iter().map(|other| &**other).chain([NAMESPACE]) {
        cluster.pawl(&["namespace", "create", namespace])?;
        let quota = ["--runs", "100000", "--submissions", "100000", "--stored-bytes", "1024GiB"];
        cluster.pawl(&[&["namespace", "quota", namespace][..], &quota].concat())?;
        let headers = [("content-type", "application/octet-stream"), ("pawl-namespace", namespace)];
        let address = "/v1/secrets/key?pipeline=chain&hosts=https://pay.example.org";
        let value = json!(namespace).to_string().into_bytes();
        let set = block_on(cluster.client.send("PUT", address, &headers, value))?;
        ensure!(set.status < 300, "a secret: {}", String::from_utf8_lossy(&set.body));
        if namespace != NAMESPACE {
            create(cluster, &[namespace, "--role", "operate", "--namespace", namespace])?;
        }
    }
    create(cluster, &["bench", "--role", "admin", "--namespace", NAMESPACE])
}

//! What it costs to be safe: an open installation beside one with tokens, namespaces, quotas and grants, each with servers and
//! a worker of its own, loaded in turns; and the latter once more with its payloads sealed. What the machine does meanwhile
//! befalls all three, and of each turn only the ratio counts.

use anyhow::{Context as _, ensure};
use pawl_tests::runtime::block_on;
use pawl_tests::{Cluster, binary};
use serde_json::{Value, json};

use super::report;

/// What is measured, and whether more of it is better.
const LOADS: [(&[&str], &str, bool); 3] = [
    (&["chain", "--steps", "10", "--in-flight", "256", "--duration", "6s", "--warm-up", "2s"], "steps_per_s", true),
    (&["latency", "--steps", "10", "--runs", "150"], "p50_ms", false),
    (&["journal", "--entries", "1000", "--duration", "5s"], "entries_per_s", true),
];

/// Times that each is measured.
const TURNS: usize = 5;

/// What tokens, namespaces and grants may cost together, of one.
const MOST: f64 = 0.03;

/// Whose the loads are.
const NAMESPACE: &str = "team-a";

/// Others that are there, with a token and a secret each.
const OTHERS: usize = 20;

/// The kinds of installation, as they take turns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Guarded,
    Sealed,
}

/// Prints a line for each load; whether the goal is reached for all together.
pub(super) fn measure() -> anyhow::Result<bool> {
    let mut open = start("open")?;
    let mut guarded = start("guarded")?;
    let token = guard(&mut guarded)?;
    println!("\n{:<58} {:>22} {:>22}", "beside an open installation, in turns", "tokens and grants", "and sealed");
    let mut all = Vec::new();
    for (words, figure, is_more_better) in LOADS {
        let mut costs = [Vec::new(), Vec::new()];
        for turn in 0..=TURNS {
            let took = |kind| loaded(&open, &guarded, &token, kind, words, figure);
            let [plain, kept, sealed] = [took(Kind::Open)?, took(Kind::Guarded)?, took(Kind::Sealed)?];
            // The first turn warms up.
            if turn > 0 {
                let cost = |other: f64| if is_more_better { plain / other - 1.0 } else { other / plain - 1.0 };
                costs[0].push(cost(kept));
                costs[1].push(cost(sealed));
            }
        }
        costs.iter_mut().for_each(|costs| costs.sort_by(f64::total_cmp));
        let [kept, sealed] = costs.each_ref().map(|costs| told(costs));
        println!("{:<58} {kept:>22} {sealed:>22}", words[..3].join(" "));
        all.push(costs[0][TURNS / 2]);
    }
    let together = all.iter().sum::<f64>() / all.len() as f64;
    println!("tokens, namespaces and grants together: {:+.1} %  ≤ {:.0} %", together * 1e2, MOST * 1e2);
    for cluster in [&mut open, &mut guarded] {
        ensure!(cluster.api_is_running(), "an API has ended");
    }
    open.finish()?;
    guarded.finish()?;
    Ok(together <= MOST)
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

/// One load on one of them; what it was like.
fn loaded(
    open: &Cluster,
    guarded: &Cluster,
    token: &str,
    kind: Kind,
    words: &[&str],
    figure: &str,
) -> anyhow::Result<f64> {
    if kind != Kind::Open {
        let sealing = if kind == Kind::Sealed { "on" } else { "off" };
        guarded.pawl(&["namespace", "seal", NAMESPACE, sealing])?;
    }
    let report = report(words, |words| match kind {
        Kind::Open => open.try_pawl(words),
        Kind::Guarded | Kind::Sealed => Ok(guarded.command()?.env("PAWL_API_TOKEN", token).args(words).output()?),
    })?;
    report[figure].as_f64().with_context(|| format!("no {figure} in {report}"))
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
        let path = "/v1/secrets/key?pipeline=bench-chain&hosts=https://pay.org";
        let value = json!(namespace).to_string().into_bytes();
        let set = block_on(cluster.client.send("PUT", path, &headers, value))?;
        ensure!(set.status < 300, "a secret: {}", String::from_utf8_lossy(&set.body));
        if namespace != NAMESPACE {
            create(cluster, &[namespace, "--role", "operate", "--namespace", namespace])?;
        }
    }
    create(cluster, &["bench", "--role", "admin", "--namespace", NAMESPACE])
}

//! The pipelines of these tests, and what their steps must have answered.

use anyhow::{Context as _, Result};
use pawl_tests::{Cluster, Target};
use serde_json::{Value, json};

/// `chain-N`: N echoes, `s0` to `s(N-1)`.
pub(crate) fn chain(cluster: &Cluster, steps: usize) -> Result<()> {
    cluster.push("echo")?;
    let mut toml = format!("name = \"chain-{steps}\"\n");
    for step in 0..steps {
        toml += &format!("[[step]]\nname = \"s{step}\"\nplugin = \"echo\"\n");
        if step > 0 {
            toml += &format!("needs = [\"s{}\"]\n", step - 1);
        }
    }
    cluster.apply(&toml)
}

/// `naps-N`: an echo and N steps of about 20 ms, one after the other.
pub(crate) fn chain_of_naps(cluster: &Cluster, steps: usize) -> Result<()> {
    cluster.push("echo")?;
    cluster.push("batch")?;
    let mut toml = format!("name = \"naps-{steps}\"\n[[step]]\nname = \"start\"\nplugin = \"echo\"\n");
    for step in 0..steps {
        let before = if step == 0 { String::new() } else { format!(", \"nap{}\"", step - 1) };
        toml += &format!(
            "[[step]]\nname = \"nap{step}\"\nplugin = \"batch\"\nneeds = [\"start\"{before}]\n\
             config = {{ items = 4, pause_ms = 5 }}\n"
        );
    }
    cluster.apply(&toml)
}

/// `fan-N`: `start`, N branches of about 20 ms, `join`.
pub(crate) fn fan_out(cluster: &Cluster, width: usize) -> Result<()> {
    cluster.push("echo")?;
    cluster.push("batch")?;
    let branches: Vec<String> = (0..width).map(|number| format!("b{number}")).collect();
    let mut toml = format!("name = \"fan-{width}\"\n[[step]]\nname = \"start\"\nplugin = \"echo\"\n");
    for branch in &branches {
        toml += &format!(
            "[[step]]\nname = \"{branch}\"\nplugin = \"batch\"\nneeds = [\"start\"]\n\
             config = {{ items = 4, pause_ms = 5 }}\n"
        );
    }
    toml += &format!("[[step]]\nname = \"join\"\nplugin = \"echo\"\nneeds = {branches:?}\n");
    cluster.apply(&toml)
}

/// `batch`: one step that saves a checkpoint after each item and reads the clock for each.
pub(crate) fn batch(cluster: &Cluster) -> Result<()> {
    cluster.push("batch")?;
    cluster.apply("name = \"batch\"\n[[step]]\nname = \"batch\"\nplugin = \"batch\"\n")
}

/// The input of `batch`: this many items of about this many milliseconds.
pub(crate) fn batch_of(items: u32, milliseconds: u32) -> Value {
    json!({"items": items, "pause_ms": milliseconds, "readings": 1})
}

/// `fetch`: one step that makes the requests of its input.
pub(crate) fn fetch(cluster: &Cluster) -> Result<()> {
    cluster.push("fetch")?;
    cluster.apply(
        "name = \"fetch\"\n[[step]]\nname = \"fetch\"\nplugin = \"fetch\"\n\
         retry = { max_attempts = 5, backoff = \"fixed\", delay = \"50ms\" }\n",
    )
}

/// The input of `fetch`: one question.
pub(crate) fn get(url: &str) -> Value {
    json!({"requests": [{"url": url, "timeout_ms": 600_000}]})
}

/// How many steps `everything` has.
pub(crate) const EVERYTHING_STEPS: usize = 4;

const ITEMS: u32 = 24;

/// `everything`: a fan-out and a join, a branch that asks, acts, and acts inside a `once`, and a branch
/// with a journal and checkpoints. Every fault point lies on its way.
pub(crate) fn everything(cluster: &Cluster) -> Result<()> {
    everything_at_work(cluster, 0)
}

/// The same, whose journaling branch computes this many milliseconds for each of its items.
pub(crate) fn everything_at_work(cluster: &Cluster, milliseconds: u32) -> Result<()> {
    for plugin in EVERYTHING_PLUGINS {
        cluster.push(plugin)?;
    }
    cluster.apply(&everything_toml(milliseconds))
}

/// The plugins of `everything`.
pub(crate) const EVERYTHING_PLUGINS: [&str; 3] = ["echo", "fetch", "batch"];

/// The pipeline `everything` itself.
pub(crate) fn everything_toml(milliseconds: u32) -> String {
    format!(
        r#"
        name = "everything"

        [[step]]
        name = "start"
        plugin = "echo"

        [[step]]
        name = "call"
        plugin = "fetch"
        needs = ["start"]

        [[step]]
        name = "count"
        plugin = "batch"
        needs = ["start"]
        config = {{ items = {ITEMS}, checkpoint_every = 2, readings = 1, pause_ms = {milliseconds} }}

        [[step]]
        name = "join"
        plugin = "echo"
        needs = ["call", "count"]
        "#
    )
}

/// The input of `everything`; each number has pages and effects of its own.
pub(crate) fn everything_input(target: &Target, number: usize) -> Value {
    let body = json!({"number": number});
    json!({"requests": [
        {"url": target.url(&format!("/page/{number}"))},
        {"method": "POST", "url": target.url(&format!("/effect/{number}")), "body": body},
        {"method": "POST", "url": target.url(&format!("/once/{number}")), "body": body, "once": "the one"},
    ]})
}

/// Checks the output of `everything` for that number.
pub(crate) fn check_everything(number: usize, output: &Value) -> Result<()> {
    let answers = output["call"].as_array().with_context(|| format!("no answers in {output}"))?;
    for (answer, path) in answers.iter().zip(["page", "effect", "once"]) {
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
        anyhow::ensure!(body["path"] == format!("/{path}/{number}"), "the answer of another item: {answer}");
    }
    let digest = output["count"]["digest"].as_str().unwrap_or_default();
    anyhow::ensure!(answers.len() == 3 && digest == digest_of(ITEMS), "not the right output: {output}");
    Ok(())
}

/// The digest that `batch` must return for so many items, whatever happened on the way.
pub(crate) fn digest_of(items: u32) -> String {
    let digest = (0..items).fold(0_u64, |digest, item| {
        // SplitMix64's finalizer: <https://prng.di.unimi.it/splitmix64.c>.
        let value = (digest ^ u64::from(item)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    });
    format!("{digest:016x}")
}

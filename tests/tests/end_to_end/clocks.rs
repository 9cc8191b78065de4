//! Workers whose machines disagree about the time: steps see one clock, which never goes back.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use pawl_tests::{Cluster, bounds};
use serde_json::json;

use crate::waits;

const SLEEP_MS: u64 = 50;

/// What makes a program read another time than its machine's. (Its monotonic clock is the machine's.)
fn faketime() -> Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")?;
    let places = folders.filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketime.so.1")));
    places.into_iter().find(|place| place.exists()).context("libfaketime is not installed")
}

/// Each step reads the clock around two waits. Whichever worker executes it then, the readings are in order, a sleep is as
/// long as it was asked for, and they are the database's time. `set` has the clocks say something else on the way.
fn one_clock(name: &str, offsets: [&str; 2], set: Option<[&str; 2]>) -> Result<()> {
    let mut cluster = Cluster::start(name)?;
    waits::pipeline(&cluster)?;
    let (library, folder) = (faketime()?, cluster.folder().to_owned());
    for (worker, offset) in ["a", "b"].into_iter().zip(offsets) {
        let clock = folder.join(format!("{worker}.clock"));
        std::fs::write(&clock, offset)?;
        cluster
            .worker(worker)
            .slots(2)
            .set("LD_PRELOAD", &library.to_string_lossy())
            .set("FAKETIME_TIMESTAMP_FILE", &clock.to_string_lossy())
            .set("FAKETIME_NO_CACHE", "1")
            .set("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .start()?;
    }
    let orders = json!([
        {"do": "now"}, {"do": "sleep", "ms": SLEEP_MS}, {"do": "now"},
        waits::awaits("never", Some(SLEEP_MS)), {"do": "now"},
    ]);
    let time = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
    for round in 0..2 {
        let before: i64 = cluster.database.value(time)?;
        let runs = cluster.client.submit_all("waits", &vec![orders.clone(); 20])?;
        if let Some(offsets) = set.filter(|_| round == 0) {
            for (worker, offset) in ["a", "b"].into_iter().zip(offsets) {
                std::fs::write(folder.join(format!("{worker}.clock")), offset)?;
            }
        }
        cluster.all_succeed(&runs, bounds::RUN)?;
        let after: i64 = cluster.database.value(time)?;
        for run in &runs {
            let output = cluster.client.output(*run, "wait")?;
            let saw: Vec<Option<i64>> = serde_json::from_value(output["saw"].clone())?;
            let read: Vec<i64> = saw.into_iter().flatten().collect();
            assert!(read[0] + SLEEP_MS as i64 <= read[1] && read[1] <= read[2], "{read:?}");
            assert!(before - 500 <= read[0] && read[2] <= after + 500, "{read:?} between {before} and {after}");
        }
    }
    cluster.finish()
}

#[test]
fn clocks_that_are_a_third_of_a_second_apart_are_not_seen() -> Result<()> {
    one_clock("clocks_close", ["+0.3", "+0"], None)
}

#[test]
fn clocks_that_are_an_hour_apart_are_not_seen() -> Result<()> {
    one_clock("clocks_far", ["+3600", "-3600"], None)
}

#[test]
fn clocks_that_are_set_back_are_not_seen() -> Result<()> {
    one_clock("clocks_set_back", ["+60", "+0"], Some(["-60", "-7200"]))
}

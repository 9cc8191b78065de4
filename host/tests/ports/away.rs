//! What the ports say when what is behind them can't be reached: their own name, and why.

use std::time::Duration;

use pawl_domain::id::InstallationId;
use pawl_queue::{InProcess, Queue, RedisConfig, RedisStreams};
use pawl_store::{Postgres, Schema, Sqlite};

/// Nothing listens on port 1.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test]
async fn a_queue_that_is_away_says_its_name_and_why() {
    let queue =
        RedisStreams::of(&RedisConfig::new(format!("redis://{NOWHERE}/")), InstallationId::new()).expect("a queue");
    let error = queue.ping().await.expect_err("nothing is there");
    assert_eq!(error.to_string(), format!("{} is not available: it can't be reached", queue.name()));
    assert_told_once(&error.chain(), &error);
}

#[tokio::test]
async fn a_store_that_is_away_says_its_name_and_why() {
    let store = Postgres::new(&format!("postgres://{NOWHERE}/pawl"), 1, Duration::from_secs(1)).expect("a store");
    let error = store.check_schema().await.expect_err("nothing is there");
    assert!(error.is_passing(), "{error:?}");
    assert_eq!(error.to_string(), format!("{} is not available", store.name()));
    assert_told_once(&error.chain(), &error);
}

#[test]
fn implementations_have_names_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(Sqlite::open(folder.path()).expect("a store").name(), "SQLite");
    assert_eq!(InProcess::new().name(), "the queue in memory");
}

/// The line for the log has more than the error itself, and no cause twice.
fn assert_told_once(line: &str, error: &dyn std::error::Error) {
    let cause = error.source().expect("there is a cause").to_string();
    assert!(!error.to_string().contains(&cause), "{error} repeats {cause}");
    assert_eq!(line.matches(&cause).count(), 1, "{line}");
}

//! The harness of Pawl's tests, of `make demo` and of `make bench`: private servers, real processes of the
//! real binary (a [`Cluster`] of them, or one [`Embedded`]), a target server that sees what reaches the outside, a proxy that breaks connections, and
//! one check of all promises over the whole database.
//!
//! A test is a plain synchronous function:
//!
//! ```no_run
//! # use pawl_tests::{Cluster, bounds};
//! # fn main() -> anyhow::Result<()> {
//! let mut cluster = Cluster::start("a_run_ends")?;       // Postgres, Redis, schema, API
//! cluster.push("echo")?;                                 // target/plugins/echo.wasm
//! cluster.apply(r#"name = "one"
//!                  [[steps]]
//!                  name = "only"
//!                  plugin = "echo""#)?;
//! cluster.worker("a").start()?;
//! let run = cluster.submit("one", &serde_json::json!({"hello": "world"}))?;
//! cluster.succeeds(run, bounds::RUN)?;
//! cluster.finish()                                       // waits until all is quiet, checks the invariants
//! # }
//! ```
//!
//! Nothing here sleeps to let something happen: every wait has a condition and a bound
//! ([`wait::until`]). A cluster that is dropped without [`Cluster::finish`] keeps its folder with one log
//! per process and says where it is.

pub mod binary;
pub mod bounds;
pub mod browser;
pub mod certificates;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod container;
pub mod crowd;
pub mod database;
pub mod deployed;
pub mod embedded;
pub mod ending;
pub mod invariants;
pub mod load;
pub mod process;
pub mod prometheus;
pub mod provider;
pub mod proxy;
pub mod random;
pub mod redis;
pub mod redis_cluster;
pub mod runtime;
pub mod scrape;
pub mod target;
pub mod wait;
pub mod worker;

pub use browser::Chromium;
pub use client::Client;
pub use cluster::Cluster;
pub use collector::Collector;
pub use container::Container;
pub use crowd::Crowd;
pub use database::Database;
pub use embedded::Embedded;
pub use load::Load;
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
pub use scrape::Scrape;
pub use target::Target;
pub use worker::Worker;

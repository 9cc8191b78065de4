//! Two databases that have been in use, a small one and a large one, and how many pages a question reads in each.

use std::time::Duration;

use anyhow::{Context as _, Result};
use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::{Postgres, Schema as _};
use pawl_tests::{Database, runtime};

/// One of them.
pub struct Filled {
    pub store: Postgres,
    pub database: Database,
}

/// A server with both.
pub struct Both {
    pub small: Filled,
    pub large: Filled,
    _server: PrivatePostgres,
    _folder: tempfile::TempDir,
}

pub const SMALL: u32 = 2_000;
pub const LARGE: u32 = 20_000;

/// Pages that may differ by chance: where in a page something lies.
const CHANCE: i64 = 6;

impl Filled {
    /// A new database of this server with so many runs.
    pub fn with(server: &PrivatePostgres, name: &str, runs: u32) -> Result<Self> {
        let first = Database::new(&server.url())?;
        first.execute(&format!("create database {name}"))?;
        let url = server.database_url(name);
        // A store's connections are looked after by the runtime that it is made on.
        let store = runtime::block_on(async { Postgres::new(&url, 1, Duration::from_secs(60)) })?;
        runtime::block_on(store.migrate())?;
        let database = Database::new(&url.replace("//pawl@", "//observer@"))?;
        database.execute(&include_str!("filled.sql").replace("$N$", &runs.to_string()))?;
        database.execute("vacuum (analyze)")?;
        Ok(Self { store, database })
    }

    /// The id of a run.
    pub fn run(&self, which: &str) -> Result<pawl_domain::id::RunId> {
        let id: String = self.database.value(&format!("select id::text from run where {which} limit 1"))?;
        Ok(id.parse()?)
    }

    /// Pages that Pawl's statements read while it does something.
    pub fn pages<T>(&self, work: impl AsyncFn(&Postgres) -> T) -> Result<i64> {
        let mut fewest = i64::MAX;
        // A connection plans its statements when it first meets them, and there may be several.
        for _ in 0..4 {
            self.database.execute("select pg_stat_statements_reset()")?;
            runtime::block_on(work(&self.store));
            fewest = fewest.min(self.counted("sum(shared_blks_hit + shared_blks_read)")?);
        }
        Ok(fewest)
    }

    /// Something of the statistics of Pawl's statements.
    pub fn counted(&self, what: &str) -> Result<i64> {
        let sql = format!(
            "select coalesce({what}, 0)::bigint from pg_stat_statements
             where userid = 'pawl'::regrole and dbid = (select oid from pg_database where datname = current_database())"
        );
        self.database.value(&sql)
    }
}

impl Both {
    pub fn start() -> Result<Self> {
        let (server, folder) = server()?;
        let small = Filled::with(&server, "small", SMALL)?;
        let large = Filled::with(&server, "large", LARGE)?;
        Ok(Self { small, large, _server: server, _folder: folder })
    }

    /// Something reads the same pages in both, and few. Returns what it read in the large one.
    pub fn same_pages<T>(&self, what: &str, at_most: i64, work: impl AsyncFn(&Postgres) -> T) -> Result<i64> {
        let (small, large) = (self.small.pages(&work)?, self.large.pages(&work)?);
        eprintln!("{what}: {small} pages of {SMALL} runs, {large} of {LARGE}");
        anyhow::ensure!(large <= small + CHANCE, "{what} reads {small} pages of {SMALL} runs, and {large} of {LARGE}");
        anyhow::ensure!(large <= at_most, "{what} reads {large} pages, at most {at_most} were due");
        Ok(large)
    }
}

/// A server, and the role that tests look as: what Pawl asks can be told from what they ask.
pub fn server() -> Result<(PrivatePostgres, tempfile::TempDir)> {
    let folder = tempfile::tempdir().context("a folder")?;
    let server = PrivatePostgres::start(folder.path())?;
    Database::new(&server.url())?
        .execute("create role observer superuser login; create extension pg_stat_statements")?;
    // So that each database can be asked from within.
    Database::new(&server.database_url("template1"))?.execute("create extension pg_stat_statements")?;
    Ok((server, folder))
}

//! A backup of the embedded store goes into a database: migrated, and empty. All in one transaction, so that whatever is killed
//! in the middle leaves it empty; table by table by COPY, in pieces, so that neither side has more than some pieces in memory.
//!
//! Workers and APIs of the database may run meanwhile: they see nothing of it before the commit, and then find what is due and
//! what nobody has delivered, as after a loss of Redis. Of tables only `plugin` is locked, without which nothing can be submitted.

use std::path::Path;
use std::time::Duration;

use pawl_base::fault;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::mpsc::{Receiver, channel};

use super::Postgres;
use crate::backup::Restored;
use crate::carried::tables::{TABLES, Table};
use crate::carried::{self, Piece};
use crate::sqlite::backup::aside;
use crate::sqlite::restore::{WorkingCopy, check};
use crate::{Error, Result, Schema as _, within};

/// Pieces that are read ahead.
const AHEAD: usize = 2;

/// How long another restore, or a plugin that is pushed, is waited for.
const OTHERS: &str = "5s";

impl Postgres {
    /// Takes in what a backup of the embedded store holds. All of it is there, or nothing. Each statement is waited for as long
    /// as this store was made for; the whole takes as long as it takes.
    ///
    /// # Errors
    /// [`Error::Config`] if the file is no whole backup that this build can read; [`Error::Schema`] if the database is to be
    /// migrated; [`Error::Conflict`] if it is not empty; [`Error::Unavailable`]: after the last piece it may have been committed.
    pub async fn restore(&self, backup: &Path) -> Result<Restored> {
        check(backup)?;
        self.check_connections().await?;
        self.check_schema().await?;
        let mut conn = self.connect().await?;
        self.begin_restore(&mut conn).await?;
        let copy = WorkingCopy::beside(backup)?;
        let (from, handed_back) = copy.filled(backup).await?;
        let (pieces, taken) = channel(AHEAD);
        let sending = aside(move || carried::send(&from, &pieces));
        let (sent, runs) = tokio::join!(sending, self.take(&mut conn, taken));
        // Who takes hears only that nothing more comes; why, is known to who sends.
        let runs = match runs? {
            Some(runs) => runs,
            None => return Err(sent.err().unwrap_or_else(|| Error::Damaged("the backup's copy".to_owned()))),
        };
        self.asked(&mut conn, "commit").await?;
        Ok(Restored { runs, handed_back })
    }

    async fn begin_restore(&self, conn: &mut PgConnection) -> Result<()> {
        // A client that has died is noticed by its silence, and its transaction ends.
        let begin = format!(
            "begin; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0;
             set local lock_timeout = '{OTHERS}'; lock table plugin in share row exclusive mode"
        );
        self.asked(conn, &begin).await?;
        // Of these, those that are there may stay.
        for table in TABLES.iter().filter(|table| !["retention", "incident"].contains(&table.name)) {
            let any = format!("select exists (select from {})", table.name);
            let asking = async { Ok(sqlx::query_scalar(AssertSqlSafe(any)).fetch_one(&mut *conn).await?) };
            if within(self.patience(), asking).await? {
                return Err(Error::Conflict(format!(
                    "the database has rows in `{}` already, and nothing is written over: restore into a new one, after \
                     `pawl migrate`",
                    table.name
                )));
            }
        }
        Ok(())
    }

    /// Takes in all tables; how many runs there were, or none if nothing more came in the middle.
    async fn take(&self, conn: &mut PgConnection, mut pieces: Receiver<Piece>) -> Result<Option<u64>> {
        let mut runs = None;
        for table in &TABLES {
            let taken = self.take_table(conn, table, &mut pieces).await;
            let Some(rows) = taken.map_err(|error| in_table(table, error))? else { return Ok(None) };
            if table.name == "run" {
                runs = Some(rows);
            }
            if !table.then.is_empty() {
                self.asked(conn, table.then).await?;
            }
            fault::point("restore.taken_in.before_commit");
        }
        Ok(runs)
    }

    async fn take_table(
        &self,
        conn: &mut PgConnection,
        table: &Table,
        pieces: &mut Receiver<Piece>,
    ) -> Result<Option<u64>> {
        let name = table.name;
        let target = if table.is_staged { format!("restored_{name}") } else { name.to_owned() };
        if table.is_staged {
            self.asked(conn, &format!("create temporary table {target} (like {name}) on commit drop")).await?;
        }
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let statement = format!("copy {target} ({}) from stdin with (format binary)", columns.join(", "));
        let beginning = async { Ok(conn.copy_in_raw(&statement).await?) };
        let mut copy = within(self.patience(), beginning).await?;
        loop {
            match pieces.recv().await {
                Some(Piece::Bytes(bytes)) => {
                    within(self.patience(), async { Ok(copy.send(bytes).await.map(drop)?) }).await?;
                }
                Some(Piece::End) => {
                    return Ok(Some(within(self.patience(), async { Ok(copy.finish().await?) }).await?));
                }
                None => return Ok(None),
            }
        }
    }

    async fn asked(&self, conn: &mut PgConnection, sql: &str) -> Result<()> {
        let asking = async { Ok(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await.map(drop)?) };
        within(self.patience(), asking).await
    }

    fn patience(&self) -> Duration {
        self.pool.patience()
    }
}

/// What was refused, with the table that it was for.
fn in_table(table: &Table, error: Error) -> Error {
    match error {
        Error::Refused(name, why) => Error::Refused(name, format!("in the table `{}`: {why}", table.name).into()),
        other => other,
    }
}

//! The invariants, checked over the whole database: by `pawl doctor` and after every end-to-end test.
//!
//! No rule spans two runs, so it goes in pieces: so many runs as have some hundreds of steps, in the order of their ids.
//! Its time grows with the database; that of a statement doesn't, and no snapshot is held.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::Postgres;
use crate::doctor::{Invariants, Violation};
use crate::{Result, ms, within};

/// How long all of it may take; a server that has died tells nobody.
const LONGEST_LOOK: Duration = Duration::from_secs(3_600);

/// Runs of one piece, and steps after which it ends: a run that has more is a piece of its own.
const RUNS: i64 = 100;
const STEPS: i64 = 500;

/// What workers say they run is what the database says; only when things are quiet.
const ASTRAY: &str =
    "select 3, format('worker %s says that it runs %s steps, the database says %s', w.id, w.running, n.running)
    from worker w
    cross join lateral (select count(*) as running from pawl_running_v1(w.id)) as n
    where w.running <> n.running and w.expires_at > clock_timestamp()";

/// Nothing is left of a run that is gone, but for what `remains` names; and that is none that is there. Of runs after $1, up to $2.
const ORPHANED: &str = "
    select 12, format('something of run %s is left, which is gone', o.run_id)
    from (select run_id from step where run_id > $1 and ($2::uuid is null or run_id <= $2)
          union select run_id from event where run_id > $1 and ($2::uuid is null or run_id <= $2)
          union select run_id from journal where run_id > $1 and ($2::uuid is null or run_id <= $2)
          union select run_id from checkpoint where run_id > $1 and ($2::uuid is null or run_id <= $2)
          union select run_id from signal where run_id > $1 and ($2::uuid is null or run_id <= $2)
          union select run_id from recovery where run_id > $1 and ($2::uuid is null or run_id <= $2)
          union select run_id from step_log where run_id > $1 and ($2::uuid is null or run_id <= $2)) as o
    where not exists (select from run r where r.id = o.run_id) and not exists (select from remains m where m.run_id = o.run_id)
    union all
    select 12, format('run %s is there, and is said to be gone', m.run_id)
    from remains m join run r on r.id = m.run_id where m.run_id > $1 and ($2::uuid is null or m.run_id <= $2)
    union all
    select 12, format('of run %s, which is gone, no step is left to keep its id', m.run_id)
    from remains m
    where m.run_id > $1 and ($2::uuid is null or m.run_id <= $2)
      and not exists (select from step s where s.run_id = m.run_id and s.step_no = 0)";

#[async_trait]
impl Invariants for Postgres {
    async fn doctor(&self, grace: Duration, quiet: bool) -> Result<Vec<Violation>> {
        within(LONGEST_LOOK, self.look_over_everything(grace, quiet)).await
    }
}

impl Postgres {
    async fn look_over_everything(&self, grace: Duration, quiet: bool) -> Result<Vec<Violation>> {
        let mut conn = self.connect().await?;
        // Planned for the runs of each piece: there are many rows to a run, or few.
        for setting in ["plan_cache_mode = force_custom_plan", "enable_hashjoin = on"] {
            sqlx::query(sqlx::AssertSqlSafe(format!("set {setting}"))).execute(&mut conn).await?;
        }
        let grace_ms = ms(grace);
        let mut violations = Vec::new();
        let mut after = Uuid::nil();
        loop {
            let runs = runs_after(&mut conn, after).await?;
            let orphaned = sqlx::query(ORPHANED).bind(after).bind(runs.last().copied()).fetch_all(&mut conn).await?;
            tell(&mut violations, orphaned)?;
            let Some(last) = runs.last() else { break };
            after = *last;
            let rows = sqlx::query(include_str!("doctor.sql")).bind(grace_ms).bind(&runs).fetch_all(&mut conn).await?;
            tell(&mut violations, rows)?;
        }
        if quiet {
            tell(&mut violations, sqlx::query(ASTRAY).fetch_all(&mut conn).await?)?;
        }
        Ok(violations)
    }
}

fn tell(violations: &mut Vec<Violation>, rows: Vec<PgRow>) -> Result<()> {
    for row in rows {
        violations.push(Violation { invariant: row.try_get(0)?, what: row.try_get(1)? });
    }
    Ok(())
}

/// The next piece.
async fn runs_after(conn: &mut PgConnection, after: Uuid) -> Result<Vec<Uuid>> {
    let runs = sqlx::query_scalar(
        "select id from (select id, sum(steps) over (order by id) - steps as before
                         from (select id, steps from run where id > $1 order by id limit $2) as r) as r
         where before < $3 order by id",
    );
    Ok(runs.bind(after).bind(RUNS).bind(STEPS).fetch_all(conn).await?)
}

//! Pauses, as `migrations/0035_pause.sql` keeps them.

use async_trait::async_trait;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::runs::{run_columns, run_row};
use super::{Postgres, ready_of};
use crate::Result;
use crate::pauses::{MOST_PAUSES, Pausable, Pause, Pauses, Released, SHELVED_LOOKED_AT, Shelf, too_many};
use crate::runs::RunRow;

/// A page of runs that are paused, in the order of an index that knows nothing else.
macro_rules! page {
    ($also:literal) => {
        concat!(
            "with bound as materialized (
                 select case when $3::uuid is null then 'infinity' else (select created_at from run where id = $3) end as at,
                        coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as id
             ) select ",
            run_columns!(),
            " from run r
             where r.namespace = $1 and r.paused_at is not null and r.ended_at is null ",
            $also,
            "  and (r.created_at, r.id) < ((select at from bound), (select id from bound))
             order by r.created_at desc, r.id desc limit $2"
        )
    };
}

/// Each pause, and what is on the shelf by it. What was stopped meanwhile stays there until the pause ends. Ids of runs grow with
/// time: the first is the one that was submitted first.
const SHELVES: &str = "
    select p.kind, p.namespace, p.name, p.reason, (extract(epoch from p.paused_at) * 1000)::bigint as paused_at_ms,
           b.steps, b.looked_at,
           (extract(epoch from greatest(p.paused_at, r.created_at)) * 1000)::bigint as oldest_ms
    from pause p
    cross join lateral (
        select count(*)::int as looked_at, count(*) filter (where s.status = 'ready')::int as steps,
               min(s.run_id::text) filter (where s.status = 'ready') as first
        from (select y.run_id, y.status from step y where y.shelved_by = p.id limit $1) as s
    ) as b
    left join lateral (select o.created_at from run o where o.id = b.first::uuid offset 0) as r on true
    where p.ended_at is null
    order by p.id";

const PAUSED: &str = page!("");
const PAUSED_OF: &str = page!("and r.pipeline = $4");

#[async_trait]
impl Pauses for Postgres {
    async fn pause(&self, what: &Pausable, reason: Option<&str>) -> Result<bool> {
        let (kind, namespace, name) = what.words();
        let query = sqlx::query_scalar::<_, String>("select pawl_pause_v1($1, $2, $3, $4, $5)")
            .bind(kind)
            .bind(namespace)
            .bind(name)
            .bind(reason)
            .bind(MOST_PAUSES.cast_signed());
        match query.fetch_one(&self.pool).await?.as_str() {
            "full" => Err(too_many()),
            answer => Ok(answer == "new"),
        }
    }

    async fn unpause(&self, what: &Pausable) -> Result<bool> {
        let (kind, namespace, name) = what.words();
        let query = sqlx::query_scalar("select pawl_unpause_v1($1, $2, $3)").bind(kind).bind(namespace).bind(name);
        Ok(query.fetch_one(&self.pool).await?)
    }

    async fn release(&self, limit: usize) -> Result<Released> {
        let query = sqlx::query("select * from pawl_release_v1($1)").bind(i32::try_from(limit).unwrap_or(i32::MAX));
        let rows = query.fetch_all(&self.sweeps).await?;
        let mut ready = Vec::with_capacity(rows.len());
        for row in &rows {
            // What was stopped meanwhile leaves the shelf, and goes nowhere.
            if row.try_get::<Option<i64>, _>("ready_at_ms")?.is_some() {
                ready.push(ready_of(row)?);
            }
        }
        Ok(Released { ready, more: rows.len() >= limit })
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        let query = sqlx::query(
            "select kind, namespace, name, reason, (extract(epoch from paused_at) * 1000)::bigint as paused_at_ms
             from pause where ended_at is null order by id",
        );
        query.fetch_all(&self.pool).await?.iter().map(pause).collect()
    }

    async fn shelves(&self) -> Result<Vec<Shelf>> {
        let query = sqlx::query(SHELVES).bind(i64::from(SHELVED_LOOKED_AT));
        query.fetch_all(&self.pool).await?.iter().map(shelf).collect()
    }

    async fn paused_runs(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>> {
        let page = |sql: &'static str| {
            sqlx::query(sql).bind(namespace.as_str()).bind(i64::from(limit)).bind(before.map(|run| run.0))
        };
        let query = match pipeline {
            None => page(PAUSED),
            Some(pipeline) => page(PAUSED_OF).bind(pipeline),
        };
        query.fetch_all(&self.pool).await?.iter().map(run_row).collect()
    }
}

fn pause(row: &PgRow) -> Result<Pause> {
    Ok(Pause {
        what: Pausable::of_words(row.try_get("kind")?, row.try_get("namespace")?, row.try_get("name")?)?,
        reason: row.try_get("reason")?,
        paused_at_ms: row.try_get("paused_at_ms")?,
    })
}

fn shelf(row: &PgRow) -> Result<Shelf> {
    let steps = row.try_get::<i32, _>("steps")?.cast_unsigned();
    let oldest_ms: i64 = row.try_get("oldest_ms")?;
    Ok(Shelf {
        pause: pause(row)?,
        steps,
        more: row.try_get::<i32, _>("looked_at")?.cast_unsigned() >= SHELVED_LOOKED_AT,
        oldest_ms: (steps > 0).then_some(oldest_ms),
    })
}

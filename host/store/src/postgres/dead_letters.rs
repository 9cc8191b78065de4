//! Dead letters, as `migrations/0029_dead_letters.sql` keeps them.

use async_trait::async_trait;
use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::namespace::Namespace;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::runs::{run_columns, run_row};
use super::{Postgres, digest_of, parse};
use crate::Result;
use crate::dead_letters::{
    COUNTED, DeadGroup, DeadGroupKey, DeadLetter, DeadLetters, DeadOrder, DeadPlace, DeadStep, DiedOn,
};
use crate::runs::RunRow;

/// What is read of a letter; a macro, so that statements stay constants.
macro_rules! letter_columns {
    () => {
        "d.run_id, d.step_no, d.pipeline, d.pipeline_digest, d.state, d.cause,
         (extract(epoch from d.at) * 1000000)::bigint as at_us"
    };
}

macro_rules! page {
    ($side:literal, $order:literal) => {
        concat!(
            "select ",
            letter_columns!(),
            " from dead_letter d where d.namespace = $1 and (d.at, d.run_id, d.step_no) ",
            $side,
            " (timestamptz 'epoch' + $2 * interval '1 microsecond', $3, $4) order by d.at ",
            $order,
            ", d.run_id ",
            $order,
            ", d.step_no ",
            $order,
            " limit $5"
        )
    };
}

const NEWEST_FIRST: &str = page!("<", "desc");
const OLDEST_FIRST: &str = page!(">", "asc");

/// From one group to the next in the index; each is counted and dated there, too.
const GROUPS: &str = "
    with recursive found as (
        (select d.pipeline, d.pipeline_digest, d.step_no, d.cause from dead_letter d
         where d.namespace = $1 and (d.pipeline, d.pipeline_digest, d.step_no, d.cause) > ($2, $3, $4, $5)
         order by d.pipeline, d.pipeline_digest, d.step_no, d.cause limit 1)
        union all
        select n.* from found f
        cross join lateral (
            select d.pipeline, d.pipeline_digest, d.step_no, d.cause from dead_letter d
            where d.namespace = $1
              and (d.pipeline, d.pipeline_digest, d.step_no, d.cause) > (f.pipeline, f.pipeline_digest, f.step_no, f.cause)
            order by d.pipeline, d.pipeline_digest, d.step_no, d.cause limit 1) as n
    )
    select f.*, c.count, c.parked,
           (select (extract(epoch from d.at) * 1000)::bigint from dead_letter d
            where (d.namespace, d.pipeline, d.pipeline_digest, d.step_no, d.cause)
                  = ($1, f.pipeline, f.pipeline_digest, f.step_no, f.cause) order by d.at limit 1) as oldest_ms,
           (select (extract(epoch from d.at) * 1000)::bigint from dead_letter d
            where (d.namespace, d.pipeline, d.pipeline_digest, d.step_no, d.cause)
                  = ($1, f.pipeline, f.pipeline_digest, f.step_no, f.cause) order by d.at desc limit 1) as newest_ms
    from (select * from found limit $6) as f
    cross join lateral (
        select count(*)::int as count, count(*) filter (where o.state = 'parked')::int as parked
        from (select d.state from dead_letter d
              where (d.namespace, d.pipeline, d.pipeline_digest, d.step_no, d.cause)
                    = ($1, f.pipeline, f.pipeline_digest, f.step_no, f.cause) limit $7) as o) as c";

/// From one run to the next, however many of its steps are parked.
macro_rules! parked_where {
    ($also:literal) => {
        concat!(
            "with recursive bound as materialized (
                 select case when $3::uuid is null then 'infinity' else (select created_at from run where id = $3) end as at,
                        coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as id
             ), found as (
                 (select d.run_created_at as at, d.run_id as id from dead_letter d
                  where d.namespace = $1 and d.state = 'parked' ",
            $also,
            "     and (d.run_created_at, d.run_id) < ((select at from bound), (select id from bound))
                  order by d.run_created_at desc, d.run_id desc limit 1)
                 union all
                 select n.* from found f
                 cross join lateral (
                     select d.run_created_at, d.run_id from dead_letter d
                     where d.namespace = $1 and d.state = 'parked' ",
            $also,
            "        and (d.run_created_at, d.run_id) < (f.at, f.id)
                     order by d.run_created_at desc, d.run_id desc limit 1) as n
             ) select ",
            run_columns!(),
            " from (select * from found limit $2) as f join run r on r.id = f.id order by f.at desc, f.id desc"
        )
    };
}

const PARKED: &str = parked_where!("");
const PARKED_OF: &str = parked_where!("and d.pipeline = $4");

#[async_trait]
impl DeadLetters for Postgres {
    async fn dead_letters(&self, namespace: &Namespace, order: DeadOrder, limit: u32) -> Result<Vec<DeadLetter>> {
        let last = DeadPlace {
            at_us: 4_000_000_000_000_000,
            step: StepId { run: RunId(Uuid::max()), step: StepNo(i32::MAX) },
        };
        let first = DeadPlace { at_us: 0, step: StepId { run: RunId(Uuid::nil()), step: StepNo(-1) } };
        let (sql, from) = match order {
            DeadOrder::NewestFirst(before) => (NEWEST_FIRST, before.unwrap_or(last)),
            DeadOrder::OldestFirst(after) => (OLDEST_FIRST, after.unwrap_or(first)),
        };
        let rows = sqlx::query(sql)
            .bind(namespace.as_str())
            .bind(from.at_us)
            .bind(from.step.run.0)
            .bind(from.step.step.0)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(letter).collect()
    }

    async fn dead_letters_of(&self, steps: &[StepId]) -> Result<Vec<DeadLetter>> {
        let rows = sqlx::query(concat!(
            "select ",
            letter_columns!(),
            " from unnest($1::uuid[], $2::int[]) as s (run_id, step_no)
             cross join lateral (select * from dead_letter o where o.run_id = s.run_id and o.step_no = s.step_no offset 0) as d"
        ))
        .bind(runs_of(steps))
        .bind(numbers_of(steps))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(letter).collect()
    }

    async fn died_on(&self, namespace: &Namespace, steps: &[DeadStep]) -> Result<Vec<DiedOn>> {
        // Each step by its key, and its version by that of the plugin.
        let rows = sqlx::query(
            "select s.run_id, s.step_no, y.component, v.version, coalesce(v.is_active, false) as is_active
             from unnest($1::uuid[], $2::int[], $3::text[]) as s (run_id, step_no, plugin)
             cross join lateral (select o.component from step o
                                 where o.run_id = s.run_id and o.step_no = s.step_no and o.component is not null
                                 offset 0) as y
             left join lateral (
                 select o.version, o.version is not distinct from u.active_version as is_active
                 from plugin u join plugin_version o on o.namespace = u.namespace and o.name = u.name
                 where u.namespace = $4 and u.name = s.plugin and o.digest = y.component
                 order by is_active desc, o.created_at desc limit 1) as v on true",
        )
        .bind(steps.iter().map(|dead| dead.step.run.0).collect::<Vec<_>>())
        .bind(steps.iter().map(|dead| dead.step.step.0).collect::<Vec<_>>())
        .bind(steps.iter().map(|dead| dead.plugin.as_str()).collect::<Vec<_>>())
        .bind(namespace.as_str())
        .fetch_all(&self.pool)
        .await?;
        let died_on = |row: &PgRow| -> Result<DiedOn> {
            Ok(DiedOn {
                step: StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) },
                component: digest_of(row, "component")?,
                version: row.try_get("version")?,
                is_active: row.try_get("is_active")?,
            })
        };
        rows.iter().map(died_on).collect()
    }

    async fn dead_groups(
        &self,
        namespace: &Namespace,
        after: Option<&DeadGroupKey>,
        limit: u32,
    ) -> Result<Vec<DeadGroup>> {
        let rows = sqlx::query(GROUPS)
            .bind(namespace.as_str())
            .bind(after.map_or("", |after| &after.pipeline))
            .bind(after.map_or_else(Vec::new, |after| after.pipeline_digest.0.to_vec()))
            .bind(after.map_or(-1, |after| after.step.0))
            .bind(after.map_or("", |after| &after.cause))
            .bind(i64::from(limit))
            .bind(i64::from(COUNTED))
            .fetch_all(&self.pool)
            .await?;
        let group = |row: &PgRow| -> Result<DeadGroup> {
            let key = DeadGroupKey {
                pipeline: row.try_get("pipeline")?,
                pipeline_digest: digest_of(row, "pipeline_digest")?,
                step: StepNo(row.try_get("step_no")?),
                cause: row.try_get("cause")?,
            };
            Ok(DeadGroup {
                key,
                count: row.try_get::<i32, _>("count")?.cast_unsigned(),
                parked: row.try_get::<i32, _>("parked")?.cast_unsigned(),
                oldest_ms: row.try_get("oldest_ms")?,
                newest_ms: row.try_get("newest_ms")?,
            })
        };
        rows.iter().map(group).collect()
    }

    async fn forget_dead_letters(&self, steps: &[StepId]) -> Result<u32> {
        let gone = sqlx::query(
            "delete from dead_letter d using unnest($1::uuid[], $2::int[]) as s (run_id, step_no)
             where d.run_id = s.run_id and d.step_no = s.step_no",
        )
        .bind(runs_of(steps))
        .bind(numbers_of(steps))
        .execute(&self.pool)
        .await?;
        Ok(u32::try_from(gone.rows_affected()).unwrap_or(u32::MAX))
    }

    async fn untold_dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>> {
        let rows = sqlx::query(concat!(
            "select ",
            letter_columns!(),
            " from dead_letter d where not d.told order by d.at, d.run_id, d.step_no limit $1"
        ))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(letter).collect()
    }

    async fn dead_letters_told(&self, steps: &[StepId]) -> Result<()> {
        let told = sqlx::query(
            "update dead_letter d set told = true from unnest($1::uuid[], $2::int[]) as s (run_id, step_no)
             where d.run_id = s.run_id and d.step_no = s.step_no",
        );
        told.bind(runs_of(steps)).bind(numbers_of(steps)).execute(&self.pool).await?;
        Ok(())
    }

    async fn parked_runs(
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
            None => page(PARKED),
            Some(pipeline) => page(PARKED_OF).bind(pipeline),
        };
        query.fetch_all(&self.pool).await?.iter().map(run_row).collect()
    }
}

fn runs_of(steps: &[StepId]) -> Vec<Uuid> {
    steps.iter().map(|step| step.run.0).collect()
}

fn numbers_of(steps: &[StepId]) -> Vec<i32> {
    steps.iter().map(|step| step.step.0).collect()
}

fn letter(row: &PgRow) -> Result<DeadLetter> {
    let step = StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) };
    Ok(DeadLetter {
        place: DeadPlace { at_us: row.try_get("at_us")?, step },
        pipeline: row.try_get("pipeline")?,
        pipeline_digest: digest_of(row, "pipeline_digest")?,
        state: parse(row, "state")?,
        cause: row.try_get("cause")?,
    })
}

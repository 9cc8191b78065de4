//! Retention: the calls to `migrations/0026_retention.sql`. On the connections of sweeps, as nobody waits for it.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::retention::{Policy, Retention, Term};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{NAME, Postgres, parse};
use crate::retention::{
    Bounds, Due, GoneVersions, LOOKED_AT, Lane, Piece, PipelineRetention, Place, Remains, Retentions, Turn, VERSIONS,
};
use crate::runs::no_run;
use crate::{Error, Result, ms};

#[async_trait]
impl Retentions for Postgres {
    async fn take_turn(&self, holder: WorkerId, time: Duration, policy: &Policy) -> Result<bool> {
        let taken = sqlx::query_scalar("select pawl_retention_turn_v2($1, $2, $3, $4, $5, $6, $7)")
            .bind(holder.0)
            .bind(ms(time))
            .bind(policy.succeeded.ms().map(u64::cast_signed))
            .bind(policy.failed.ms().map(u64::cast_signed))
            .bind(policy.cancelled.ms().map(u64::cast_signed))
            .bind(ms(policy.grace))
            .bind(policy.audit.ms().map(u64::cast_signed));
        Ok(taken.fetch_one(&self.sweeps).await?)
    }

    async fn turn(&self) -> Result<Option<Turn>> {
        let row = sqlx::query(
            "select holder_id, until > clock_timestamp() as holds, succeeded_ms, failed_ms, cancelled_ms, grace_ms, audit_ms
             from retention where is_this",
        );
        row.fetch_optional(&self.pool).await?.as_ref().map(turn_of).transpose()
    }

    async fn pipeline_retentions(
        &self,
        after: Option<&PipelineRetention>,
        limit: u32,
    ) -> Result<Vec<PipelineRetention>> {
        let rows = sqlx::query(
            "select p.namespace, p.name, v.retention
             from (select p.namespace, p.name, p.digest from pipeline p
                   where (p.namespace, p.name) > ($1, $2) order by p.namespace, p.name limit $3) as p
             cross join lateral (select y.retention from pipeline_version y where y.digest = p.digest offset 0) as v
             order by p.namespace, p.name",
        )
        .bind(after.map_or("", |last| last.namespace.as_str()))
        .bind(after.map_or("", |last| last.pipeline.as_str()))
        .bind(i64::from(limit))
        .fetch_all(&self.sweeps)
        .await?;
        rows.iter().map(pipeline_retention).collect()
    }

    async fn may_be_due(&self, lanes: &[(Lane, Option<Place>)]) -> Result<Vec<usize>> {
        let places: Vec<i64> = sqlx::query_scalar(
            "select l.place
             from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[]) with ordinality
                 as l (namespace, pipeline, status, term_ms, after_us, after_id, place)
             cross join lateral (
                 select from run r
                 where r.namespace = l.namespace and r.pipeline = l.pipeline and r.status = l.status
                   and r.created_at < now() - l.term_ms * interval '1 millisecond'
                   and (r.created_at, r.id) > (coalesce(timestamptz 'epoch' + l.after_us * interval '1 microsecond', '-infinity'),
                                               coalesce(l.after_id, '00000000-0000-0000-0000-000000000000'))
                 order by r.created_at, r.id limit 1) as first
             order by l.place",
        )
        .bind(lanes.iter().map(|(lane, _)| lane.namespace.as_str()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(lane, _)| lane.pipeline.as_str()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(lane, _)| lane.status.as_str()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(lane, _)| lane.term_ms.cast_signed()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(_, after)| after.map(|place| place.at)).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(_, after)| after.map(|place| place.run.0)).collect::<Vec<_>>())
        .fetch_all(&self.sweeps)
        .await?;
        Ok(places.into_iter().filter_map(|place| usize::try_from(place - 1).ok()).collect())
    }

    async fn delete_ended(&self, lane: &Lane, after: Option<Place>, bounds: Bounds) -> Result<Piece> {
        let row = sqlx::query("select * from pawl_delete_ended_v1($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(lane.namespace.as_str())
            .bind(&lane.pipeline)
            .bind(lane.status.as_str())
            .bind(lane.term_ms.cast_signed())
            .bind(after.map(|place| place.at))
            .bind(after.map(|place| place.run.0))
            .bind(bounds.runs.cast_signed())
            .bind(bounds.rows.cast_signed())
            .bind(i64::from(bounds.bytes))
            .fetch_one(&self.sweeps)
            .await?;
        let last: Option<Uuid> = row.try_get("last_id")?;
        let at: Option<i64> = row.try_get("last_us")?;
        Ok(Piece {
            last: at.zip(last).map(|(at, run)| Place { at, run: RunId(run) }),
            runs: count(&row, "deleted")?,
            rows: count(&row, "gone_rows")?,
            remains: row.try_get("waits")?,
            late_ms: row.try_get::<Option<i64>, _>("late_ms")?.and_then(|ms| u64::try_from(ms).ok()),
        })
    }

    async fn delete_remains(&self, bounds: Bounds) -> Result<Remains> {
        let row = sqlx::query("select * from pawl_delete_remains_v1($1, $2, $3)")
            .bind(bounds.runs.cast_signed())
            .bind(bounds.rows.cast_signed())
            .bind(i64::from(bounds.bytes))
            .fetch_one(&self.sweeps)
            .await?;
        Ok(Remains { done: row.try_get("done")?, rows: count(&row, "deleted")? })
    }

    async fn count_due(&self, lane: &Lane, most: u32) -> Result<Due> {
        let row = sqlx::query(
            "select count(*) as looked, count(*) filter (where c.late_ms > 0 and not c.kept) as due,
                    max(c.late_ms) filter (where c.late_ms > 0 and not c.kept) as late_ms
             from (select (extract(epoch from now() - r.ended_at) * 1000)::bigint - $4 as late_ms, r.kept from run r
                   where r.namespace = $1 and r.pipeline = $2 and r.status = $3
                     and r.created_at < now() - $4 * interval '1 millisecond'
                   order by r.created_at, r.id limit $5) as c",
        )
        .bind(lane.namespace.as_str())
        .bind(&lane.pipeline)
        .bind(lane.status.as_str())
        .bind(lane.term_ms.cast_signed())
        .bind(i64::from(most))
        .fetch_one(&self.sweeps)
        .await?;
        Ok(Due {
            runs: row.try_get::<i64, _>("due")?.cast_unsigned(),
            more: row.try_get::<i64, _>("looked")? >= i64::from(most),
            late_ms: row.try_get::<Option<i64>, _>("late_ms")?.map(i64::cast_unsigned),
        })
    }

    async fn keep_run(&self, run: RunId, keep: bool) -> Result<()> {
        let kept = sqlx::query("update run set kept = $2 where id = $1").bind(run.0).bind(keep);
        match kept.execute(&self.pool).await?.rows_affected() {
            0 => Err(no_run(run)),
            _ => Ok(()),
        }
    }

    async fn delete_versions(&self, grace: Duration) -> Result<GoneVersions> {
        let mut gone =
            GoneVersions { pipelines: self.delete_pipeline_versions(grace).await?, ..GoneVersions::default() };
        self.delete_plugin_versions(grace, &mut gone).await?;
        Ok(gone)
    }

    async fn delete_audit(&self, term_ms: u64, lines: u32) -> Result<u64> {
        let deleting = sqlx::query_scalar("select pawl_delete_audit_v1($1, $2)");
        let gone: i32 = deleting.bind(term_ms.cast_signed()).bind(lines.cast_signed()).fetch_one(&self.sweeps).await?;
        Ok(u64::from(gone.cast_unsigned()))
    }
}

impl Postgres {
    /// Each in a transaction of its own. Returns how many.
    async fn delete_pipeline_versions(&self, grace: Duration) -> Result<u64> {
        let mut gone = 0;
        let mut after: (i64, Vec<u8>) = (0, Vec::new());
        loop {
            let page: Vec<(i64, Vec<u8>)> = sqlx::query_as(
                "select (extract(epoch from v.last_named_at) * 1000000)::bigint, v.digest
                 from pipeline_version v
                 where v.last_named_at < clock_timestamp() - $1 * interval '1 millisecond'
                   and (v.last_named_at, v.digest) > (timestamptz 'epoch' + $2 * interval '1 microsecond', $3)
                   and not exists (select from pipeline p where p.digest = v.digest)
                 order by v.last_named_at, v.digest limit $4",
            )
            .bind(ms(grace))
            .bind(after.0)
            .bind(&after.1)
            .bind(VERSIONS)
            .fetch_all(&self.sweeps)
            .await?;
            let Some(last) = page.last() else { return Ok(gone) };
            after.clone_from(last);
            for (_, digest) in &page {
                let deleting = sqlx::query_scalar("select pawl_delete_pipeline_version_v1($1, $2, $3)");
                let is_gone: bool =
                    deleting.bind(digest).bind(ms(grace)).bind(LOOKED_AT).fetch_one(&self.sweeps).await?;
                gone += u64::from(is_gone);
            }
        }
    }

    /// The same; they are counted as they go.
    async fn delete_plugin_versions(&self, grace: Duration, gone: &mut GoneVersions) -> Result<()> {
        let mut after: (i64, String, String, String) = Default::default();
        loop {
            let page: Vec<(i64, String, String, String)> = sqlx::query_as(
                "select (extract(epoch from v.last_named_at) * 1000000)::bigint, v.namespace, v.name, v.version
                 from plugin_version v
                 cross join lateral (select y.* from plugin y where y.namespace = v.namespace and y.name = v.name offset 0) as p
                 where v.last_named_at < clock_timestamp() - $1 * interval '1 millisecond'
                   and (v.last_named_at, v.namespace, v.name, v.version)
                       > (timestamptz 'epoch' + $2 * interval '1 microsecond', $3, $4, $5)
                   and not coalesce(v.version = any (p.earlier_versions || p.previous_version || p.active_version), false)
                   and not exists (select from pipeline_step s where s.plugin = v.name and s.version = v.version)
                 order by v.last_named_at, v.namespace, v.name, v.version limit $6",
            )
            .bind(ms(grace))
            .bind(after.0)
            .bind(&after.1)
            .bind(&after.2)
            .bind(&after.3)
            .bind(VERSIONS)
            .fetch_all(&self.sweeps)
            .await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for (_, namespace, name, version) in &page {
                let deleting = sqlx::query_scalar("select pawl_delete_plugin_version_v1($1, $2, $3, $4, $5)");
                let deleting = deleting.bind(namespace).bind(name).bind(version).bind(ms(grace)).bind(LOOKED_AT);
                let went: i32 = deleting.fetch_one(&self.sweeps).await?;
                gone.plugins += u64::from(went > 0);
                gone.components += u64::from(went > 1);
            }
        }
    }
}

fn count(row: &PgRow, column: &str) -> Result<u64> {
    Ok(u64::from(row.try_get::<i32, _>(column)?.cast_unsigned()))
}

fn turn_of(row: &PgRow) -> Result<Turn> {
    let term = |column: &str| {
        let ms: Option<i64> = row.try_get(column)?;
        Result::Ok(ms.map_or(Term::Keep, |ms| Term::Ms(ms.cast_unsigned())))
    };
    Ok(Turn {
        holder: WorkerId(row.try_get("holder_id")?),
        holds: row.try_get("holds")?,
        policy: Policy {
            succeeded: term("succeeded_ms")?,
            failed: term("failed_ms")?,
            cancelled: term("cancelled_ms")?,
            grace: Duration::from_millis(row.try_get::<i64, _>("grace_ms")?.cast_unsigned()),
            audit: term("audit_ms")?,
        },
    })
}

fn pipeline_retention(row: &PgRow) -> Result<PipelineRetention> {
    let said: Option<&str> = row.try_get("retention")?;
    let retention = said.map_or(Ok(Retention::default()), serde_json::from_str);
    Ok(PipelineRetention {
        namespace: parse(row, "namespace")?,
        pipeline: row.try_get("name")?,
        retention: retention.map_err(|error| Error::Refused(NAME, error.into()))?,
    })
}

//! Which worker can load which component.

use async_trait::async_trait;
use pawl_domain::id::{Digest, WorkerId};
use sqlx::Row;

use super::{Postgres, digest_of};
use crate::Result;
use crate::readiness::{LiveWorker, Readiness, Report};

#[async_trait]
impl Readiness for Postgres {
    async fn want(&self, digest: Digest) -> Result<()> {
        sqlx::query("update plugin_version set wanted_at = clock_timestamp() where digest = $1")
            .bind(&digest.0[..])
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn wanted_components(&self, worker: WorkerId) -> Result<Vec<Digest>> {
        let rows = sqlx::query(
            "select distinct v.digest
             from plugin_version v join plugin p on p.namespace = v.namespace and p.name = v.name
             where (v.version = p.active_version or v.wanted_at > clock_timestamp() - interval '10 minutes')
               and not exists (select from worker_component c where c.worker_id = $1 and c.digest = v.digest)",
        );
        rows.bind(worker.0).fetch_all(&self.pool).await?.iter().map(|row| digest_of(row, "digest")).collect()
    }

    async fn report_components(&self, worker: WorkerId, reports: &[Report]) -> Result<()> {
        sqlx::query(
            "insert into worker_component (worker_id, digest, refusal)
             select w.id, r.digest, r.refusal
             from unnest($2::bytea[], $3::text[]) as r (digest, refusal)
             join worker w on w.id = $1
             on conflict (worker_id, digest) do update set refusal = excluded.refusal",
        )
        .bind(worker.0)
        .bind(reports.iter().map(|report| &report.digest.0[..]).collect::<Vec<_>>())
        .bind(reports.iter().map(|report| report.refusal.as_deref()).collect::<Vec<_>>())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn live_workers_and(&self, digest: Digest) -> Result<Vec<LiveWorker>> {
        let rows = sqlx::query(
            "select w.id, w.host, w.pid, c.worker_id is not null as reported, c.refusal
             from worker w left join worker_component c on c.worker_id = w.id and c.digest = $1
             where w.expires_at > clock_timestamp() and not w.draining order by w.id",
        );
        let rows = rows.bind(&digest.0[..]).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let refusal: Option<String> = row.try_get("refusal")?;
                Ok(LiveWorker {
                    id: WorkerId(row.try_get("id")?),
                    host: row.try_get("host")?,
                    pid: row.try_get::<i32, _>("pid")?.cast_unsigned(),
                    report: row.try_get::<bool, _>("reported")?.then_some(refusal),
                })
            })
            .collect()
    }
}

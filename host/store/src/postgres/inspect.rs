//! What an operator looks at besides the invariants.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::namespace::Namespace;
use sqlx::Row as _;

use super::Postgres;
use crate::doctor::{Condition, FAILED_LOOKED_AT, Inspections, Troubles};
use crate::live::PARKED_LOOKED_AT;
use crate::{Result, ms};

#[async_trait]
impl Inspections for Postgres {
    async fn condition(&self) -> Result<Condition> {
        // Sessions are counted where every role may see those of all others.
        let row = sqlx::query(
            "select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms,
                    (select coalesce(sum(numbackends), 0)::int from pg_stat_database) as used,
                    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as most,
                    pg_database_size(current_database()) as size_bytes,
                    (select (extract(epoch from clock_timestamp() - min(xact_start)) * 1000)::bigint from pg_stat_activity
                     where backend_type = 'client backend' and datname = current_database()
                       and pid <> pg_backend_pid()) as oldest_ms",
        )
        .fetch_one(&self.pool)
        .await?;
        let count = |name: &str| Ok::<_, sqlx::Error>(u32::try_from(row.try_get::<i32, _>(name)?).unwrap_or(0));
        let oldest_ms: Option<i64> = row.try_get("oldest_ms")?;
        Ok(Condition {
            now_ms: row.try_get("now_ms")?,
            sessions: Some((count("used")?, count("most")?)),
            size_bytes: u64::try_from(row.try_get::<i64, _>("size_bytes")?).unwrap_or(0),
            oldest_transaction_ms: oldest_ms.and_then(|ms| u64::try_from(ms).ok()),
        })
    }

    async fn troubles(&self, namespace: &Namespace, since: Duration) -> Result<Troubles> {
        // Not on the connections that requests share: while somebody holds an old snapshot, it walks over what is gone.
        let row = sqlx::query(
            "select (select array[count(*), count(*) filter (where p.parked_at > clock_timestamp() - $2 * interval '1 millisecond')]::int[]
                     from (select s.status, s.parked_at from step s where s.parked_at is not null limit $3) as p
                     where p.status = 'parked') as parked,
                    (select count(*)::int
                     from (select r.ended_at from run r where r.namespace = $1 and r.status = 'failed'
                           order by r.created_at desc, r.id desc limit $4) as f
                     where f.ended_at > clock_timestamp() - $2 * interval '1 millisecond') as failed",
        )
        .bind(namespace.as_str())
        .bind(ms(since))
        .bind(i64::from(PARKED_LOOKED_AT))
        .bind(i64::from(FAILED_LOOKED_AT))
        .fetch_one(&self.sweeps)
        .await?;
        let parked: Vec<i32> = row.try_get("parked")?;
        let count = |value: Option<&i32>| value.map_or(0, |value| value.cast_unsigned());
        Ok(Troubles {
            parked: count(parked.first()),
            parked_since: count(parked.get(1)),
            failed_since: row.try_get::<i32, _>("failed")?.cast_unsigned(),
        })
    }
}

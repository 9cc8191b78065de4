//! Incidents, as `migrations/0039_incidents.sql` keeps them.

use async_trait::async_trait;
use pawl_domain::incident::{Kind, LAPSES_AFTER_MS, Span, WITHIN_MS};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, parse};
use crate::incidents::{IncidentFilter, IncidentRow, Incidents, MOST_QUEUES, Sighting};
use crate::{Result, ms};

#[async_trait]
impl Incidents for Postgres {
    async fn record_incident(&self, seen: Sighting<'_>) -> Result<()> {
        let query = sqlx::query("select pawl_note_incident_v1($1, $2, $3, $4, $5, $6, $7)")
            .bind(seen.kind.as_str())
            .bind(seen.subject)
            .bind(seen.detail)
            .bind(ms(seen.began))
            .bind(ms(seen.seen))
            .bind(seen.ended.map(ms))
            .bind(WITHIN_MS);
        query.execute(&self.pool).await?;
        Ok(())
    }

    async fn unattended(&self) -> Result<Vec<String>> {
        // On the connections that requests share: it is soon known whether there are any.
        let queues = sqlx::query_scalar("select * from pawl_unattended_v1($1, $2) as queue order by queue")
            .bind(LAPSES_AFTER_MS)
            .bind(MOST_QUEUES.cast_signed());
        Ok(queues.fetch_all(&self.pool).await?)
    }

    async fn incidents(&self, filter: IncidentFilter<'_>) -> Result<Vec<IncidentRow>> {
        let query = sqlx::query(
            "select i.id, i.kind, i.subject, i.detail, i.steps,
                    (extract(epoch from i.began_at) * 1000)::bigint as began_ms,
                    (extract(epoch from i.seen_at) * 1000)::bigint as seen_ms,
                    (extract(epoch from i.ended_at) * 1000)::bigint as ended_ms
             from incident i
             where i.namespace in ('', $1) and ($2::text is null or i.kind = $2)
               and ($3::bigint is null
                    or coalesce(i.ended_at, 'infinity') >= clock_timestamp() - $3 * interval '1 millisecond')
               and ($4::bigint is null
                    or (i.began_at, i.id) < (select b.began_at, b.id from incident b where b.id = $4))
             order by i.began_at desc, i.id desc limit $5",
        )
        .bind(filter.namespace.as_str())
        .bind(filter.kind.map(Kind::as_str))
        .bind(filter.within.map(ms))
        .bind(filter.before)
        .bind(i64::from(filter.limit));
        query.fetch_all(&self.pool).await?.iter().map(incident).collect()
    }
}

fn incident(row: &PgRow) -> Result<IncidentRow> {
    Ok(IncidentRow {
        id: row.try_get("id")?,
        kind: parse(row, "kind")?,
        subject: row.try_get("subject")?,
        detail: row.try_get("detail")?,
        steps: row.try_get::<Option<i32>, _>("steps")?.map(i32::cast_unsigned),
        span: Span {
            began_ms: row.try_get("began_ms")?,
            seen_ms: row.try_get("seen_ms")?,
            ended_ms: row.try_get("ended_ms")?,
        },
    })
}

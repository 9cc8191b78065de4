//! The record of changes, as `migrations/0040_tokens.sql` and `0045_stored_bytes.sql` keep it.

use async_trait::async_trait;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, parse};
use crate::Result;
use crate::audit::{Asked, AuditFilter, AuditRow, Audits};

macro_rules! page {
    ($of:literal) => {
        concat!(
            "select id, (extract(epoch from at) * 1000)::bigint as at_ms, who, source, what, target, subject, run_id, namespace, status
             from audit where id < $1 ",
            $of,
            " order by id desc limit $2"
        )
    };
}

#[async_trait]
impl Audits for Postgres {
    async fn ask(&self, asked: &Asked) -> Result<i64> {
        let query = sqlx::query_scalar(
            "insert into audit (who, source, what, target, run_id, namespace) values ($1, $2, $3, $4, $5, $6) returning id",
        )
        .bind(&asked.who)
        .bind(&asked.source)
        .bind(&asked.what)
        .bind(&asked.target)
        .bind(asked.run.map(|run| run.0))
        .bind(asked.namespace.as_ref().map(Namespace::as_str));
        Ok(query.fetch_one(&self.pool).await?)
    }

    async fn answered(&self, id: i64, status: u16, subject: Option<&str>) -> Result<()> {
        let query = sqlx::query("update audit set status = $2, subject = $3 where id = $1");
        query.bind(id).bind(i32::from(status)).bind(subject).execute(&self.pool).await?;
        Ok(())
    }

    async fn take_back(&self, id: i64) -> Result<()> {
        sqlx::query("delete from audit where id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    async fn audit(&self, filter: AuditFilter<'_>) -> Result<Vec<AuditRow>> {
        let AuditFilter { namespace, run, before, limit } = filter;
        let page = |sql: &'static str| sqlx::query(sql).bind(before.unwrap_or(i64::MAX)).bind(i64::from(limit));
        let query = match (run, namespace) {
            (None, None) => page(page!("")),
            (Some(run), None) => page(page!("and run_id = $3")).bind(run.0),
            (None, Some(own)) => page(page!("and namespace = $3")).bind(own.as_str()),
            (Some(run), Some(own)) => page(page!("and run_id = $3 and namespace = $4")).bind(run.0).bind(own.as_str()),
        };
        query.fetch_all(&self.pool).await?.iter().map(line).collect()
    }

    async fn change_since(&self, at_ms: i64) -> Result<i64> {
        let query = sqlx::query_scalar(
            "with recursive halved (low, high) as (
                 select coalesce((select a.id from audit a order by a.id limit 1), 1),
                        coalesce((select a.id from audit a order by a.id desc limit 1), 0) + 1
                 union all
                 -- A number in between may be none's: the next line's time counts.
                 select case when m.is_before then (h.low + h.high) / 2 + 1 else h.low end,
                        case when m.is_before then h.high else (h.low + h.high) / 2 end
                 from halved h
                 cross join lateral (
                     select (extract(epoch from a.at) * 1000)::bigint < $1 as is_before from audit a
                     where a.id >= (h.low + h.high) / 2 order by a.id limit 1) as m
                 where h.low < h.high
             )
             select max(low) from halved",
        );
        Ok(query.bind(at_ms).fetch_one(&self.pool).await?)
    }
}

fn line(row: &PgRow) -> Result<AuditRow> {
    Ok(AuditRow {
        id: row.try_get("id")?,
        at_ms: row.try_get("at_ms")?,
        asked: Asked {
            who: row.try_get("who")?,
            source: row.try_get("source")?,
            what: row.try_get("what")?,
            target: row.try_get("target")?,
            run: row.try_get::<Option<_>, _>("run_id")?.map(RunId),
            namespace: namespace_of(row)?,
        },
        subject: row.try_get("subject")?,
        status: row.try_get::<Option<i32>, _>("status")?.and_then(|status| u16::try_from(status).ok()),
    })
}

fn namespace_of(row: &PgRow) -> Result<Option<Namespace>> {
    row.try_get::<Option<&str>, _>("namespace")?.map(|_| parse(row, "namespace")).transpose()
}

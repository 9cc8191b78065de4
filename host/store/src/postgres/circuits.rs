//! Circuits, as `migrations/0037_circuits.sql` keeps them.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::decision::circuit::{LAPSES_AFTER, Open, PULLS_EVERY, Probe};
use pawl_domain::id::WorkerId;
use pawl_domain::namespace::Namespace;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Postgres, parse};
use crate::circuits::{CircuitRow, Circuits, DEFERRED_COUNTED, Known, MOST_CIRCUITS, Opening, Probed, Probing, Tended};
use crate::{Result, ms};

#[async_trait]
impl Circuits for Postgres {
    async fn open_circuit(&self, opening: Opening<'_>) -> Result<Option<Known>> {
        let query = sqlx::query(
            "select id, namespace, origin, (extract(epoch from retry_at) * 1000)::bigint as retry_at_ms,
                    null::bigint as probe_until_ms, false as is_closed
             from pawl_open_circuit_v1($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(opening.namespace.as_str())
        .bind(opening.origin)
        .bind(opening.reason)
        .bind(opening.failures.cast_signed())
        .bind(opening.worker.0)
        .bind(ms(opening.first))
        .bind(MOST_CIRCUITS.cast_signed());
        query.fetch_optional(&self.pool).await?.as_ref().map(known).transpose()
    }

    async fn probe_circuit(&self, circuit: i64, worker: WorkerId, lease: Duration) -> Result<Probing> {
        let query = sqlx::query("select won, retry_at_ms, probe_until_ms from pawl_probe_circuit_v1($1, $2, $3)")
            .bind(circuit)
            .bind(worker.0)
            .bind(ms(lease));
        let Some(row) = query.fetch_optional(&self.pool).await? else { return Ok(Probing::Closed) };
        Ok(match row.try_get::<Option<i32>, _>("won")? {
            Some(number) => Probing::Won(Probe { circuit, number: number.cast_unsigned() }),
            None => Probing::Held(open(&row)?),
        })
    }

    async fn probed_circuit(&self, probe: Probe, told: Probed<'_>) -> Result<Option<i64>> {
        let (word, reason, longest) = match told {
            Probed::Up => ("up", None, None),
            Probed::Down { reason, longest } => ("down", Some(reason), Some(ms(longest))),
            Probed::Nothing => ("nothing", None, None),
        };
        let query = sqlx::query_scalar("select pawl_probed_v1($1, $2, $3, $4, $5)")
            .bind(probe.circuit)
            .bind(probe.number.cast_signed())
            .bind(word)
            .bind(reason)
            .bind(longest);
        Ok(query.fetch_optional(&self.pool).await?)
    }

    async fn tend_circuits(&self, limit: usize) -> Result<Tended> {
        let query = sqlx::query(
            "select id, namespace, origin, retry_at_ms, probe_until_ms, is_closed, is_due
             from pawl_tend_circuits_v1($1, $2, $3)",
        )
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .bind(ms(LAPSES_AFTER))
        .bind(ms(PULLS_EVERY));
        let mut tended = Tended::default();
        for row in query.fetch_all(&self.pool).await? {
            tended.due |= row.try_get::<bool, _>("is_due")?;
            tended.circuits.push(known(&row)?);
        }
        Ok(tended)
    }

    async fn close_circuit(&self, namespace: &Namespace, origin: &str) -> Result<bool> {
        let query = sqlx::query_scalar("select pawl_close_circuit_v1($1, $2)").bind(namespace.as_str()).bind(origin);
        Ok(query.fetch_one(&self.pool).await?)
    }

    async fn circuits(&self, namespace: &Namespace) -> Result<Vec<CircuitRow>> {
        let query = sqlx::query(
            "select c.namespace, c.origin, c.reason, c.failures, c.opened_by,
                    (extract(epoch from c.opened_at) * 1000)::bigint as opened_at_ms,
                    (extract(epoch from c.retry_at) * 1000)::bigint as retry_at_ms,
                    case when pawl_is_probed_v1(c.probed_by, c.probe_until, clock_timestamp()) then c.probed_by end as prober,
                    (select count(*)::int from (select from step s where s.deferred_by = c.id and s.due_at is not null
                                                limit $2) as counted) as deferred
             from circuit c where c.namespace = $1 and c.closed_at is null order by c.origin",
        )
        .bind(namespace.as_str())
        .bind(i64::from(DEFERRED_COUNTED));
        query.fetch_all(&self.pool).await?.iter().map(circuit).collect()
    }
}

fn known(row: &PgRow) -> Result<Known> {
    let open = if row.try_get("is_closed")? { None } else { Some(open(row)?) };
    Ok(Known { id: row.try_get("id")?, namespace: parse(row, "namespace")?, origin: row.try_get("origin")?, open })
}

fn open(row: &PgRow) -> Result<Open> {
    Ok(Open { retry_at_ms: row.try_get("retry_at_ms")?, probed_until_ms: row.try_get("probe_until_ms")? })
}

fn circuit(row: &PgRow) -> Result<CircuitRow> {
    Ok(CircuitRow {
        namespace: parse(row, "namespace")?,
        origin: row.try_get("origin")?,
        reason: row.try_get("reason")?,
        failures: row.try_get::<i32, _>("failures")?.cast_unsigned(),
        opened_at_ms: row.try_get("opened_at_ms")?,
        opened_by: row.try_get::<Option<_>, _>("opened_by")?.map(WorkerId),
        retry_at_ms: row.try_get("retry_at_ms")?,
        probed_by: row.try_get::<Option<_>, _>("prober")?.map(WorkerId),
        deferred: row.try_get::<i32, _>("deferred")?.cast_unsigned(),
    })
}

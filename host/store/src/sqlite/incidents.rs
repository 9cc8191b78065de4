//! Incidents, as `migrations/0039_incidents.sql` has them for Postgres.

use async_trait::async_trait;
use pawl_domain::id::WorkerId;
use pawl_domain::incident::{Kind, LAPSES_AFTER_MS, Noted, Span, noted};
use pawl_domain::ready::SHELVED_MS;
use rusqlite::{Connection, Row};

use super::ledger::{Ledger, now_ms};
use super::live::served_queues;
use super::{Sqlite, parse, row, rows};
use crate::incidents::{IncidentFilter, IncidentRow, Incidents, MOST_QUEUES, Sighting};
use crate::{Result, ms};

#[async_trait]
impl Incidents for Sqlite {
    async fn record_incident(&self, seen: Sighting<'_>) -> Result<()> {
        let Sighting { kind, began, seen: last, ended, .. } = seen;
        let (subject, detail) = (seen.subject.to_owned(), seen.detail.to_owned());
        self.change(move |ledger| {
            let ago = |time| ledger.now_ms - ms(time);
            let span = Span { began_ms: ago(began), seen_ms: ago(last), ended_ms: ended.map(ago) };
            record(ledger.conn, kind, &subject, &detail, span)
        })
        .await
    }

    async fn unattended(&self) -> Result<Vec<String>> {
        self.change(|ledger| {
            lapse(ledger.conn, ledger.now_ms)?;
            unserved(ledger.conn, ledger.now_ms)
        })
        .await
    }

    async fn incidents(&self, filter: IncidentFilter<'_>) -> Result<Vec<IncidentRow>> {
        let IncidentFilter { kind, before, limit, .. } = filter;
        let namespace = filter.namespace.to_string();
        let since_ms = filter.within.map(|within| now_ms() - ms(within));
        self.read(move |conn| {
            let sql = "select * from incident i
                       where i.namespace in ('', ?1) and (?2 is null or i.kind = ?2)
                         and (?3 is null or i.ended_at is null or i.ended_at >= ?3)
                         and (?4 is null
                              or (i.began_at, i.id) < (select b.began_at, b.id from incident b where b.id = ?4))
                       order by i.began_at desc, i.id desc limit ?5";
            let kind = kind.map(Kind::as_str);
            rows(conn, sql, (namespace, kind, since_ms, before, limit), |row| {
                Ok(IncidentRow {
                    id: row.get("id")?,
                    kind: parse(row, "kind")?,
                    subject: row.get("subject")?,
                    detail: row.get("detail")?,
                    steps: row.get("steps")?,
                    span: span_of(row)?,
                })
            })
        })
        .await
    }
}

fn record(conn: &Connection, kind: Kind, subject: &str, detail: &str, seen: Span) -> Result<()> {
    let sql = "select id, began_at, seen_at, ended_at from incident
               where kind = ?1 and namespace = '' and subject = ?2 order by began_at, id";
    let known: Vec<(i64, Span)> = rows(conn, sql, (kind.as_str(), subject), |row| Ok((row.get("id")?, span_of(row)?)))?;
    let spans: Vec<Span> = known.iter().map(|(_, span)| *span).collect();
    let Noted { span: Span { began_ms, seen_ms, ended_ms }, of } = noted(&spans, seen);
    let Some((first, others)) = of.split_first() else {
        let sql =
            "insert into incident (kind, subject, detail, began_at, seen_at, ended_at) values (?1, ?2, ?3, ?4, ?5, ?6)";
        conn.execute(sql, (kind.as_str(), subject, detail, began_ms, seen_ms, ended_ms))?;
        return Ok(());
    };
    for other in others {
        conn.execute("delete from incident where id = ?1", [known[*other].0])?;
    }
    let sql = "update incident set began_at = ?2, seen_at = ?3, ended_at = ?4 where id = ?1";
    conn.execute(sql, (known[*first].0, began_ms, seen_ms, ended_ms))?;
    Ok(())
}

/// Ends those that nobody sees any more.
fn lapse(conn: &Connection, now_ms: i64) -> Result<()> {
    let sql = "select id, kind, began_at, seen_at, ended_at from incident
               where ended_at is null and seen_at < ?1";
    let lasting = rows(conn, sql, [now_ms - LAPSES_AFTER_MS], |row| {
        Ok((row.get::<_, i64>("id")?, parse::<Kind>(row, "kind")?, span_of(row)?))
    })?;
    for (id, kind, span) in lasting {
        if let Some(ended_ms) = span.lapsed(kind, now_ms).ended_ms {
            conn.execute("update incident set ended_at = ?2 where id = ?1", (id, ended_ms))?;
        }
    }
    Ok(())
}

/// Queues in which steps wait, or were in the hands of the dead, and that no live worker serves.
fn unserved(conn: &Connection, now_ms: i64) -> Result<Vec<String>> {
    let served = served_queues(conn, now_ms)?;
    let sql = "select distinct queue from step where ready_at < ?1
               union
               select queue from step s
               where s.status = 'running' and not exists (select 1 from worker w where w.id = s.worker_id and w.expires_at > ?2)
               order by queue limit ?3";
    let is_paused = "select name from pause where kind = 'queue' and ended_at is null";
    let paused: Vec<String> = rows(conn, is_paused, [], |row| Ok(row.get("name")?))?;
    let mut queues: Vec<String> = rows(conn, sql, (SHELVED_MS, now_ms, MOST_QUEUES), |row| Ok(row.get("queue")?))?;
    queues.retain(|queue| !paused.contains(queue) && !served.iter().any(|queues| queues.contains(queue)));
    Ok(queues)
}

/// A worker's lease ended, and so many steps were taken from it; of a worker that is forgotten by now nobody knows.
pub(super) fn died(ledger: &Ledger<'_>, worker: WorkerId, steps: u32) -> Result<()> {
    let sql = "select host, pid, expires_at from worker where id = ?1";
    let found = row(ledger.conn, sql, [worker.0], |row| {
        let detail = format!("pid {} on {}", row.get::<_, i64>("pid")?, row.get::<_, String>("host")?);
        Ok((detail, row.get::<_, i64>("expires_at")?))
    })?;
    let Some((detail, began_ms)) = found else { return Ok(()) };
    ledger.conn.execute(
        "insert into incident (kind, subject, detail, steps, began_at, seen_at, ended_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         on conflict (subject) where kind = 'worker.died' do update
         set steps = steps + excluded.steps, seen_at = excluded.seen_at, ended_at = excluded.ended_at",
        (Kind::WorkerDied.as_str(), worker.to_string(), detail, steps, began_ms, ledger.now_ms),
    )?;
    Ok(())
}

/// A worker that lost its lease is back, and had not died.
pub(super) fn had_not_died(conn: &Connection, worker: WorkerId) -> Result<()> {
    let sql = "delete from incident where kind = ?1 and subject = ?2";
    conn.execute(sql, (Kind::WorkerDied.as_str(), worker.to_string()))?;
    Ok(())
}

fn span_of(row: &Row<'_>) -> Result<Span> {
    Ok(Span { began_ms: row.get("began_at")?, seen_ms: row.get("seen_at")?, ended_ms: row.get("ended_at")? })
}

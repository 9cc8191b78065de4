//! Which worker can load which component.

use async_trait::async_trait;
use pawl_domain::id::{Digest, WorkerId};

use super::ledger::now_ms;
use super::{Sqlite, digest_of, rows};
use crate::Result;
use crate::readiness::{LiveWorker, Readiness, Report};

/// How long what is wanted is compiled ahead by workers that come later.
const WANTED_MS: i64 = 600_000;

/// A value for `wanted_at` that was not there before, close to now; takes the time in ms as ?1.
pub(super) const NEXT_WANTED: &str = "(select max(?1 * 1000, coalesce(max(wanted_at) + 1, 0)) from plugin_version)";

#[async_trait]
impl Readiness for Sqlite {
    async fn want(&self, digest: Digest) -> Result<()> {
        self.change(move |ledger| {
            let sql = format!("update plugin_version set wanted_at = {NEXT_WANTED} where digest = ?2");
            ledger.conn.prepare_cached(&sql)?.execute((ledger.now_ms, &digest.0[..]))?;
            Ok(())
        })
        .await
    }

    async fn wanted_components(&self, worker: WorkerId) -> Result<Vec<Digest>> {
        self.read(move |conn| {
            let sql = "select distinct v.digest
                       from plugin_version v join plugin p on p.namespace = v.namespace and p.name = v.name
                       where (v.version = p.active_version or v.wanted_at > ?2 * 1000)
                         and not exists (select 1 from worker_component c where c.worker_id = ?1 and c.digest = v.digest)";
            rows(conn, sql, (worker.0, now_ms() - WANTED_MS), |row| digest_of(row, "digest"))
        })
        .await
    }

    async fn report_components(&self, worker: WorkerId, reports: &[Report]) -> Result<()> {
        let reports = reports.to_vec();
        self.change(move |ledger| {
            for Report { digest, refusal } in reports {
                let mut replace = ledger.conn.prepare_cached(
                    "insert or replace into worker_component (worker_id, digest, refusal)
                     select id, ?2, ?3 from worker where id = ?1",
                )?;
                replace.execute((worker.0, &digest.0[..], refusal))?;
            }
            Ok(())
        })
        .await
    }

    async fn live_workers_and(&self, digest: Digest) -> Result<Vec<LiveWorker>> {
        self.read(move |conn| {
            let sql = "select w.id, w.host, w.pid, c.worker_id is not null as reported, c.refusal
                       from worker w left join worker_component c on c.worker_id = w.id and c.digest = ?1
                       where w.expires_at > ?2 and not w.draining order by w.id";
            rows(conn, sql, (&digest.0[..], now_ms()), |row| {
                let refusal: Option<String> = row.get("refusal")?;
                Ok(LiveWorker {
                    id: WorkerId(row.get("id")?),
                    host: row.get("host")?,
                    pid: row.get("pid")?,
                    report: row.get::<_, bool>("reported")?.then_some(refusal),
                })
            })
        })
        .await
    }
}

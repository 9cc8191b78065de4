//! Circuits, as `migrations/0037_circuits.sql` has them for Postgres. One change at a time: a step can't be deferred by one that
//! has closed.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::decision::circuit::{LAPSES_AFTER, May, Open, PULLS_EVERY, Probe, may_call, open_again_ms};
use pawl_domain::id::{RunId, StepId, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::status::StepStatus;
use rusqlite::{Connection, Row};

use super::ledger::{Ledger, now_ms};
use super::sweeps::step_of;
use super::{Sqlite, leases, parse, row, rows};
use crate::circuits::{CircuitRow, Circuits, DEFERRED_COUNTED, Known, MOST_CIRCUITS, Opening, Probed, Probing, Tended};
use crate::live::CircuitCount;
use crate::{Result, ms};

/// A circuit's row.
struct Circuit {
    id: i64,
    namespace: Namespace,
    origin: String,
    open_ms: i64,
    probe: u32,
    pulled_at: Option<i64>,
    is_closed: bool,
    /// Its probe only as long as its prober's lease stands.
    open: Open,
}

#[async_trait]
impl Circuits for Sqlite {
    async fn open_circuit(&self, opening: Opening<'_>) -> Result<Option<Known>> {
        let Opening { namespace, origin, reason, failures, worker, first } = opening;
        let (namespace, origin, reason) = (namespace.to_string(), origin.to_owned(), reason.to_owned());
        self.change(move |ledger| {
            if let Some(before) = open_of(ledger, &namespace, &origin)? {
                return Ok(Some(before.known()));
            }
            let sql = "select count(*) >= ?1 as is_full from circuit where closed_at is null";
            if row(ledger.conn, sql, [MOST_CIRCUITS], |row| Ok(row.get("is_full")?))?.unwrap_or(false) {
                return Ok(None);
            }
            let sql =
                "insert into circuit (namespace, origin, reason, failures, opened_at, opened_by, open_ms, retry_at)
                       values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5 + ?7)";
            let now_ms = ledger.now_ms;
            ledger.conn.execute(sql, (&namespace, &origin, reason, failures, now_ms, worker.0, ms(first)))?;
            Ok(open_of(ledger, &namespace, &origin)?.as_ref().map(Circuit::known))
        })
        .await
    }

    async fn probe_circuit(&self, circuit: i64, worker: WorkerId, lease: Duration) -> Result<Probing> {
        self.change(move |ledger| {
            let Some(found) = one(ledger, circuit)?.filter(|it| !it.is_closed) else { return Ok(Probing::Closed) };
            if may_call(Some(found.open), ledger.now_ms) != May::Probe {
                return Ok(Probing::Held(found.open));
            }
            let number = found.probe + 1;
            let sql = "update circuit set probe = ?2, probed_by = ?3, probe_until = ?4 where id = ?1";
            ledger.conn.execute(sql, (circuit, number, worker.0, ledger.now_ms + ms(lease)))?;
            Ok(Probing::Won(Probe { circuit, number }))
        })
        .await
    }

    async fn probed_circuit(&self, probe: Probe, told: Probed<'_>) -> Result<Option<i64>> {
        let (is_up, down) = match told {
            Probed::Up => (true, None),
            Probed::Down { reason, longest } => (false, Some((reason.to_owned(), longest))),
            Probed::Nothing => (false, None),
        };
        self.change(move |ledger| {
            let (id, now_ms) = (probe.circuit, ledger.now_ms);
            let Some(found) = one(ledger, id)?.filter(|it| !it.is_closed) else { return Ok(None) };
            if found.probe != probe.number {
                return Ok(Some(found.open.retry_at_ms));
            }
            if is_up {
                ledger.conn.execute("update circuit set closed_at = ?2 where id = ?1", (id, now_ms))?;
                return Ok(None);
            }
            let given_back = "update circuit set probed_by = null, probe_until = null, pulled_at = null where id = ?1";
            ledger.conn.execute(given_back, [id])?;
            let Some((reason, longest)) = down else { return Ok(Some(found.open.retry_at_ms)) };
            let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            let open_ms = open_again_ms(found.open_ms.cast_unsigned(), longest).cast_signed();
            let sql =
                "update circuit set failures = failures + 1, reason = ?2, open_ms = ?3, retry_at = ?4 where id = ?1";
            ledger.conn.execute(sql, (id, reason, open_ms, now_ms + open_ms))?;
            Ok(Some(now_ms + open_ms))
        })
        .await
    }

    async fn tend_circuits(&self, limit: usize) -> Result<Tended> {
        self.change(move |ledger| tend(ledger, limit)).await
    }

    async fn close_circuit(&self, namespace: &Namespace, origin: &str) -> Result<bool> {
        let (namespace, origin) = (namespace.to_string(), origin.to_owned());
        self.change(move |ledger| {
            let sql = "update circuit set closed_at = ?3 where namespace = ?1 and origin = ?2 and closed_at is null";
            Ok(ledger.conn.execute(sql, (namespace, origin, ledger.now_ms))? > 0)
        })
        .await
    }

    async fn circuits(&self, namespace: &Namespace) -> Result<Vec<CircuitRow>> {
        let namespace = namespace.to_string();
        self.read(move |conn| {
            let sql = "select c.*, (select count(*) from (select 1 from step s
                                                          where s.deferred_by = c.id and s.due_at is not null limit ?2)) as deferred
                       from circuit c where c.namespace = ?1 and c.closed_at is null order by c.origin";
            let mut circuits = rows(conn, sql, (namespace, DEFERRED_COUNTED), |row| {
                let is_probed = row.get::<_, Option<i64>>("probe_until")?.is_some_and(|until_ms| until_ms > now_ms());
                let probed_by: Option<_> = row.get("probed_by")?;
                Ok(CircuitRow {
                    namespace: parse(row, "namespace")?,
                    origin: row.get("origin")?,
                    reason: row.get("reason")?,
                    failures: row.get("failures")?,
                    opened_at_ms: row.get("opened_at")?,
                    opened_by: row.get::<_, Option<_>>("opened_by")?.map(WorkerId),
                    retry_at_ms: row.get("retry_at")?,
                    probed_by: probed_by.filter(|_| is_probed).map(WorkerId),
                    deferred: row.get("deferred")?,
                })
            })?;
            for circuit in &mut circuits {
                if let Some(prober) = circuit.probed_by
                    && !leases::is_alive(conn, prober)?
                {
                    circuit.probed_by = None;
                }
            }
            Ok(circuits)
        })
        .await
    }
}

impl Circuit {
    fn known(&self) -> Known {
        let open = (!self.is_closed).then_some(self.open);
        Known { id: self.id, namespace: self.namespace.clone(), origin: self.origin.clone(), open }
    }
}

/// Circuits as they stand at `?1`.
macro_rules! circuits {
    ($which:literal) => {
        concat!(
            "select c.id, c.namespace, c.origin, c.open_ms, c.retry_at, c.probe, c.pulled_at, c.closed_at is not null as is_closed,
                    (select c.probe_until from worker w where w.id = c.probed_by and w.expires_at > ?1) as probed_until
             from circuit c ",
            $which
        )
    };
}

fn all(conn: &Connection, now_ms: i64) -> Result<Vec<Circuit>> {
    rows(conn, circuits!("order by c.id"), [now_ms], |row| circuit(row, now_ms))
}

fn one(ledger: &Ledger<'_>, id: i64) -> Result<Option<Circuit>> {
    let now_ms = ledger.now_ms;
    row(ledger.conn, circuits!("where c.id = ?2"), (now_ms, id), |row| circuit(row, now_ms))
}

/// The one of a host that is open.
fn open_of(ledger: &Ledger<'_>, namespace: &str, origin: &str) -> Result<Option<Circuit>> {
    let (sql, now_ms) = (circuits!("where c.namespace = ?2 and c.origin = ?3 and c.closed_at is null"), ledger.now_ms);
    row(ledger.conn, sql, (now_ms, namespace, origin), |row| circuit(row, now_ms))
}

fn circuit(row: &Row<'_>, now_ms: i64) -> Result<Circuit> {
    let until_ms: Option<i64> = row.get("probed_until")?;
    Ok(Circuit {
        id: row.get("id")?,
        namespace: parse(row, "namespace")?,
        origin: row.get("origin")?,
        open_ms: row.get("open_ms")?,
        probe: row.get("probe")?,
        pulled_at: row.get("pulled_at")?,
        is_closed: row.get("is_closed")?,
        open: Open {
            retry_at_ms: row.get("retry_at")?,
            probed_until_ms: until_ms.filter(|until_ms| *until_ms > now_ms),
        },
    })
}

/// Whether there are any, open or not.
pub(super) fn are_there(conn: &Connection) -> Result<bool> {
    Ok(row(conn, "select 1 from circuit limit 1", [], |_| Ok(()))?.is_some())
}

/// How many are open, and how many of them are probed.
pub(super) fn counted(conn: &Connection, now_ms: i64) -> Result<CircuitCount> {
    let mut count = CircuitCount::default();
    for circuit in all(conn, now_ms)?.iter().filter(|it| !it.is_closed) {
        match circuit.open.probed_until_ms {
            Some(_) => count.half_open += 1,
            None => count.open += 1,
        }
    }
    Ok(count)
}

/// The circuit of a host, that a run's steps are deferred by; `None`: it has none that is open.
pub(super) fn of_run(conn: &Connection, run: RunId, origin: &str) -> Result<Option<i64>> {
    let sql = "select c.id from circuit c join run r on r.namespace = c.namespace
               where r.id = ?1 and c.origin = ?2 and c.closed_at is null";
    row(conn, sql, (run.0, origin), |row| Ok(row.get("id")?))
}

fn tend(ledger: &Ledger<'_>, limit: usize) -> Result<Tended> {
    let (conn, now_ms) = (ledger.conn, ledger.now_ms);
    let mut due = false;
    for circuit in all(conn, now_ms)? {
        if circuit.is_closed || may_call(Some(circuit.open), now_ms) != May::Probe {
            continue;
        }
        if circuit.open.retry_at_ms < now_ms - ms(LAPSES_AFTER) {
            conn.execute("update circuit set closed_at = ?2 where id = ?1", (circuit.id, now_ms))?;
        } else if circuit.pulled_at.is_none_or(|pulled_at| pulled_at < now_ms - ms(PULLS_EVERY)) {
            conn.execute("update circuit set pulled_at = ?2 where id = ?1", (circuit.id, now_ms))?;
            let sql = "select run_id, step_no from step where deferred_by = ?1 and due_at is not null order by due_at limit 1";
            for id in rows(conn, sql, [circuit.id], step_of)? {
                due |= make_due(ledger, id, false)?;
            }
        }
    }
    let mut left = limit;
    for circuit in all(conn, now_ms)?.iter().filter(|it| it.is_closed) {
        let sql = "select run_id, step_no from step where deferred_by = ?1 limit ?2";
        let found = rows(conn, sql, (circuit.id, left as i64), step_of)?;
        left -= found.len();
        for id in found {
            due |= make_due(ledger, id, true)?;
        }
        let gone = "delete from circuit where id = ?1 and not exists (select 1 from step where deferred_by = ?1)";
        conn.execute(gone, [circuit.id])?;
        if left == 0 {
            break;
        }
    }
    Ok(Tended { circuits: all(conn, now_ms)?.iter().map(Circuit::known).collect(), due })
}

/// Makes a step due that is deferred; whether it was.
fn make_due(ledger: &Ledger<'_>, id: StepId, is_released: bool) -> Result<bool> {
    let Some(mut step) = ledger.step(id)? else { return Ok(false) };
    let waits = step.status == StepStatus::Waiting;
    if waits {
        step.due_at = step.due_at.map(|due_at| due_at.min(ledger.now_ms));
    }
    if is_released {
        step.deferred_by = None;
    }
    step.write(ledger.conn)?;
    Ok(waits)
}

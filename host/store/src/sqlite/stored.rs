//! What namespaces hold, as `schema/0020_stored_bytes.sql` keeps it: one file is counted as a whole, beside the writer.

use async_trait::async_trait;
use pawl_domain::namespace::Namespace;

use super::{Sqlite, row};
use crate::Result;
use crate::stored::{Measured, Stored};

/// Sizes are known without the bytes.
const HELD: &str = "
    with own (id) as materialized (select id from run where namespace = ?1)
    select (select coalesce(sum(length(r.input)), 0) from own join run r using (id))
         + (select coalesce(sum(coalesce(length(y.output), 0) + coalesce(length(y.error), 0)), 0)
            from own join step y on y.run_id = own.id)
         + (select coalesce(sum(length(y.bytes)), 0) from own join journal y on y.run_id = own.id)
         + (select coalesce(sum(length(y.state)), 0) from own join checkpoint y on y.run_id = own.id)
         + (select coalesce(sum(length(y.payload)), 0) from own join signal y on y.run_id = own.id)
         + (select coalesce(sum(length(y.bytes)), 0) from own join step_log y on y.run_id = own.id)
         + (select coalesce(sum(length(c.bytes)), 0)
            from (select distinct digest from plugin_version where namespace = ?1) v join component c on c.digest = v.digest)";

#[async_trait]
impl Stored for Sqlite {
    async fn measure(&self, namespace: &Namespace) -> Result<Option<Measured>> {
        let name = namespace.to_string();
        let bytes: i64 = self.read(move |conn| Ok(conn.query_row(HELD, [name], |row| row.get(0))?)).await?;
        let name = namespace.to_string();
        self.change(move |ledger| {
            let sql = "insert into stored (namespace, bytes) values (?1, ?2)
                       on conflict (namespace) do update set bytes = excluded.bytes where bytes <> excluded.bytes";
            ledger.conn.execute(sql, (name, bytes))?;
            Ok(Some(Measured { bytes: bytes.unsigned_abs(), more: false }))
        })
        .await
    }

    async fn stored_bytes(&self, namespace: &Namespace) -> Result<Option<u64>> {
        let namespace = namespace.to_string();
        let sql = "select bytes from stored where namespace = ?1";
        let found = self.read(move |conn| row(conn, sql, [namespace], |row| Ok(row.get::<_, i64>(0)?))).await?;
        Ok(found.map(i64::unsigned_abs))
    }
}

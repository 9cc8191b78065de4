//! What waits for the end of a pause is counted by an index: whatever else there is costs nothing.

use anyhow::Result;
use pawl_store::pauses::Pauses as _;

use crate::filled::Both;

/// Steps on the shelf.
const SHELVED: u32 = 50;

#[test]
fn what_waits_behind_pauses_is_counted_whatever_else_there_is() -> Result<()> {
    let both = Both::start()?;
    both.same_pages("pauses, where there are none", 10, async |store| {
        assert_eq!(store.shelves().await.expect("shelves"), []);
    })?;
    for filled in [&both.small, &both.large] {
        filled.database.execute("insert into pause (kind, namespace, name) values ('queue', '', 'elsewhere')")?;
        filled.database.execute(&format!(
            "update step set shelved_by = (select id from pause), ready_at = pawl_shelved_v1()
             where (run_id, step_no) in (select run_id, step_no from step where status = 'ready' limit {SHELVED})"
        ))?;
        filled.database.execute("vacuum (analyze) step")?;
    }
    both.same_pages("what waits behind a pause", 150, async |store| {
        let shelves = store.shelves().await.expect("shelves");
        assert_eq!((shelves.len(), shelves[0].steps, shelves[0].more), (1, SHELVED, false));
    })?;
    Ok(())
}

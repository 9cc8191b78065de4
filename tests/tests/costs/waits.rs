//! What waits is found among any number of others: a page reads itself.

use anyhow::Result;
use pawl_domain::namespace::Namespace;
use pawl_store::waits::{WaitKind, Waits as _};

use crate::filled::Both;

#[test]
fn a_page_of_waits_reads_itself_however_many_wait() -> Result<()> {
    let both = Both::start()?;
    for filled in [&both.small, &both.large] {
        filled
            .database
            .execute("update step set awaits = 'go' where status = 'waiting' and awaits_position is not null")?;
        filled.database.execute("vacuum (analyze) step")?;
    }
    let here = Namespace::default();
    for kind in [WaitKind::Signal, WaitKind::Time] {
        both.same_pages(&format!("two pages of waits, {kind:?}"), 1_200, async |store| {
            let first = store.waits(&here, kind, None, 10).await.expect("a page");
            assert_eq!((first.rows.len(), first.next.is_some()), (10, true), "{kind:?}");
            let second = store.waits(&here, kind, first.next, 10).await.expect("a page");
            assert_eq!(second.rows.len(), 10, "{kind:?}");
        })?;
    }
    Ok(())
}

//! Dead letters, and runs with a parked step, are found among any number of others: a page reads itself.

use anyhow::{Result, ensure};
use pawl_domain::namespace::Namespace;
use pawl_store::dead_letters::{DeadLetters as _, DeadOrder};

use crate::filled::Both;

/// Groups, whatever the number of letters.
const GROUPS: usize = 20;

/// Pages of a group: of its letters, ten thousand are counted at most.
const PAGES_OF_GROUP: i64 = 60;

#[test]
fn a_page_of_dead_letters_and_of_parked_runs_reads_itself_whatever_has_died() -> Result<()> {
    let both = Both::start()?;
    for filled in [&both.small, &both.large] {
        filled.database.execute(&format!(
            "insert into dead_letter (run_id, step_no, namespace, pipeline, pipeline_digest, state, at, cause, run_created_at, told)
             select id, 0, namespace, pipeline, pipeline_digest, case when n % 2 = 0 then 'parked' else 'failed' end,
                    created_at, 'cause ' || n % {GROUPS}, created_at, true
             from (select *, row_number() over (order by created_at) as n from run) as r"
        ))?;
        filled.database.execute("vacuum (analyze) dead_letter")?;
    }
    let here = Namespace::default();
    let middle = |newest: bool| {
        let here = &here;
        async move |store: &pawl_store::Postgres| {
            let order = if newest { DeadOrder::NewestFirst(None) } else { DeadOrder::OldestFirst(None) };
            let page = store.dead_letters(here, order, 50).await.expect("a page");
            assert_eq!(page.len(), 50);
            let next = page.last().map(|letter| letter.place);
            let order = if newest { DeadOrder::NewestFirst(next) } else { DeadOrder::OldestFirst(next) };
            assert_eq!(store.dead_letters(here, order, 50).await.expect("a page").len(), 50);
        }
    };
    both.same_pages("two pages of dead letters, newest first", 60, middle(true))?;
    both.same_pages("two pages of dead letters, oldest first", 60, middle(false))?;
    both.same_pages("letters that nobody was told of", 10, async |store| {
        assert_eq!(store.untold_dead_letters(100).await.expect("an answer"), []);
    })?;
    both.same_pages("a page of parked runs", 600, async |store| {
        assert_eq!(store.parked_runs(&here, None, None, 51).await.expect("a page").len(), 51);
    })?;
    both.same_pages("a page of parked runs of a pipeline", 600, async |store| {
        assert_eq!(store.parked_runs(&here, Some("many"), None, 51).await.expect("a page").len(), 51);
    })?;
    let groups = async |store: &pawl_store::Postgres| {
        let groups = store.dead_groups(&here, None, 201).await.expect("groups");
        assert!(groups.len() >= GROUPS, "{groups:?}");
        groups.len() as i64
    };
    let (found, pages) = (pawl_tests::runtime::block_on(groups(&both.large.store)), both.large.pages(groups)?);
    eprintln!("{found} groups of dead letters: {pages} pages");
    ensure!(pages <= found * PAGES_OF_GROUP, "{found} groups of dead letters read {pages} pages");
    Ok(())
}

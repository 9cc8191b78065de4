//! An inbox that nobody reads costs nothing to those who wait for other signals, nor to those who send.

use anyhow::Result;
use pawl_domain::id::RunId;
use pawl_store::control::{Control as _, Sent, Signal};
use pawl_tests::runtime::block_on;

use crate::filled::{Both, Filled, LARGE, SMALL};

/// A run whose step waits for `go`, with so many signals of another name in its inbox.
fn misspelt(filled: &Filled, signals: u32) -> Result<RunId> {
    let run = filled.run("status = 'running'")?;
    filled.database.execute(&format!(
        "update step set awaits = 'go' where run_id = '{run}';
         insert into signal (run_id, id, name, payload, digest)
         select '{run}', n, 'og', '1', '\\x00' from generate_series(1, {signals}) as n;
         update run set signal_count = {signals} where id = '{run}'"
    ))?;
    filled.database.execute("vacuum (analyze)")?;
    Ok(run)
}

#[test]
fn signals_that_nobody_takes_make_nothing_dearer() -> Result<()> {
    let both = Both::start()?;
    let costs = |filled: &Filled, signals: u32| -> Result<(i64, i64)> {
        let run = misspelt(filled, signals)?;
        // What a batch with a suspended step ends with.
        let give = format!("select pawl_give_signals_v1(array['{run}'::uuid])");
        // On one connection, which has planned it by then.
        filled.database.execute(&format!("{give}; {give}; select pg_stat_statements_reset(); {give}"))?;
        let given: i64 = filled.database.value(
            "select sum(shared_blks_hit + shared_blks_read)::bigint from pg_stat_statements where query ~ 'pawl_give_signals'",
        )?;
        let sent = filled.pages(async |store| {
            let signal = Signal { name: "og".into(), payload: b"1".to_vec(), key: None, room: 100_000 };
            store.signal(run, signal).await.expect("sent")
        })?;
        let signal = Signal { name: "go".into(), payload: b"1".to_vec(), key: None, room: 1 };
        let Sent::New(ready) = block_on(filled.store.signal(run, signal))? else { panic!("it is new") };
        assert_eq!(ready.len(), 1, "the step that waits gets its own, though the inbox is full");
        Ok((given, sent))
    };
    let (few, many) = (costs(&both.small, SMALL / 100)?, costs(&both.large, LARGE)?);
    eprintln!("a wait, a signal: {few:?} pages with {} unread signals, {many:?} with {LARGE}", SMALL / 100);
    assert!(many.0 <= few.0 + 40 && many.0 <= 150, "a wait reads {} pages, then {}", few.0, many.0);
    assert!(many.1 <= few.1 + 10, "a signal reads {} pages, then {}", few.1, many.1);
    Ok(())
}

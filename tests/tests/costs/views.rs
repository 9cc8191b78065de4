//! The views for people with psql: a look at one run reads as much of a hundred thousand runs as of two thousand, with the
//! plans that a session gets which nobody has told anything; and their page says what the database says of them.

use anyhow::{Context as _, Result, ensure};
use pawl_rehearsal::private::PrivatePostgres;
use pawl_tests::{Database, binary};

use crate::filled::{Filled, server};

const SOME: u32 = 2_000;
const MANY: u32 = 100_000;

/// An index may be a level deeper, for each table that is looked into; and where in a page something lies.
const CHANCE: i64 = 12;

/// Pages for what has no run, and is found by an index or a whole list of what there is now.
const BOUND: i64 = 400;

/// Pages that a question reads, asked as people ask it.
fn pages(database: &Database, question: &str) -> Result<i64> {
    let plan = database.lines(&format!("explain (analyze, buffers, costs off, timing off) {question}"))?;
    let executed = plan.iter().map(|it| it.trim()).take_while(|it| !it.starts_with("Planning"));
    let Some(line) = executed.into_iter().find(|it| it.starts_with("Buffers: shared")) else { return Ok(0) };
    let words = line.split([' ', '=']).collect::<Vec<_>>();
    let count = |name: &str| words.iter().position(|it| *it == name).map_or(Ok(0), |at| words[at + 1].parse::<i64>());
    Ok(count("hit")? + count("read")?)
}

/// A database in which some have failed, too, and each run was taken over once.
fn filled(server: &PrivatePostgres, name: &str, runs: u32) -> Result<Filled> {
    let filled = Filled::with(server, name, runs)?;
    filled.database.execute(
        "insert into pipeline (namespace, name, digest) select 'default', name, digest from pipeline_version;
         create temp table broken as
             select id from run where status = 'succeeded' and pipeline = 'many' order by created_at limit 50;
         update run r set status = 'failed', failing = true from broken b where r.id = b.id;
         update step s set status = 'failed', failures = 1, output = null, output_digest = null,
                           error = '{\"cause\": \"fatal\", \"message\": \"no\"}'
         from broken b where s.run_id = b.id;
         insert into recovery (run_id, step_no, fence, worker_id, lease_ended_at, taken_over_at, to_replay, outcome)
         select id, 0, 2, gen_random_uuid(), created_at, created_at, 0, 'stopped' from run",
    )?;
    filled.database.execute("vacuum (analyze)")?;
    Ok(filled)
}

#[test]
fn a_look_at_a_run_costs_the_same_however_many_there_are() -> Result<()> {
    let (server, _folder) = server()?;
    let (some, many) = (filled(&server, "few", SOME)?, filled(&server, "many", MANY)?);
    for view in ["runs", "steps", "events", "waits", "failures", "parked", "recoveries"] {
        for status in ["succeeded", "running", "failed"] {
            let of = |filled: &Filled| -> Result<i64> {
                let run = filled.run(&format!("status = '{status}' order by created_at"))?;
                let question = format!("select * from pawl_view_{view} where run_id = '{run}'");
                // A session's first questions also read what there is of tables and views, and there are several sessions.
                let asked: Vec<i64> = (0..12).map(|_| pages(&filled.database, &question)).collect::<Result<_>>()?;
                asked.into_iter().min().context("it was asked")
            };
            let (small, large) = (of(&some)?, of(&many)?);
            eprintln!("{view} of a {status} run: {small} pages of {SOME} runs, {large} of {MANY}");
            ensure!(large <= small + CHANCE, "{view}, {status}: {small} pages of {SOME} runs, {large} of {MANY}");
        }
    }
    for question in [
        "select * from pawl_view_runs where namespace = 'default' and status = 'succeeded' order by created_at desc limit 20",
        "select * from pawl_view_failures where namespace = 'default' order by run_created_at desc limit 20",
        "select * from pawl_view_recoveries order by taken_over_at desc limit 20",
        "select * from pawl_view_waits limit 20",
        "select * from pawl_view_workers",
        "select * from pawl_view_parked",
        "select * from pawl_view_throughput",
    ] {
        let large = pages(&many.database, question)?;
        eprintln!("{question}: {large} pages of {MANY} runs");
        ensure!(large <= BOUND, "{question}: {large} pages");
    }
    // A question for all there is reads more: pages are counted.
    let all = pages(&many.database, "select count(*) from pawl_view_events")?;
    ensure!(all > 10 * BOUND, "{all} pages");
    Ok(())
}

const HEAD: &str = "# Views

<!-- Made of the comments in migrations/0028_views.sql by a test; PAWL_BLESS=1 writes it anew. -->

For people with psql, and for what draws tables of Postgres: what runs, waits and fails, with names in the place of numbers.
Views and their columns are stable: none is renamed or taken away, new columns come last. They read, and change nothing. Pawl's
tables are its own, and change with every version.

Who looks should be a role that may do nothing else:

```sql
create role pawl_reader;
grant select on pawl_view_runs, pawl_view_steps, pawl_view_queues, pawl_view_workers, pawl_view_parked, pawl_view_failures,
    pawl_view_waits, pawl_view_recoveries, pawl_view_throughput, pawl_view_events, pawl_view_pauses,
    pawl_view_circuits, pawl_view_incidents to pawl_reader;
```

A look at one run costs that run, however many there are:

```sql
select step, status, attempts, reason from pawl_view_steps
where run_id = '019a3c41-7b5e-7d02-9c1f-5a6e3b8d2f10' order by step_no;
```

What failed last, and where work waits:

```sql
select failed_at, pipeline, step, reason from pawl_view_failures
where namespace = 'default' order by run_created_at desc limit 20;
```

```sql
select * from pawl_view_queues;
```

Without a run, and without what the view says is found by an index, a question reads all that there is. A long look holds up
nobody, but keeps Postgres from cleaning up behind those who write: set a `statement_timeout`. What a step has read and written
is in no view: `pawl run get` and `pawl run output` tell it.
";

fn page(database: &Database) -> Result<String> {
    let described = "select format(E'\\n## `%s`\\n\\n%s\\n\\n| column | type | what |\\n|---|---|---|\\n%s', c.relname, obj_description(c.oid, 'pg_class'),
                            string_agg(format(E'| `%s` | %s | %s |\\n', a.attname, format_type(a.atttypid, a.atttypmod),
                                              col_description(c.oid, a.attnum)), '' order by a.attnum))
                     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                     where c.relkind = 'v' and c.relname like 'pawl\\_view\\_%' and c.relnamespace = 'public'::regnamespace
                     group by c.oid, c.relname order by c.oid";
    Ok(HEAD.to_owned() + &database.lines(described)?.concat())
}

#[test]
fn the_page_of_views_says_what_the_database_says() -> Result<()> {
    let (server, _folder) = server()?;
    let filled = Filled::with(&server, "page", 60)?;
    let page = page(&filled.database)?;
    let views = filled.database.lines("select viewname::text from pg_views where viewname like 'pawl\\_view\\_%'")?;
    for view in &views {
        ensure!(HEAD.contains(view.as_str()), "{view} is granted");
    }
    let undescribed =
        page.lines().filter(|line| line.starts_with('|') && line.trim_end().ends_with("|  |")).collect::<Vec<_>>();
    ensure!(undescribed.is_empty(), "these have no comment: {undescribed:?}");
    let file = binary::repository().join("docs/views.md");
    if std::env::var_os("PAWL_BLESS").is_some() {
        std::fs::write(&file, &page)?;
    }
    let written = std::fs::read_to_string(&file)?;
    ensure!(
        written == page,
        "docs/views.md is out of date: PAWL_BLESS=1 cargo nextest run --workspace -E 'test(the_page_of_views)'"
    );
    Ok(())
}

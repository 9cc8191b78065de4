//! What is said through the facades `log` and `tracing` is in the step's log, with its fields.

#![cfg(all(feature = "log", feature = "tracing"))]

use pawl_sdk::testing::{Host, Loss};
use pawl_sdk::{Context, Failure, Level};

fn step(ctx: &mut Context, items: u32) -> Result<u32, Failure> {
    log::warn!(rows = items, city = "North"; "odd table");
    let load = tracing::info_span!("load", city = "South", rows = tracing::field::Empty);
    let part = tracing::debug_span!("part", number = 7);
    load.in_scope(|| {
        load.record("rows", items);
        part.in_scope(|| tracing::info!(price = 1.5, name = "lamp", "sold {}", items));
        tracing::trace!(is_empty = false);
    });
    ctx.now_ns();
    tracing::error!("outside");
    Ok(items)
}

fn pairs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn lines_carry_the_fields_of_their_record_event_and_spans() {
    let run = Host::new().run(step, 3);
    let lines: Vec<_> =
        run.logs().iter().map(|line| (line.level, line.message.as_str(), pairs(&line.fields))).collect();
    assert_eq!(
        lines,
        [
            (Level::Warn, "odd table", vec![("rows", "3"), ("city", "North")]),
            (
                Level::Info,
                "sold 3",
                vec![("city", "South"), ("rows", "3"), ("number", "7"), ("price", "1.5"), ("name", "lamp")]
            ),
            (Level::Trace, "", vec![("city", "South"), ("rows", "3"), ("is_empty", "false")]),
            (Level::Error, "outside", vec![]),
        ]
    );
}

#[test]
fn a_replay_is_silent() {
    let run = Host::new().run_with_crash(6, Loss::Nothing, step, 3);
    let said = |message: &str| run.logs().iter().filter(|line| line.message == message).count();
    assert_eq!((said("odd table"), said("outside")), (1, 1), "{:?}", run.logs());
}

#[test]
fn outside_of_a_step_nobody_listens() {
    let _ = Host::new().run(step, 1);
    log::info!("into the void");
    tracing::info!("into the void");
}

//! First step of the demo: fetches a city's table of hourly temperatures and checks it.
//!
//! The GET request is recorded: a resumed step sees the same table, even if the file has changed since.

mod table;

use pawl_sdk::{Context, Failure, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use table::Day;

/// The run's input: where the demo's file server and its receiver of reports are.
#[derive(Deserialize, JsonSchema)]
struct Input {
    data_url: String,
    report_url: String,
}

#[derive(Deserialize, JsonSchema)]
struct Config {
    city: String,
    /// The table's name on the file server.
    file: String,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    city: String,
    /// Handed on to the last step.
    report_url: String,
    rows: usize,
    days: Vec<Day>,
}

/// Fetches a city's table of hourly temperatures and checks every row.
#[step(needs = ["http"], config = Config)]
fn load(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
    let Config { city, file } = ctx.config()?;
    let url = format!("{}/{file}", input.data_url.trim_end_matches('/'));
    let answer = ctx.http().get(&url).send()?.ok()?;
    let days = table::read(answer.text()?).map_err(|problem| Failure::fatal(format!("{url}, {problem}")))?;
    let rows = days.iter().map(Day::rows).sum();
    ctx.info("loaded", &[("city", &city), ("rows", &rows), ("days", &days.len())]);
    Ok(Output { city, report_url: input.report_url, rows, days })
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Answer, Host, json};

    use super::*;

    fn host(table: &str) -> Host {
        Host::new().config(json!({ "city": "North", "file": "north.csv" })).answer(
            "GET",
            "http://files/north.csv",
            Answer::text(table),
        )
    }

    #[test]
    fn a_crash_anywhere_changes_nothing() {
        let input = json!({ "data_url": "http://files/", "report_url": "http://reports/" });
        let run = host("date,temp\n2010/01/31 23:00,40.5\n").crash_everywhere(load, &input);
        assert_eq!((run.output().rows, run.logs()[0].message.as_str()), (1, "loaded"));
        let run = host("date\n").run(load, &input);
        assert!(run.failure().is_fatal(), "{}", run.failure());
    }
}

//! Logs what it is told to, for whoever wants to see what becomes of lines: with fields, in a flood, or with text that would
//! like to be more than text.

use std::time::Duration;

use pawl_sdk::{Context, Failure, step};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Job {
    /// Lines with fields, each before a reading of the clock, which stands in the journal.
    #[serde(default)]
    lines: u32,
    /// Said as it is, as a warning and as a field of it.
    text: Option<String>,
    /// Asked after these lines, between two others.
    url: Option<String>,
    /// Lines after all of that, as fast as they go.
    #[serde(default)]
    flood: u32,
    /// Attempts that fail at the end.
    #[serde(default)]
    failures: u32,
}

/// Logs what it is told to; returns how many lines that were, the flood apart.
#[step(needs = ["http"])]
fn chatty(ctx: &mut Context, input: Value) -> Result<u32, Failure> {
    let job: Job = serde_json::from_value(input)?;
    for line in 0..job.lines {
        ctx.info("a line", &[("line", &line), ("of", &job.lines)]);
        ctx.now_ns();
    }
    if let Some(text) = &job.text {
        ctx.warn(text, &[("text", text)]);
    }
    if let Some(url) = &job.url {
        ctx.debug("asks", &[("url", url)]);
        ctx.http().get(url).timeout(Duration::from_secs(600)).send()?.ok()?;
        ctx.info("is answered", &[]);
    }
    for _ in 0..job.flood {
        ctx.trace("flood", &[]);
    }
    if ctx.attempt() <= job.failures {
        ctx.error("fails", &[]);
        return Err(Failure::retry("as asked").after(Duration::ZERO));
    }
    Ok(job.lines + u32::from(job.text.is_some()) + 2 * u32::from(job.url.is_some()))
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Host, json};

    use super::*;

    #[test]
    fn a_replay_says_nothing_again() {
        let run = Host::new().crash_everywhere(chatty, json!({ "lines": 3, "text": "odd" }));
        let said: Vec<_> = run.logs().iter().map(|line| line.message.as_str()).collect();
        assert_eq!((said, *run.output()), (vec!["a line", "a line", "a line", "odd"], 4));
    }
}

//! The last step of the demo: posts the report. A POST is an effect, so it leaves with an idempotency key that
//! is the same in every attempt and on every worker: a receiver that honours the key stores one report,
//! whatever happens to this step.

use pawl_sdk::{Context, Failure, step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Input {
    report_url: String,
    report: Value,
}

#[derive(Serialize)]
struct Output {
    report: Value,
    /// What the receiver answered.
    receipt: Receipt,
}

#[derive(Serialize)]
struct Receipt {
    status: u16,
    body: String,
    idempotency_key: String,
}

/// Posts a report once.
#[step(needs = ["http"])]
fn publish(ctx: &mut Context, input: Input) -> Result<Output, Failure> {
    let answer = ctx.http().post(&input.report_url).json(&input.report).effect("report").send()?.ok()?;
    let idempotency_key = ctx.idempotency_key("report");
    ctx.info("published", &[("status", &answer.status()), ("idempotency_key", &idempotency_key)]);
    let receipt = Receipt { status: answer.status(), body: answer.text()?.to_owned(), idempotency_key };
    Ok(Output { report: input.report, receipt })
}

#[cfg(test)]
mod tests {
    use pawl_sdk::testing::{Answer, Host, json};

    use super::*;

    #[test]
    fn a_crash_anywhere_leaves_one_report() {
        let url = "http://127.0.0.1/reports";
        let host = Host::new().answer("POST", url, Answer::status(201).body("stored"));
        let run = host.crash_everywhere(publish, json!({ "report_url": url, "report": { "cities": 2 } }));
        let sent: Vec<_> = run.effects().map(|effect| (effect.json(), effect.key.as_deref())).collect();
        assert_eq!(sent, [(json!({ "cities": 2 }), Some(run.output().receipt.idempotency_key.as_str()))]);
    }
}

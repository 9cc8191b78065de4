//! The schemas of components are enforced: at the submission, when a pipeline is applied, when a step begins.

use anyhow::Result;
use pawl_tests::runtime::block_on;
use pawl_tests::{Embedded, bounds, wait};
use serde_json::{Value, json};

const CLOCKED: &str = "name = \"clocked\"\n[[step]]\nname = \"read\"\nplugin = \"clock\"\n";

/// The echo says nothing of its output, so only the clock's start can show that it does not fit.
const LATE: &str = "name = \"late\"\n[[step]]\nname = \"first\"\nplugin = \"echo\"\n\
                    [[step]]\nname = \"read\"\nplugin = \"clock\"\nneeds = [\"first\"]\n";

#[test]
fn an_input_that_does_not_fit_is_refused_or_fails_the_step_by_its_path() -> Result<()> {
    let pawl = Embedded::start("schema_boundary", &["echo", "clock"], CLOCKED)?;
    let run = pawl.submit("clocked", &json!({ "entries": 2 }))?;
    pawl.succeeds(run, bounds::RUN)?;
    let submit = |input: Value, key| block_on(pawl.client.try_submit("clocked", &input, key));
    let problem = submit(json!({ "entries": "many" }), Some("wrong"))?.problem(422)?;
    assert_eq!(problem.kind, "/problems/invalid-input");
    for part in ["step `read`", "pipeline `clocked`", "$.entries: \"many\" is not of type \"integer\""] {
        assert!(problem.detail.contains(part), "{}", problem.detail);
    }
    assert!(submit(json!(null), None)?.problem(422)?.detail.contains("$: null"));
    // The refused one has left no trace: its key is free.
    assert_eq!(submit(json!({ "entries": 1 }), Some("wrong"))?.status, 202);
    // The key of a run that is there is answered for that run.
    assert_eq!(submit(json!([]), Some("wrong"))?.problem(409)?.kind, "/problems/idempotency-conflict");

    assert_eq!(pawl.client.post("/v1/pipelines", "application/toml", LATE)?.status, 201);
    let run = pawl.submit("late", &json!({ "entries": [] }))?;
    let ended = wait::until(bounds::RUN, "the run to end", || {
        let run = pawl.client.run(run)?;
        Ok(if run.summary.status.is_ended() { wait::Look::Done(run) } else { wait::Look::NotYet("it runs".to_owned()) })
    })?;
    let error = ended.steps[1].error.clone().unwrap_or_default();
    assert_eq!(error["cause"], "invalid_input", "{error}");
    assert!(error.to_string().contains("$.entries: a list is not of type"), "{error}");
    assert_eq!(ended.steps[1].failures, 1, "another attempt would fail the same way");
    pawl.finish_with(&[])
}

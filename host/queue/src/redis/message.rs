//! A message's fields: `run`, `step`, `ready_at`; and `pipeline`, `component`, `input` if it tells what the step
//! starts with.

use std::collections::HashMap;

use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::ready::{Ready, Start};
use redis::{FromRedisValue, Pipeline, Value};
use uuid::Uuid;

/// Adds the fields of a step's message to an XADD.
pub(super) fn write<'p>(xadd: &'p mut Pipeline, ready: &Ready) -> &'p mut Pipeline {
    xadd.arg("run").arg(ready.id.run.to_string()).arg("step").arg(ready.id.step.0);
    xadd.arg("ready_at").arg(ready.ready_at_ms);
    if let Some(start) = &ready.start {
        xadd.arg("pipeline").arg(start.pipeline.to_string()).arg("component").arg(start.component.to_string());
        xadd.arg("input").arg(&start.input);
    }
    xadd
}

/// The step in a message's fields, and when it became ready; `None` if it is no message of ours.
pub(super) fn step_of(fields: &HashMap<String, Value>) -> Option<(StepId, i64)> {
    let run = Uuid::parse_str(&field::<String>(fields, "run")?).ok()?;
    let step = StepNo(field(fields, "step")?);
    Some((StepId { run: RunId(run), step }, field(fields, "ready_at")?))
}

/// What the step starts with, if the message tells.
pub(super) fn start_of(fields: &HashMap<String, Value>) -> Option<Start> {
    let digest = |name| field::<String>(fields, name)?.parse::<Digest>().ok();
    Some(Start { pipeline: digest("pipeline")?, component: digest("component")?, input: field(fields, "input")? })
}

fn field<T: FromRedisValue>(fields: &HashMap<String, Value>, name: &str) -> Option<T> {
    redis::from_redis_value_ref(fields.get(name)?).ok()
}

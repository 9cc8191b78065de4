//! Which component a person means: a word, or the first digits of a digest.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use pawl_domain::id::{Digest, StepNo};
use pawl_domain::pipeline::Pipeline;
use pawl_store::control::ResumeOn;

use super::problem::Result;
use super::state::{AppState, step_named};
use super::types::Problem;

/// Digits of a digest that are enough, if they mean one component. What people see are 12.
const FEWEST_DIGITS: usize = 6;

/// What `on` means for a step that is resumed.
pub(super) async fn to_resume_on(state: &AppState, pipeline: &Pipeline, step: &str, on: &str) -> Result<ResumeOn> {
    match on {
        "pinned" => Ok(ResumeOn::Pinned),
        "latest" => {
            let number = step_named(pipeline, step)?;
            let plugin = pipeline.step(number).map(|spec| spec.plugin.as_str()).unwrap_or_default();
            Ok(ResumeOn::Component(state.store.component_of(&state.namespace, plugin, None).await?))
        }
        _ => Ok(ResumeOn::Component(component(state, on).await?)),
    }
}

/// The components that the plugins of steps have active now; a step whose pipeline names a version keeps to that.
pub(super) async fn latest(state: &AppState, pipeline: &Pipeline) -> Result<BTreeMap<StepNo, Digest>> {
    let mut active: HashMap<&str, Digest> = HashMap::new();
    let mut latest = BTreeMap::new();
    for (number, step) in (0..).map(StepNo).zip(&pipeline.steps).filter(|(_, step)| step.version.is_none()) {
        let component = match active.entry(step.plugin.as_str()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                *unknown.insert(state.store.component_of(&state.namespace, &step.plugin, None).await?)
            }
        };
        latest.insert(number, component);
    }
    Ok(latest)
}

/// The component whose digest begins with these digits.
async fn component(state: &AppState, digits: &str) -> Result<Digest> {
    let is_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_digits || !(FEWEST_DIGITS..=64).contains(&digits.len()) {
        return Err(Problem::bad_request(format!(
            "`on` is `pinned`, `latest` or a component's digest, {FEWEST_DIGITS} to 64 hexadecimal digits, not {digits:?}"
        )));
    }
    let digits = digits.to_ascii_lowercase();
    if let Ok(digest) = digits.parse()
        && state.store.is_component_of(&state.namespace, digest).await?
    {
        return Ok(digest);
    }
    let mut meant: Vec<(Digest, String)> = Vec::new();
    for plugin in state.store.plugins(&state.namespace, None).await? {
        for version in &plugin.versions {
            let is_new = meant.iter().all(|(digest, _)| *digest != version.digest);
            if is_new && version.digest.to_string().starts_with(&digits) {
                meant.push((version.digest, format!("{}@{}", plugin.name, version.version)));
            }
        }
    }
    match meant.as_slice() {
        [(digest, _)] => Ok(*digest),
        [] => Err(Problem::not_found(format!("there is no component {digits}; `pawl plugin list` shows all"))),
        several => {
            let names: Vec<&str> = several.iter().map(|(_, name)| name.as_str()).collect();
            Err(Problem::bad_request(format!("{digits} may be {}: give more digits", names.join(" or "))))
        }
    }
}

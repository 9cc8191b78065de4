//! What a component says about itself. Asked outside of any run, with every host call refused and a short
//! deadline, so that a description depends on nothing but the component.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::journal::History;
use pawl_domain::reach::{Asked, Grant, NEEDS_HTTP};
use pawl_domain::replay::Replay;
use pawl_domain::schema::{BadSchema, Schemas};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::{Deadline, local_unix_ns};
use super::guest::Guest;
use super::host::way::Way;
use super::host::{Log, types};
use super::limiter::MemoryLimiter;
use super::load::{LoadError, Prepared};
use super::secrets::Secrets;
use super::threads::{LifeSign, aside};
use super::trap::{caught, trap_reason};
use super::{Engine, host};

/// Starting an interpreter takes up to a second on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A name or version, bytes.
const NAME_BYTES: usize = 100;

/// A component's description of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What its author calls the plugin.
    pub name: String,
    /// The author's version, for example `1.4.0`.
    pub version: String,
    /// For people; empty if there is none.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// JSON Schema of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// What the step needs from the host: `http` for any host, or those that it calls, as in `https://api.example.org`.
    #[serde(default)]
    pub needs: Vec<String>,
}

impl Manifest {
    /// What it asks for of the outside.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked::of(&self.needs)
    }

    /// Its schemas, compiled.
    ///
    /// # Errors
    /// [`BadSchema`] if one can't be enforced; not for a manifest that [`Engine::describe`] returned.
    pub fn schemas(&self) -> Result<Schemas, BadSchema> {
        Schemas::compile(self.input_schema.as_ref(), self.output_schema.as_ref())
    }
}

impl Engine {
    /// Asks a component what it is. Blocks for up to ten seconds.
    ///
    /// # Errors
    /// [`LoadError::NotDescribed`] if it traps, calls the host, takes too long or says something that can't
    /// be used.
    pub fn describe(&self, prepared: &Prepared) -> Result<Manifest, LoadError> {
        let ask = || {
            let (mut store, instance) = self.instantiate(prepared, self.nobody()).map_err(|unborn| unborn.1)?;
            instance.call_describe(&mut store)
        };
        let no_thread = |error| LoadError::NotDescribed(format!("there is no thread for it ({error})"));
        let manifest = aside(|| caught(ask)).map_err(no_thread)?.map_err(LoadError::NotDescribed)?;
        let manifest = manifest.map_err(|error: wasmtime::Error| LoadError::NotDescribed(trap_reason(&error)))?;
        read(manifest, self.limits.entry_bytes)
    }

    /// A guest that executes no step.
    pub(super) fn nobody(&self) -> Guest {
        let step = StepId { run: RunId(uuid::Uuid::nil()), step: StepNo(0) };
        let log = Log::new(step, String::new(), Secrets::default(), &self.limits, None);
        let sign = LifeSign::of_this_thread();
        let memory = MemoryLimiter::new(self.limits.memory_bytes, self.memory.begin(), Arc::clone(&sign), None);
        Guest {
            step,
            failures: 0,
            config: String::new(),
            deadline: Deadline::after(TIMEOUT, local_unix_ns()),
            limits: self.limits,
            replay: Replay::new(step, History::default()),
            has_ended: Arc::default(),
            lacks_memory: false,
            awaited: None,
            recorder: None,
            way: Arc::new(Way::new(&self.http, Asked::Only(Vec::new()), None, self.limits)),
            sign,
            results: memory.budget().nothing(),
            memory,
            log: Arc::new(log),
            panicked: None,
            wasi: None,
        }
    }
}

fn read(manifest: types::Manifest, limit_bytes: usize) -> Result<Manifest, LoadError> {
    let wrong = |what: String| Err(LoadError::NotDescribed(what));
    let host::types::Manifest { name, version, description, input_schema, output_schema, needs } = manifest;
    for (what, text) in [("name", &name), ("version", &version)] {
        if text.is_empty() || text.len() > NAME_BYTES || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return wrong(format!("its {what} must have 1 to {NAME_BYTES} bytes and no spaces"));
        }
    }
    let is_known = |need: &&String| *need == NEEDS_HTTP || need.parse::<Grant>().is_ok();
    if let Some(unknown) = needs.iter().find(|need| !is_known(need)) {
        return wrong(format!(
            "it needs {unknown:?}, which is nothing that Pawl has: a step needs `http`, or nothing, or hosts, for example \
             `https://api.example.org`"
        ));
    }
    let schemas = [&input_schema, &output_schema].into_iter().flatten();
    let size = description.len() + schemas.chain(&needs).map(String::len).sum::<usize>();
    if size > limit_bytes {
        return wrong(format!("the description has {size} bytes, the limit is {limit_bytes}"));
    }
    let parse = |what: &str, schema: Option<String>| -> Result<Option<Value>, LoadError> {
        let parsed = schema.map(|text| serde_json::from_str(&text)).transpose();
        parsed.map_err(|error| LoadError::NotDescribed(format!("its {what} schema is no JSON: {error}")))
    };
    let (input_schema, output_schema) = (parse("input", input_schema)?, parse("output", output_schema)?);
    let manifest = Manifest { name, version, description, input_schema, output_schema, needs };
    // Here, where its author can mend it, and not at the first document.
    manifest.schemas().map_err(|error| LoadError::NotDescribed(error.to_string()))?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, version: &str, needs: &[&str]) -> types::Manifest {
        types::Manifest {
            name: name.to_owned(),
            version: version.to_owned(),
            description: "Greets.".to_owned(),
            input_schema: None,
            output_schema: None,
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
        }
    }

    #[test]
    fn what_a_step_can_not_need_or_be_called_is_refused_with_what_it_may() {
        let limit_bytes = 100;
        read(described("hello", "1.0.0", &["http"]), limit_bytes).unwrap();
        read(described("hello", "1.0.0", &["https://*.example.org", "http://localhost:*"]), limit_bytes).unwrap();
        let long = "x".repeat(NAME_BYTES + 1);
        for (described, says) in [
            (described("hello", "1.0.0", &["http", "smtp"]), "it needs \"smtp\", which is nothing that Pawl has"),
            (described("hello", "1.0.0", &["HTTP"]), "a step needs `http`, or nothing"),
            (described("hello", "1.0.0", &["api.example.org"]), "or hosts, for example `https://api.example.org`"),
            (described("", "1.0.0", &[]), "its name must have 1 to 100 bytes and no spaces"),
            (described("hello you", "1.0.0", &[]), "its name must have"),
            (described("hello", &long, &[]), "its version must have"),
            (
                types::Manifest { description: long.clone(), ..described("hello", "1.0.0", &[]) },
                "the description has 101 bytes, the limit is 100",
            ),
            (
                types::Manifest { input_schema: Some("{".to_owned()), ..described("hello", "1.0.0", &[]) },
                "its input schema is no JSON",
            ),
        ] {
            let error = read(described, limit_bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{error:?} should say {says:?}");
        }
    }
}

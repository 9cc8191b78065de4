//! Components that somebody uploads: compiled, asked what they are and held against the rules of schemas, in a process of its
//! own for each ([`apart`](super::apart)). The API calls it.
//!
//! A worker compiles what it executes itself, bounded by what was let in here.

use std::time::Duration;

use pawl_domain::id::Digest;
use pawl_domain::limits::Limits;
use serde::{Deserialize, Serialize};

use super::apart::{Apart, Broken, Work};
use super::manifest::Manifest;
use super::{Config, Engine, LoadError};

/// Of an answer besides what a description may have: names, and the escapes of JSON.
const ANSWER_SLACK_BYTES: u64 = 64 << 10;

/// Why a component is not let in. All but [`Refusal::NotStarted`] are the component's doing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no step, and why.
    #[error("{0}")]
    Unfit(String),
    /// It was killed.
    #[error(
        "the component is not compiled and described within {0:?}, and nothing was stored: make its functions smaller, or raise \
         `compile_timeout` of the API"
    )]
    Time(Duration),
    /// There was no more for it.
    #[error(
        "to compile and describe the component takes more than {} MiB of memory, and nothing was stored: make it smaller, or raise \
         `compile_memory` of the API",
        .0 >> 20
    )]
    Memory(u64),
    /// The compiler, or what a component has made of it.
    #[error(
        "the process that compiles and describes the component has ended by itself ({0}), and nothing was stored: build it again"
    )]
    Crashed(String),
    /// This machine's doing.
    #[error("the process that examines components can't be started")]
    NotStarted(#[source] std::io::Error),
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unfit(why) => Self::Unfit(why),
            Broken::Time(time) => Self::Time(time),
            Broken::Memory(bytes) => Self::Memory(bytes),
            Broken::Crashed(how) => Self::Crashed(how),
            Broken::NotStarted(error) => Self::NotStarted(error),
        }
    }
}

/// What the process is told before the component's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Examination {
    component_bytes: usize,
    limit_component: usize,
    limit_entry: usize,
    limit_memory: usize,
}

impl Apart {
    /// Asks a component what it is.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn examine(&self, component: &[u8], limits: &Limits) -> Result<Manifest, Refusal> {
        let asked = Examination {
            component_bytes: component.len(),
            limit_component: limits.component_bytes,
            limit_entry: limits.entry_bytes,
            limit_memory: limits.memory_bytes,
        };
        let answer_bytes = limits.entry_bytes as u64 * 2 + ANSWER_SLACK_BYTES;
        Ok(self.ask(&asked, &[component], answer_bytes).await?)
    }
}

impl Work for Examination {
    const WORD: &'static str = "examine-component";
    type Done = Manifest;

    fn sizes(&self) -> Vec<usize> {
        vec![self.component_bytes]
    }

    fn carry_out(self, parts: Vec<Vec<u8>>) -> Result<Manifest, String> {
        let component = parts.first().map(Vec::as_slice).unwrap_or_default();
        let limits = Limits {
            component_bytes: self.limit_component,
            entry_bytes: self.limit_entry,
            memory_bytes: self.limit_memory,
            ..Limits::default()
        };
        let config = Config { limits, cache_dir: None, slots: 1, images: false, ..Config::default() };
        let engine = Engine::new(config).map_err(|error| pawl_base::chain(&error))?;
        let examined = || -> Result<Manifest, LoadError> {
            engine.check_shape(component)?;
            let prepared = engine.prepare(Digest::of(component), component)?;
            engine.describe(&prepared)
        };
        examined().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;

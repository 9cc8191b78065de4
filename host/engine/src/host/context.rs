//! `pawl:step/context`: the facts of an attempt, and the step's secrets.

use pawl_domain::replay::Facts;

use super::bindings::pawl::step::context::{Host, Info};
use crate::guest::{Guest, Halt};

impl Host for Guest {
    /// A crash starts a new attempt with a new deadline, but a resumed guest sees the facts of the attempt
    /// that it replays: whatever it decided by them must come out the same.
    fn get(&mut self) -> wasmtime::Result<Info> {
        self.recorder()?;
        let current = Facts { attempt: self.failures.saturating_add(1), deadline_ms: self.deadline.unix_ms() };
        let Facts { attempt, deadline_ms } = self.replay.context(current);
        self.replay.readable().map_err(Halt::from)?;
        Ok(Info {
            run_id: self.step.run.to_string(),
            step_name: self.log.step_name.clone(),
            attempt,
            config: self.config.clone(),
            deadline_ms,
        })
    }

    /// Never journaled: a resumed guest gets the value that is current then.
    fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.recorder()?;
        match self.secrets().0.get(&name) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value.clone())),
            Some(None) => Err(Halt::NoSecret { name }.into()),
        }
    }
}

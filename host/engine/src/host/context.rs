//! `pawl:step/context`: the facts of an attempt, and the step's secrets.

use pawl_domain::replay::Facts;
use pawl_domain::secret::placeholder;

use super::bindings::pawl::step::context::{Host, Info};
use crate::guest::{Guest, Halt};
use crate::secrets::Secret;

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
        let why = match self.secrets().get(&name) {
            None => return Ok(None),
            Some(Secret::Given(value)) => return Ok(Some(value.clone())),
            Some(Secret::Lacking(why)) => return Err(lacks(self, name, why.clone()).into()),
            Some(Secret::Withheld(why)) => why.clone(),
            Some(Secret::InRequests { .. }) => format!(
                "the secret `{name}` is granted for requests alone, and is not told to the step: let it write {} in a header",
                placeholder::of(&name)
            ),
        };
        Err(Halt::Withheld(why).into())
    }
}

/// That this worker has no value is no fault of the step: where somebody heeds that, it waits for a worker that has one.
pub(super) fn lacks(guest: &Guest, name: String, why: String) -> Halt {
    // An attempt that is ahead of its claim ends by nothing.
    let deferral = guest.clear_to_ask().and_then(|()| {
        let recorder = guest.recorder()?;
        Ok(guest.sign.away(|| recorder.lacks_secret(&name, &why)))
    });
    match deferral {
        Ok(Some(deferral)) => Halt::Deferred(deferral),
        Ok(None) => Halt::NoSecret { name, why },
        Err(halt) => halt,
    }
}

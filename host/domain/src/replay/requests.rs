//! Requests: safe ones, effects with their keys, and those of which the host could make none.
//!
//! ```text
//!  safe          Fetched                      the answer
//!  effect        Intent, Answered             the answer; without `Answered`, it is sent again under its key
//!  no request    Fetched, with `Invalid`      why, also where another version of the host would send it
//! ```

use super::call::Call;
use super::keys::{self, KeyOf};
use super::{Called, EffectStep, Refused, Replay, Step};
use crate::id::Digest;
use crate::journal::{Entry, HttpAnswer, RequestSummary};

impl Replay {
    /// The guest sends a safe request.
    ///
    /// # Errors
    /// [`Fault`](super::Fault) if the journal holds another call here.
    pub fn fetch(&mut self, request: &RequestSummary) -> Called<Step<HttpAnswer>> {
        self.next(Call::Fetch(request), |entry| match entry {
            Entry::Fetched { answer, .. } => Some(answer),
            _ => None,
        })
    }

    /// The guest sends a request of which an earlier attempt could make none: why, if it is so recorded here.
    ///
    /// # Errors
    /// [`Fault`](super::Fault) if the guest should have asked for its state by now.
    pub fn refused(&mut self, request: &RequestSummary) -> Called<Option<String>> {
        let Some((_, Entry::Fetched { request: asked, answer: HttpAnswer::Invalid(_) })) = self.recorded.front() else {
            return Ok(None);
        };
        if asked != request {
            return Ok(None);
        }
        match self.fetch(request)? {
            Step::Recorded(HttpAnswer::Invalid(why)) => Ok(Some(why)),
            _ => Ok(None),
        }
    }

    /// Whether the journal holds this request next: then it was one, whatever this host makes of it.
    #[must_use]
    pub fn expects(&self, request: &RequestSummary) -> bool {
        let front = self.recorded.front().map(|(_, entry)| entry);
        match front {
            Some(Entry::Fetched { request: asked, .. } | Entry::Intent { request: asked, .. }) => asked == request,
            _ => false,
        }
    }

    /// The guest sends an effect, named or not.
    ///
    /// # Errors
    /// [`Fault`](super::Fault) if the journal holds another call here, or the key has left with another request: in an
    /// earlier attempt the guest has left its path, in this one it has used a name twice.
    pub fn effect(&mut self, name: Option<&str>, request: &RequestSummary) -> Called<EffectStep> {
        let key = self.next_effect_key(name);
        let call = Call::Effect { key, request };
        if let Some(sent) = self.sent.get(&key)
            && sent != request
        {
            if let Some(name) = name.filter(|_| self.called.contains(&key)) {
                return Err(Refused::NameTaken(name.to_owned()).into());
            }
            return Err(self.diverged(Some(Call::Effect { key, request: sent }), call));
        }
        self.called.insert(key);
        if self.next(call, |_| Some(()))? == Step::Live {
            return Ok(EffectStep::Live(key));
        }
        let answer = self.next(Call::Answer(key), |entry| match entry {
            Entry::Answered { answer, .. } => Some(answer),
            _ => None,
        })?;
        Ok(match answer {
            Step::Recorded(answer) => EffectStep::Recorded(answer),
            Step::Live => EffectStep::Resend(key),
        })
    }

    fn next_effect_key(&mut self, name: Option<&str>) -> Digest {
        let (once, counter) = match &mut self.once {
            Some(open) => (Some(open.key), &mut open.effect_ordinal),
            None => (None, &mut self.effect_ordinal),
        };
        let ordinal = *counter;
        *counter += 1;
        let of = match (once, name) {
            (None, Some(name)) => KeyOf::Name(name),
            (None, None) => KeyOf::Ordinal(ordinal),
            (Some(once), Some(name)) => KeyOf::NameInOnce(once, name),
            (Some(once), None) => KeyOf::OrdinalInOnce(once, ordinal),
        };
        keys::key(self.step, self.round, of)
    }
}

//! A call of an outside host, as the host's circuit knows it. Before anything of it is recorded or leaves, it is asked whether
//! the host may be called; when it is answered, what the answer says of the host. While a host is down, the attempt ends by
//! that: it is deferred, and the step goes on from its checkpoint and its journal when the host is back.
//!
//! An answer that only says that the host is down, and meets an open circuit, is not recorded either: of an effect the intent
//! stays, which leaves again under its key.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::decision::circuit::{ORIGIN_LENGTH, Probe, Sign, sign_of};
use pawl_domain::journal::HttpAnswer;
use reqwest::{Request, Url};

use crate::guest::{Guest, Halt};
use crate::recorder::Recorder;
use crate::secrets::Secrets;

/// A call under way. Dropped without an answer, it says nothing of the host, and its probe is another's.
pub(super) struct Calling {
    recorder: Arc<dyn Recorder>,
    origin: String,
    probe: Option<Probe>,
    is_patient: bool,
    is_answered: bool,
}

impl Calling {
    /// Asks whether the host may be called; `usual` is the time that the host gives for an answer. `None`: nothing leaves.
    pub(super) fn begin(
        guest: &Guest,
        wire: &Result<Request, String>,
        timeout: Duration,
        usual: Duration,
    ) -> Result<Option<Self>, Halt> {
        let origin = wire.as_ref().ok().and_then(|wire| origin_of(wire.url(), guest.secrets()));
        let Some(origin) = origin else { return Ok(None) };
        let recorder = guest.recorder.clone().ok_or(Halt::Describing)?;
        let probe = guest.sign.away(|| recorder.may_call(&origin, timeout)).map_err(Halt::Deferred)?;
        Ok(Some(Self { recorder, origin, probe, is_patient: timeout >= usual, is_answered: false }))
    }

    /// What came of it: the guest goes on with the answer, or is deferred.
    pub(super) fn was_answered(mut self, guest: &Guest, answer: &HttpAnswer) -> Result<(), Halt> {
        self.is_answered = true;
        let sign = match sign_of(answer, self.is_patient) {
            Sign::Down(why) => Sign::Down(guest.secrets().redact(&why).into_owned()),
            sign => sign,
        };
        let deferral = guest.sign.away(|| self.recorder.called(&self.origin, self.probe.take(), sign));
        deferral.map_or(Ok(()), |deferral| Err(Halt::Deferred(deferral)))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if !self.is_answered {
            self.recorder.called(&self.origin, self.probe.take(), Sign::Nothing);
        }
    }
}

/// Scheme, name and port: what is down together.
fn origin_of(url: &Url, secrets: &Secrets) -> Option<String> {
    let origin = format!("{}://{}:{}", url.scheme(), url.host_str()?, url.port_or_known_default()?);
    let origin = secrets.redact(&origin).into_owned();
    (origin.len() <= ORIGIN_LENGTH).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn what_is_down_together_has_one_origin() {
        let secrets = Secrets::of([("tenant".to_owned(), Secret::Given("s3cr3t".to_owned()))]);
        for (url, origin) in [
            ("http://example.org/a?b=c", "http://example.org:80"),
            ("https://EXAMPLE.org/", "https://example.org:443"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("https://s3cr3t.example.org/", "https://[secret tenant].example.org:443"),
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(origin_of(&url, &secrets).as_deref(), Some(origin));
        }
        let long = Url::parse(&format!("http://{}.org/", "a.".repeat(ORIGIN_LENGTH / 2))).expect("a URL");
        assert_eq!(origin_of(&long, &secrets), None);
    }
}

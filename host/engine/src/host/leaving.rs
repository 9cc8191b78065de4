//! A request on its way out, as the trace of its attempt knows it. It is told its trace context in the header `traceparent`,
//! unless the guest has set one of its own. The header is the host's: it is put on where the request leaves, so that the guest
//! does not see it, the journal does not compare it, and a request that is sent again has that of the attempt which sends it.

use pawl_domain::journal::HttpAnswer;
use pawl_domain::trace::{TRACEPARENT, TraceContext};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Request, Url};

use crate::guest::{Guest, Halt};
use crate::recorder::Sent;
use crate::secrets::Secrets;

/// What is known of it when it leaves.
pub(super) struct Leaving(Sent);

impl Leaving {
    /// Puts the header on; `None` if nobody keeps its trace.
    pub(super) fn of(guest: &Guest, wire: &mut Request, is_again: bool) -> Result<Option<Self>, Halt> {
        let recorder = guest.recorder()?;
        let Some(context) = recorder.leaves() else { return Ok(None) };
        put(&context, wire);
        let leaving = context.sampled.then(|| {
            let url = wire.url();
            Self(Sent {
                begun_ns: recorder.unix_ns(),
                method: wire.method().to_string(),
                url: shown(url, guest.secrets()),
                host: url.host_str().map(str::to_owned),
                port: url.port_or_known_default(),
                came_to: Err("stopped"),
                is_again,
                context,
            })
        });
        Ok(leaving)
    }

    /// What came of it.
    pub(super) fn came_to(self, guest: &Guest, answer: &Result<HttpAnswer, Halt>) {
        if let Some(recorder) = &guest.recorder {
            recorder.was_answered(Sent { came_to: word_for(answer), ..self.0 });
        }
    }
}

/// Unless the guest has said to which trace it belongs.
fn put(context: &TraceContext, wire: &mut Request) {
    if !wire.headers().contains_key(TRACEPARENT) {
        let value = HeaderValue::from_str(&context.parent()).expect("digits and hyphens are a header value");
        wire.headers_mut().insert(HeaderName::from_static(TRACEPARENT), value);
    }
}

/// As a collector may see it. There is no password in it: such a URL is refused before.
fn shown(url: &Url, secrets: &Secrets) -> String {
    secrets.redact(url.as_str()).into_owned()
}

fn word_for(answer: &Result<HttpAnswer, Halt>) -> Result<u16, &'static str> {
    match answer {
        Ok(HttpAnswer::Response { status, .. }) => Ok(*status),
        Ok(HttpAnswer::Connect(_)) => Err("connect"),
        Ok(HttpAnswer::Timeout) => Err("timeout"),
        Ok(HttpAnswer::Broken(_)) => Err("broken"),
        Ok(HttpAnswer::TooLarge(_)) => Err("too_large"),
        Ok(HttpAnswer::Invalid(_)) => Err("invalid"),
        Err(_) => Err("stopped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn a_request_is_told_its_trace_unless_the_guest_has_said_one() {
        let context: TraceContext =
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("a context");
        let mut wire = Request::new(reqwest::Method::GET, Url::parse("http://localhost/").expect("a URL"));
        put(&context, &mut wire);
        assert_eq!(wire.headers()[TRACEPARENT], context.parent());
        let other = TraceContext { sampled: false, ..context.clone() };
        put(&other, &mut wire);
        assert_eq!(wire.headers()[TRACEPARENT], context.parent(), "what stands there stays");
        assert_eq!(wire.headers().get_all(TRACEPARENT).iter().count(), 1);
    }

    #[test]
    fn secrets_are_no_part_of_what_is_told_of_a_url() {
        let secrets = Secrets::of([("key".to_owned(), Secret::Given("s3cr3t".to_owned()))]);
        let url = Url::parse("https://example.org/a?key=s3cr3t&b=1").expect("a URL");
        assert_eq!(shown(&url, &secrets), "https://example.org/a?key=[secret key]&b=1");
    }
}

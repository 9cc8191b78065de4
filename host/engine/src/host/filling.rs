//! Placeholders of secrets in a request: looked at before anything of the request is recorded, filled in where it leaves. Between
//! the two, and in all that is kept or told of it, they stand as the guest wrote them.
//!
//! They count in the values of headers, and in the body if the header `pawl-secrets: body` says so, which goes no further: what
//! somebody else has said, and a guest passes on, must not become a secret.

use std::collections::HashMap;

use pawl_domain::reach::Target;
use pawl_domain::secret::placeholder::{self, Form, filled, names_in};
use reqwest::Request;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::way::target_of;
use crate::guest::Halt;
use crate::secrets::{Secret, Secrets};

/// Says that the body has placeholders, too.
pub(super) const IN_BODY: HeaderName = HeaderName::from_static("pawl-secrets");

/// Its one value.
const BODY: &str = "body";

/// Why a request does not leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfilled {
    /// It never may, as it is.
    Refused(String),
    /// This process has no value of that secret; why.
    Lacking(String, String),
}

/// Whether all that stands in the request can be filled in where it goes.
pub(super) fn check(request: &Request, secrets: &Secrets) -> Result<(), Unfilled> {
    let has_header = request.headers().contains_key(IN_BODY);
    if has_header && !fills_body(request.headers()) {
        let rule =
            format!("the header {IN_BODY} has the value `{BODY}`, which puts secrets into the body, or is left out");
        return Err(Unfilled::Refused(rule));
    }
    let target = target_of(request.url());
    for (header, name) in placeholders(request) {
        let value = value(name, secrets, target.as_ref())?;
        let is_header = header.is_none_or(|value_as_written| {
            HeaderValue::from_bytes(&filled(value_as_written, Form::Plain, |_| Some(value))).is_ok()
        });
        if !is_header {
            let rule =
                format!("the value of the secret `{name}` can't stand in a header: it has line breaks, or other signs");
            return Err(Unfilled::Refused(rule));
        }
    }
    Ok(())
}

/// The request as it leaves; `None` if it is so already.
///
/// # Errors
/// [`Halt`] if it can't be: it was checked before, when its values were the same.
pub(super) fn leaving(request: &Request, secrets: &Secrets) -> Result<Option<Request>, Halt> {
    if placeholders(request).is_empty() && !request.headers().contains_key(IN_BODY) {
        return Ok(None);
    }
    let target = target_of(request.url());
    let mut values = HashMap::new();
    for (_, name) in placeholders(request) {
        let value = value(name, secrets, target.as_ref()).map_err(|_| gone(name))?;
        values.insert(name, value);
    }
    let value = |name: &str| values.get(name).copied();
    let mut leaving = request.try_clone().expect("its body is in memory");
    for written in leaving.headers_mut().values_mut().filter(|value| !names_in(value.as_bytes()).is_empty()) {
        let mut header = HeaderValue::from_bytes(&filled(written.as_bytes(), Form::Plain, value))
            .map_err(|_| gone(&String::from_utf8_lossy(written.as_bytes())))?;
        // No log of a library shows it.
        header.set_sensitive(true);
        *written = header;
    }
    leaving.headers_mut().remove(IN_BODY);
    if placeholders(request).iter().any(|(_, name)| matches!(secrets.get(name), Some(Secret::InRequests { .. }))) {
        // What is sent back is looked through, and what is compressed can't be.
        leaving.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if fills_body(request.headers())
        && let Some(body) = body_of(request)
    {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        *leaving.body_mut() = Some(filled(body, Form::of(content_type), value).into());
    }
    Ok(Some(leaving))
}

fn gone(what: &str) -> Halt {
    Halt::Withheld(format!("{what} can't be put into the request any more, as it could when that was looked at"))
}

/// Whether a header's value has one.
pub(super) fn is_in(value: &[u8]) -> bool {
    !names_in(value).is_empty()
}

fn fills_body(headers: &HeaderMap) -> bool {
    headers.get_all(IN_BODY).iter().all(|value| value == BODY) && headers.contains_key(IN_BODY)
}

fn body_of(request: &Request) -> Option<&[u8]> {
    request.body().and_then(|body| body.as_bytes())
}

/// The names, each with the header's value that it stands in, or in the body.
fn placeholders(request: &Request) -> Vec<(Option<&[u8]>, &str)> {
    let mut all = Vec::new();
    for value in request.headers().values() {
        all.extend(names_in(value.as_bytes()).into_iter().map(|name| (Some(value.as_bytes()), name)));
    }
    if fills_body(request.headers()) {
        let body = body_of(request).unwrap_or_default();
        all.extend(names_in(body).into_iter().map(|name| (None, name)));
    }
    all
}

fn value<'a>(name: &str, secrets: &'a Secrets, target: Option<&Target>) -> Result<&'a str, Unfilled> {
    let refused = |why: String| Err(Unfilled::Refused(why));
    match (secrets.get(name), target) {
        (None, _) => refused(format!(
            "the pipeline names no secret `{name}` for the step, which has {} in a request: add secrets = [\"{name}\"] to \
             it, apply it, and submit anew: a run keeps its pipeline",
            placeholder::of(name)
        )),
        (Some(Secret::Lacking(why)), _) => Err(Unfilled::Lacking(name.to_owned(), why.clone())),
        (Some(Secret::Withheld(why)), _) => refused(why.clone()),
        (Some(secret), Some(target)) => secret.value_for(target).map_or_else(
            || {
                refused(format!(
                    "the secret `{name}` is not granted for requests to {target}: if it may go there, let an administrator add \
                     --host '{target}' to its grant (`pawl secret grant {name}`), then `pawl run retry` it"
                ))
            },
            Ok,
        ),
        (Some(_), None) => refused(format!("the secret `{name}` goes nowhere")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::Method;

    const VALUE: &str = "hun\"ter2";

    fn secrets() -> Secrets {
        let hosts = vec!["https://pay.example.org".parse().unwrap()];
        Secrets::of([
            ("key".to_owned(), Secret::InRequests { value: VALUE.to_owned(), hosts }),
            ("given".to_owned(), Secret::Given("abc12345".to_owned())),
            ("pem".to_owned(), Secret::Given("one line\nanother".to_owned())),
            ("lost".to_owned(), Secret::Lacking("no value".to_owned())),
            ("other".to_owned(), Secret::Withheld("run this".to_owned())),
        ])
    }

    fn request(url: &str, headers: &[(&str, &str)], body: &str) -> Request {
        let mut request = Request::new(Method::POST, url.parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        *request.body_mut() = Some(body.to_owned().into());
        request
    }

    #[test]
    fn only_what_is_granted_for_the_host_leaves_in_headers_and_in_bodies_that_say_so() {
        const PAY: &str = "https://pay.example.org/x";
        let json = ("content-type", "application/json");
        let in_body = ("pawl-secrets", "body");
        let key = ("x-key", "k={{secret:key}};{{secret:given}}");
        for (headers, body, header, told) in [
            (vec![key, json], "{{secret:key}}", Some("k=hun\"ter2;abc12345"), "{{secret:key}}"),
            (vec![json, in_body], "[\"{{secret:key}}\"]", None, "[\"hun\\\"ter2\"]"),
            (vec![in_body, key], "{{secret:key}}", Some("k=hun\"ter2;abc12345"), VALUE),
            (vec![in_body], "none", None, "none"),
        ] {
            let request = request(PAY, &headers, body);
            assert_eq!(check(&request, &secrets()), Ok(()));
            let leaving = leaving(&request, &secrets()).unwrap().expect("something is filled in");
            let sent = leaving.headers().get("x-key");
            assert_eq!(sent.map(|value| value.to_str().unwrap()), header);
            assert!(sent.is_none_or(HeaderValue::is_sensitive) && !leaving.headers().contains_key(IN_BODY));
            assert_eq!(body_of(&leaving), Some(told.as_bytes()));
            let is_unseen = header.is_some() || told.contains("ter2");
            assert_eq!(leaving.headers().contains_key(ACCEPT_ENCODING), is_unseen);
            assert_eq!(body_of(&request), Some(body.as_bytes()), "the one that is kept has placeholders");
        }
        let plain = request(PAY, &[json], "{{secret:key}} {{secret:lost}}");
        assert!(check(&plain, &secrets()).is_ok() && leaving(&plain, &secrets()).unwrap().is_none());
    }

    #[test]
    fn what_may_not_be_filled_in_does_not_leave_and_says_what_would_let_it() {
        for (url, header, says) in [
            ("https://evil.example.org/", "{{secret:key}}", "add --host 'https://evil.example.org' to its grant"),
            ("http://pay.example.org/", "{{secret:key}}", "not granted for requests to http://pay.example.org"),
            ("https://pay.example.org/", "{{secret:unknown}}", "add secrets = [\"unknown\"]"),
            ("https://pay.example.org/", "{{secret:other}}", "run this"),
            ("https://pay.example.org/", "{{secret:pem}}", "can't stand in a header"),
        ] {
            let request = request(url, &[("authorization", header)], "");
            let Err(Unfilled::Refused(why)) = check(&request, &secrets()) else { panic!("{url} {header}") };
            assert!(why.contains(says) && !why.contains(VALUE) && !why.contains("another"), "{why}");
        }
        let lacking = request("https://pay.example.org/", &[("a", "{{secret:lost}}")], "");
        assert_eq!(check(&lacking, &secrets()), Err(Unfilled::Lacking("lost".to_owned(), "no value".to_owned())));
        let wrong = request("https://pay.example.org/", &[("pawl-secrets", "yes")], "");
        assert!(matches!(check(&wrong, &secrets()), Err(Unfilled::Refused(why)) if why.contains("`body`")));
    }
}

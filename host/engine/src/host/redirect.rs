//! Where a redirect leads: a decision. Only requests that read are redirected by the host. What the guest has said of itself
//! to one host (credentials, and whatever has a secret's value or placeholder in it) goes to no other one.

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, LOCATION, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Method, Request, StatusCode, Url};

use super::filling::{self, IN_BODY};
use crate::secrets::Secrets;

/// One after the other.
pub(super) const MOST: usize = 10;

/// Headers that say who asks.
const CREDENTIALS: [HeaderName; 5] =
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE, HeaderName::from_static("cookie2")];

/// The request that follows on `asked`, if its answer is a redirect that can be followed.
pub(super) fn next(asked: &Request, status: StatusCode, headers: &HeaderMap, secrets: &Secrets) -> Option<Request> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut url = asked.url().join(std::str::from_utf8(headers.get(LOCATION)?.as_bytes()).ok()?).ok()?;
    // What the answer says of the one who asks is not for the next one.
    let _ = (url.set_username(""), url.set_password(None));
    if url.fragment().is_none() {
        url.set_fragment(asked.url().fragment());
    }
    let is_elsewhere = !is_same_origin(asked.url(), &url);
    // Whoever was told a secret that the guest does not know would tell it to another one.
    if is_elsewhere && secrets.unseen_are_in(url.as_str().as_bytes()) {
        return None;
    }
    let mut following = asked.try_clone()?;
    *following.url_mut() = url;
    // https://www.rfc-editor.org/rfc/rfc9110.html#name-303-see-other
    if status == StatusCode::SEE_OTHER && asked.method() != Method::HEAD {
        *following.method_mut() = Method::GET;
        *following.body_mut() = None;
        let about_body = |name: &HeaderName| name.as_str().starts_with("content-");
        keep(following.headers_mut(), |name, _| !about_body(name));
    }
    if is_elsewhere {
        // Without the last one, what stands in the body is text.
        keep(following.headers_mut(), |name, value| {
            !CREDENTIALS.contains(name) && !secrets.are_in(value) && !filling::is_in(value) && name != IN_BODY
        });
    }
    Some(following)
}

/// Scheme, host and port.
fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

fn keep(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName, &[u8]) -> bool) {
    let kept = headers.iter().filter(|(name, value)| is_kept(name, value.as_bytes()));
    *headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;
    use reqwest::header::HeaderValue;

    fn asked(method: Method, url: &str) -> Request {
        let mut request = Request::new(method, url.parse().expect("a URL"));
        for (name, value) in [
            ("authorization", "Bearer mine"),
            ("cookie", "a=b"),
            ("x-key", "s3cr3t"),
            ("x-note", "key=s3cr3t;"),
            ("x-placeholder", "{{secret:key}}"),
            ("pawl-secrets", "body"),
            ("accept", "text/plain"),
            ("content-type", "text/plain"),
        ] {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        *request.body_mut() = Some("asked".into());
        request
    }

    fn next_of(asked: &Request, status: u16, location: &str) -> Option<Request> {
        let hosts = vec!["https://a.example".parse().expect("a grant")];
        let unseen = Secret::InRequests { value: "uns33n-value".to_owned(), hosts };
        let given = Secret::Given("s3cr3t".to_owned());
        let secrets = Secrets::of([("key".to_owned(), given), ("unseen".to_owned(), unseen)]);
        let headers = [(LOCATION, location.parse().expect("a header"))].into_iter().collect();
        next(asked, StatusCode::from_u16(status).expect("a status"), &headers, &secrets)
    }

    #[test]
    fn credentials_and_secrets_go_to_no_other_origin() {
        let first = asked(Method::GET, "https://a.example/x");
        for (location, are_kept) in [
            ("/y", true),
            ("https://a.example:443/y", true),
            ("http://a.example/y", false),
            ("https://a.example:8443/y", false),
            ("https://b.example/y", false),
            ("//b.example/y", false),
        ] {
            let next = next_of(&first, 302, location).expect("it is followed");
            let headers = next.headers();
            for name in ["authorization", "cookie", "x-key", "x-note", "x-placeholder", "pawl-secrets"] {
                assert_eq!(headers.contains_key(name), are_kept, "{name} to {location}");
            }
            assert!(headers.contains_key("accept"), "{location}");
        }
        let next = next_of(&first, 302, "https://ann:secret@b.example/").expect("it is followed");
        assert_eq!(next.url().as_str(), "https://b.example/");
        let telling = "/?k=uns33n%2Dvalue";
        assert!(next_of(&first, 302, &format!("https://b.example{telling}")).is_none(), "who was told it tells it on");
        assert!(next_of(&first, 302, telling).is_some(), "and knows it itself");
    }

    #[test]
    fn what_was_asked_is_asked_again_unless_the_answer_is_to_be_seen_elsewhere() {
        for (method, status, follows) in [
            (Method::GET, 301, Some((Method::GET, true))),
            (Method::GET, 302, Some((Method::GET, true))),
            (Method::OPTIONS, 303, Some((Method::GET, false))),
            (Method::HEAD, 303, Some((Method::HEAD, true))),
            (Method::HEAD, 307, Some((Method::HEAD, true))),
            (Method::GET, 308, Some((Method::GET, true))),
            (Method::GET, 300, None),
            (Method::GET, 304, None),
            (Method::GET, 200, None),
        ] {
            let next = next_of(&asked(method.clone(), "http://a.example/x"), status, "/y");
            let told = next.as_ref().map(|next| (next.method().clone(), next.body().is_some()));
            assert_eq!(told, follows, "{method} {status}");
            if let Some(next) = next {
                assert_eq!(next.headers().contains_key("content-type"), next.body().is_some());
            }
        }
        assert!(next_of(&asked(Method::GET, "http://a.example/"), 302, "http://").is_none(), "it leads nowhere");
    }
}

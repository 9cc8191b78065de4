//! A browser's session: the token of whoever has signed in, kept by the browser in a cookie that no script reads. It
//! counts like one in `Authorization`, for requests of Pawl's own pages alone: a browser sends cookies along whoever
//! has made it ask.
//!
//! - `SameSite=Strict`: other sites' requests come without it.
//! - To a browser all ports of a host are one site: `Sec-Fetch-Site` tells them apart, and what it calls another's
//!   counts for nothing.
//! - What changes something counts with proof that a page of ours has sent it: an `Origin`, which is this process's own
//!   by then ([`super::browsers`]), or `Sec-Fetch-Site: same-origin`. Straight to the API's own routes a session only
//!   reads.
//!
//! The cookie's name has the port in it: cookies are shared by all ports of a host, and a `pawl dev` of another folder
//! is another process with another token.

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method};

/// What browsers say of where a request comes from.
const FETCH_SITE: &str = "sec-fetch-site";

/// What tells that no other site's page has made a browser ask: a page of ours, or the person.
const OWN: &str = "same-origin";
const PERSON: &str = "none";

/// Names of cookies.
const SESSION: &str = "pawl-session";
const CHOICE: &str = "pawl-namespace";

/// Characters of a cookie that each browser keeps, name and attributes among them.
const KEPT: usize = 4_000;

/// Whether another site's page, or another port's, has made a browser send this.
#[must_use]
pub fn is_anothers(headers: &HeaderMap) -> bool {
    headers.get(FETCH_SITE).is_some_and(|site| site != OWN && site != PERSON)
}

/// Whether a page of ours has certainly sent this, which has come past the doors: nobody else's `Origin` has.
#[must_use]
pub fn is_own(headers: &HeaderMap) -> bool {
    match headers.get(FETCH_SITE) {
        Some(site) => site == OWN,
        None => headers.contains_key(ORIGIN),
    }
}

/// Lets a session's token count as if it were shown in `Authorization`, if it may. A token that is shown there comes first.
pub fn let_count(method: &Method, headers: &mut HeaderMap) {
    if headers.contains_key(AUTHORIZATION) {
        return;
    }
    let may = if is_read(method) { !is_anothers(headers) } else { is_own(headers) };
    let Some(token) = token_in(headers).filter(|_| may) else { return };
    if let Ok(shown) = HeaderValue::from_str(&format!("Bearer {token}")) {
        headers.insert(AUTHORIZATION, shown);
    }
}

/// Whether requests with this method change nothing.
pub(super) fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// What tells a browser to keep a token for as long as it runs; `None` if that is too long to be kept.
#[must_use]
pub fn kept(headers: &HeaderMap, token: &str, over_tls: bool) -> Option<HeaderValue> {
    let secure = if over_tls { "; Secure" } else { "" };
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict{secure}", named(SESSION, headers), hidden(token));
    HeaderValue::from_str(&cookie).ok().filter(|_| cookie.len() <= KEPT)
}

/// What tells it to keep it no longer.
#[must_use]
pub fn forgotten(headers: &HeaderMap) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", named(SESSION, headers))).ok()
}

/// What tells it to keep a choice for as long as it runs: which namespace somebody looks at. It is no secret, and lets nobody in.
#[must_use]
pub fn chosen(headers: &HeaderMap, choice: Option<&str>) -> Option<HeaderValue> {
    let name = named(CHOICE, headers);
    let rest = "Path=/; HttpOnly; SameSite=Strict";
    let cookie = match choice {
        Some(choice) => format!("{name}={}; {rest}", hidden(choice)),
        None => format!("{name}=; {rest}; Max-Age=0"),
    };
    HeaderValue::from_str(&cookie).ok().filter(|_| cookie.len() <= KEPT)
}

/// The choice that a browser has kept.
#[must_use]
pub fn choice_in(headers: &HeaderMap) -> Option<String> {
    kept_as(&named(CHOICE, headers), headers)
}

/// The token that a browser has kept.
#[must_use]
pub fn token_in(headers: &HeaderMap) -> Option<String> {
    kept_as(&named(SESSION, headers), headers)
}

fn kept_as(name: &str, headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let found = pairs.find(|(named, _)| *named == name).and_then(|(_, value)| shown(value));
    found.filter(|token| !token.is_empty())
}

fn named(what: &str, headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let port = host.and_then(|host| host.port_u16()).map(|port| format!("-{port}"));
    format!("{what}{}", port.unwrap_or_default())
}

/// A token as hexadecimal digits: a setting's may have characters that end a cookie.
fn hidden(token: &str) -> String {
    token.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(digits: &str) -> Option<String> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let pair = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = pairs.iter().map(pair).collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn cookie(port: &str, token: &str) -> String {
        let host = headers(&[("host", &format!("localhost{port}"))]);
        kept(&host, token, false).unwrap().to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_token_comes_back_as_it_was_and_each_port_has_its_own() {
        let both = format!("other=1; {}; {}", cookie(":7340", "s3;cr=t\"é"), cookie(":7341", "b"));
        for (host, token) in
            [("localhost:7340", Some("s3;cr=t\"é")), ("localhost:7341", Some("b")), ("localhost", None)]
        {
            assert_eq!(token_in(&headers(&[("host", host), ("cookie", &both)])).as_deref(), token, "{host}");
        }
        for broken in ["pawl-session=", "pawl-session=0", "pawl-session=zz", "pawl-session=ff"] {
            assert_eq!(token_in(&headers(&[("cookie", broken)])), None, "{broken}");
        }
        assert!(kept(&HeaderMap::new(), &"x".repeat(2_000), true).is_none(), "no browser keeps that");
        let secure = kept(&HeaderMap::new(), "x", true).unwrap();
        assert_eq!(secure.to_str().unwrap(), "pawl-session=78; Path=/; HttpOnly; SameSite=Strict; Secure");
    }

    #[test]
    fn a_choice_is_kept_beside_the_session_and_forgotten() {
        let host = ("host", "localhost:7340");
        let kept = chosen(&headers(&[host]), Some("team-a")).unwrap();
        let both = format!("{}; {}", cookie(":7340", "s3cret"), kept.to_str().unwrap().split(';').next().unwrap());
        let with = headers(&[host, ("cookie", &both)]);
        assert_eq!((choice_in(&with).as_deref(), token_in(&with).as_deref()), (Some("team-a"), Some("s3cret")));
        assert_eq!(
            choice_in(&headers(&[("host", "localhost:7341"), ("cookie", &both)])),
            None,
            "each port has its own"
        );
        assert!(chosen(&headers(&[host]), None).unwrap().to_str().unwrap().ends_with("Max-Age=0"));
    }

    #[test]
    fn a_session_counts_for_pages_of_ours_alone() {
        let kept = cookie("", "s3cret");
        for (method, more, counts) in [
            (Method::GET, vec![], true),
            (Method::GET, vec![("sec-fetch-site", "none")], true),
            (Method::HEAD, vec![("sec-fetch-site", "same-origin")], true),
            (Method::GET, vec![("sec-fetch-site", "same-site")], false),
            (Method::GET, vec![("sec-fetch-site", "cross-site")], false),
            (Method::POST, vec![], false),
            (Method::POST, vec![("sec-fetch-site", "none")], false),
            (Method::POST, vec![("origin", "http://localhost")], true),
            (Method::POST, vec![("sec-fetch-site", "same-origin")], true),
            (Method::POST, vec![("origin", "http://localhost"), ("sec-fetch-site", "same-site")], false),
        ] {
            let mut headers = headers(&[&[("host", "localhost"), ("cookie", &kept)][..], &more].concat());
            let_count(&method, &mut headers);
            let shown = headers.get(AUTHORIZATION).map(|shown| shown.to_str().unwrap());
            assert_eq!(shown, counts.then_some("Bearer s3cret"), "{method} {more:?}");
        }
        let mut both = headers(&[("host", "localhost"), ("cookie", &kept), ("authorization", "Bearer other")]);
        let_count(&Method::GET, &mut both);
        assert_eq!(both[AUTHORIZATION], "Bearer other", "what is shown comes first");
    }
}

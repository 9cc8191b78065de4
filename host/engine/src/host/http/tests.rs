//! What is a request, and how one that is none is answered.

use super::*;
use crate::in_memory::InMemory;
use crate::{Config, Engine};
use pawl_domain::journal::History;
use pawl_domain::replay::Replay;

fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Request {
    Request {
        method: method.into(),
        url: url.into(),
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        body: Vec::new(),
        effect: None,
        timeout_ms: None,
    }
}

#[test]
fn requests_that_are_not_valid_say_why() {
    let url = "http://localhost/";
    for (asked, why) in [
        (request("get", url, &[]), "upper case"),
        (request("G T", url, &[]), "no HTTP method"),
        (request("CONNECT", url, &[]), "not for steps"),
        (request(&"G".repeat(METHOD_BYTES + 1), url, &[]), "64 bytes"),
        (request("GET", "localhost", &[]), "no URL"),
        (request("GET", "file:///etc/passwd", &[]), "neither http nor https"),
        (request("GET", "https://ann:secret@localhost/", &[]), "in the header `authorization`"),
        (request("GET", "https://ann@localhost/", &[]), "in the header `authorization`"),
        (request("GET", &format!("{url}{}", "x".repeat(URL_BYTES)), &[]), "8192 bytes"),
        (request("POST", url, &[("Idempotency-Key", "mine")]), "name the effect"),
        (request("POST", url, &[("Host", "elsewhere")]), "set by the host"),
        (request("POST", url, &[("a b", "c")]), "no header name"),
        (request("POST", url, &[("a", "b\r\nc: d")]), "not valid"),
    ] {
        let method = asked.method.clone();
        let reason = Outbound::new(asked).and_then(|outbound| outbound.wire).err().unwrap_or_default();
        assert!(reason.contains(why), "{method}: {reason:?} should say {why:?}");
        assert!(!reason.contains("secret@"), "{reason}");
    }
}

#[test]
fn only_reading_methods_are_safe() {
    for (method, safe) in [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("TRACE", true),
        ("POST", false),
        ("PUT", false),
        ("BREW", false),
    ] {
        let outbound = Outbound::new(request(method, "https://example.org", &[])).unwrap();
        assert_eq!(outbound.is_safe(), safe, "{method}");
    }
}

fn guest(memory: &Arc<InMemory>, entries: Vec<Entry>) -> Guest {
    let nobody = Engine::new(Config { slots: 1, ..Config::default() }).expect("the engine starts").nobody();
    let length = entries.len() as u32;
    let past = History { segments: vec![(0, entries)], length, ..History::default() };
    Guest { recorder: Some(memory.clone()), replay: Replay::new(nobody.step, past), ..nobody }
}

#[test]
fn a_password_in_a_url_is_refused_and_stands_in_no_journal() {
    let memory = Arc::new(InMemory::default());
    for method in ["GET", "POST"] {
        let answer = guest(&memory, vec![]).send(request(method, "http://ann:secret@127.0.0.1:1/", &[])).unwrap();
        assert!(matches!(&answer, Err(Error::Invalid(why)) if why.contains("authorization")), "{answer:?}");
    }
    assert!(memory.entries().is_empty(), "{:?}", memory.entries());
}

#[test]
fn what_was_no_request_is_answered_in_a_replay_as_it_was() {
    let memory = Arc::new(InMemory::default());
    let asked = || request("POST", "no url", &[]);
    let Ok(Err(Error::Invalid(why))) = guest(&memory, vec![]).send(asked()) else { panic!("it was valid") };
    let [Entry::Fetched { request: summary, answer }] = &memory.entries()[..] else { panic!("one entry") };
    assert_eq!(answer, &HttpAnswer::Invalid(why));

    // Another version of the host has said it otherwise, or took for no request what is one now.
    let said = |summary: &RequestSummary| Entry::Fetched {
        request: summary.clone(),
        answer: HttpAnswer::Invalid("said otherwise".into()),
    };
    let valid = request("GET", "http://127.0.0.1:1/", &[]);
    let known = RequestSummary { url: valid.url.clone(), method: "GET".into(), ..summary.clone() };
    for (asked, recorded) in [(asked(), said(summary)), (valid, said(&known))] {
        let answer = guest(&memory, vec![recorded]).send(asked).unwrap();
        assert!(matches!(&answer, Err(Error::Invalid(why)) if why == "said otherwise"), "{answer:?}");
    }
    // An older Pawl recorded nothing.
    let mut older = guest(&memory, vec![Entry::Now { unix_ns: 7 }]);
    assert!(matches!(older.send(asked()), Ok(Err(Error::Invalid(_)))));
    assert_eq!((older.replay.now(), memory.entries().len()), (Ok(Step::Recorded(7)), 1));
}

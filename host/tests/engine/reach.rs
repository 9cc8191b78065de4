//! What steps reach and what they do not, over real sockets. Only where names lead is made up, where no real name leads there.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use pawl_domain::attempt::{Cause, Outcome};
use pawl_domain::limits::Limits;
use pawl_domain::reach::Asked;
use pawl_engine::in_memory::InMemory;
use pawl_engine::{Config, Engine, Executed, Outside, Resolver};
use serde_json::json;

use crate::installation::{Installation, Names};
use crate::setup::{component, failure, limits, output, outside};
use crate::target::Target;

#[track_caller]
fn refused(executed: &Executed) -> String {
    failure(executed, Cause::Refused).message.clone()
}

#[test]
fn what_is_not_granted_is_neither_asked_nor_recorded_nor_looked_up() {
    let target = Target::start();
    let installation = Installation::granting(&["http://localhost:*"], Names::default());
    let port = target.url.rsplit(':').next().unwrap();
    for (allow, url, says) in [
        (&[][..], target.url.clone(), format!("write allow = [\"{}\"]", target.url)),
        (&["https://localhost:*"], target.url.clone(), format!("write allow = [\"{}\"]", target.url)),
        (&["http://localhost:1"], target.url.clone(), format!("write allow = [\"{}\"]", target.url)),
        (&["http://localhost:*"], format!("https://127.0.0.1:{port}"), format!("\"https://127.0.0.1:{port}\"")),
        (&["http://localhost:*"], "http://elsewhere.example/".into(), "allow = [\"http://elsewhere.example\"]".into()),
    ] {
        for method in ["GET", "POST"] {
            let memory = Arc::new(InMemory::default());
            let executed = installation.fetch(allow, &json!([{ "method": method, "url": url }]), &memory);
            let message = refused(&executed);
            assert!(message.contains(&says), "{method} {url}: {message:?} should say {says:?}");
            assert!(memory.entries().is_empty(), "{method} {url}: {:?}", memory.entries());
        }
    }
    assert!(target.received().is_empty() && installation.names.asked().is_empty());
    let executed = installation.get(&["http://localhost:*"], &target.url);
    assert_eq!(output(&executed), json!([{ "status": 200, "body": "1" }]), "and what is granted is reached");
}

#[test]
fn a_component_reaches_no_more_than_it_asks_for() {
    let target = Target::start();
    for (needs, says) in [
        (&["http"][..], None),
        (&["http://localhost:*"], None),
        (&["https://api.example.org"], Some("does not say that it calls")),
        (&[], Some("does not say that it calls")),
    ] {
        let installation = Installation::granting(&["http://localhost:*"], Names::default());
        let (digest, bytes) = component("fetch");
        let needs: Vec<String> = needs.iter().map(|&need| need.to_owned()).collect();
        installation.engine.prepare(digest, &bytes).unwrap().confine(Asked::of(&needs));
        let executed = installation.get(&["http://localhost:*"], &target.url);
        match says {
            None => drop(output(&executed)),
            Some(says) => assert!(refused(&executed).contains(says), "{needs:?}"),
        }
    }
}

#[test]
fn no_form_of_an_address_that_is_not_public_is_connected_to() {
    let target = Target::start();
    let port = target.url.rsplit(':').next().unwrap();
    let names = Names::default()
        .lead("localhost", &["127.0.0.1"])
        .lead("inside.example", &["10.0.0.1"])
        .lead("mapped.example", &["::ffff:127.0.0.1"])
        .lead("here.example", &["127.0.0.1"])
        .lead("metadata.example", &["169.254.169.254"])
        .lead("nowhere.example", &["0.0.0.0"]);
    let installation = Installation::granting(&[], names);
    for host in [
        "127.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "0",
        "[::]",
        "10.0.0.1",
        "100.64.0.1",
        "192.168.0.1",
        "[fd12::1]",
        "[fe80::1]",
        "169.254.1.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
        "localhost",
        "LOCALHOST.",
        "inside.example",
        "mapped.example",
        "here.example",
        "metadata.example",
        "nowhere.example",
    ] {
        for port in [port, "80"] {
            let url = format!("http://{host}:{port}/");
            let everything =
                ["http://*:*", "http://*.example:*", "http://localhost:*", "http://0.0.0.0/0:*", "http://[::/0]:*"];
            let message = refused(&installation.get(&everything, &url));
            assert!(
                message.contains("outside_hosts")
                    || message.contains("no machine's")
                    || message.contains("no name may"),
                "{url}: {message}"
            );
        }
    }
    assert!(target.received().is_empty());
    // A zone is no part of a URL's address.
    let zone = installation.get(&["http://*:*"], "http://[fe80::1%25eth0]/");
    assert!(failure(&zone, Cause::Fatal).message.contains("no URL"), "{zone:?}");
}

#[test]
fn a_name_is_looked_up_once_for_a_connection_and_judged_anew_for_the_next() {
    let target = Target::start();
    let url = target.url.replace("127.0.0.1", "localhost");
    for moved_to in ["169.254.169.254", "10.0.0.1", "0.0.0.0", "8.8.8.8"] {
        let names = Names::default().lead("localhost", &["127.0.0.1", moved_to]);
        let installation = Installation::granting(&["http://localhost:*"], names);
        let before = target.received().len();
        let memory = Arc::new(InMemory::default());
        let executed = installation.fetch(&["http://localhost:*"], &json!([{ "url": url }, { "url": url }]), &memory);
        assert!(refused(&executed).contains(moved_to), "{executed:?}");
        assert_eq!(target.received().len() - before, 1, "the first was sent to what was checked");
        assert_eq!(installation.names.asked(), ["localhost"; 2], "once for each");
    }
}

#[test]
fn of_several_addresses_those_that_may_be_reached_are() {
    #[derive(Debug)]
    struct Both;
    impl Resolver for Both {
        fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            Ok(["10.0.0.1", "169.254.169.254", "127.0.0.1"].map(|text| text.parse().expect("an address")).into())
        }
    }
    let target = Target::start();
    let outside = Outside { resolver: Arc::new(Both), ..outside(&["http://localhost:*"]) };
    let engine = Engine::new(Config { limits: limits(), slots: 1, outside, ..Config::default() }).unwrap();
    let installation = Installation { engine, names: Arc::default() };
    let executed = installation.get(&["http://localhost:*"], &target.url.replace("127.0.0.1", "localhost"));
    assert_eq!(output(&executed), json!([{ "status": 200, "body": "1" }]));
}

#[test]
fn a_redirect_goes_nowhere_that_a_request_could_not() {
    let (first, other) = (Target::start(), Target::start());
    let names = Names::default().lead("inside.example", &["10.0.0.1"]).lead("localhost", &["127.0.0.1"]);
    let installation = Installation::granting(&[&first.url], names);
    let everything = ["http://*:*", "http://*.example:*", "http://localhost:*"];
    let other_by_name = other.url.replace("127.0.0.1", "localhost");
    for to in [
        other.url.as_str(),
        &other_by_name,
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://inside.example/",
        "http://2130706433:1/",
    ] {
        let before = first.received().len();
        let message = refused(&installation.get(&everything, &format!("{}/to/{to}", first.url)));
        assert!(message.contains("outside_hosts"), "{to}: {message}");
        assert_eq!(first.received().len() - before, 1, "it was asked, and its redirect refused");
        // The host follows none of an effect; what the guest asks by itself is a request like any other.
        let memory = Arc::new(InMemory::default());
        let post = json!({ "method": "POST", "url": format!("{}/to/{to}", first.url), "any_status": true });
        let executed = installation.fetch(&everything, &json!([post, { "url": to }]), &memory);
        assert!(refused(&executed).contains("outside_hosts"), "{to}: {executed:?}");
    }
    assert!(other.received().is_empty());
    // What the step is not allowed, it is not redirected to.
    let wide = Installation::granting(&["http://localhost:*"], Names::default());
    let message = refused(&wide.get(&[&first.url], &format!("{}/to/{}", first.url, other.url)));
    assert!(message.contains(&format!("allow = [\"{}\"]", other.url)) && other.received().is_empty(), "{message}");
    let followed = wide.get(&[&first.url, &other.url], &format!("{}/to/{}/x", first.url, other.url));
    assert_eq!(output(&followed), json!([{ "status": 200, "body": "1" }]));
    assert_eq!(other.received()[0].path, "/x");
}

#[test]
fn redirects_in_a_circle_end() {
    let target = Target::start();
    let installation = Installation::granting(&["http://localhost:*"], Names::default());
    let executed = installation.get(&["http://localhost:*"], &format!("{}/circle", target.url));
    let message = &failure(&executed, Cause::Retry).message;
    assert!(message.contains("more than 10 times"), "{message}");
    assert_eq!(target.received().len(), 11);
}

#[test]
fn where_pawl_listens_is_not_for_steps_even_if_this_machine_is() {
    let (pawl, beside) = (Target::start(), Target::start());
    let names = || Names::default().lead("localhost", &["127.0.0.1"]);
    let installation = Installation::granting(&["http://localhost:*"], names());
    let port = |target: &Target| target.url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    installation.engine.own().add(SocketAddr::from(([0, 0, 0, 0], port(&pawl))).into());
    let allow = ["http://localhost:*"];
    for host in ["127.0.0.1", "127.0.0.2", "localhost", "[::ffff:127.0.0.1]"] {
        let message = refused(&installation.get(&allow, &format!("http://{host}:{}/v1/runs", port(&pawl))));
        assert!(message.contains("where Pawl or one of its servers listens"), "{host}: {message}");
    }
    assert!(pawl.received().is_empty());
    output(&installation.get(&allow, &beside.url));
    // By its one address and port, an administrator may grant it all the same.
    let installation = Installation::granting(&["http://localhost:*", &pawl.url], names());
    installation.engine.own().add(SocketAddr::from(([127, 0, 0, 1], port(&pawl))).into());
    output(&installation.get(&allow, &pawl.url));
}

#[test]
fn tls_is_spoken_only_where_the_grant_says_https() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let installation = Installation::granting(&["http://localhost:*", "https://localhost:*"], Names::default());
    for (allow, url) in [("http", "https"), ("https", "http")] {
        let allow = format!("{allow}://127.0.0.1:{port}");
        let message = refused(&installation.get(&[&allow], &format!("{url}://127.0.0.1:{port}/")));
        assert!(message.contains(&format!("allow = [\"{url}://127.0.0.1:{port}\"]")), "{message}");
    }
    assert!(listener.accept().is_err(), "nobody has connected");
}

#[test]
fn an_attempt_makes_so_many_connections_to_one_host_and_exchanges_so_many_bytes() {
    let (target, other) = (Target::start(), Target::start());
    let of = |limits: Limits| Installation::limited(limits, outside(&["http://localhost:*"]), Names::default());
    let allow = ["http://localhost:*"];
    let get = |target: &Target, path: &str| json!({ "url": format!("{}{path}", target.url) });

    // These servers end each connection after its answer.
    let few = of(Limits { host_connections: 2, ..limits() });
    let memory = Arc::new(InMemory::default());
    let two = [get(&target, "/"), get(&target, "/"), get(&other, "/"), get(&other, "/")];
    output(&few.fetch(&allow, &json!(two), &memory));
    let executed = few.fetch(&allow, &json!(vec![get(&target, "/"); 3]), &Arc::new(InMemory::default()));
    let message = &failure(&executed, Cause::Limit).message;
    assert!(message.contains("2 connections") && message.contains("limit_host_connections"), "{message}");

    let small = of(Limits { host_bytes: 5_000, ..limits() });
    let large = || get(&target, "/large/3000");
    output(&small.fetch(&allow, &json!([large(), large()]), &Arc::new(InMemory::default())));
    let executed = small.fetch(&allow, &json!([large(), large(), large()]), &Arc::new(InMemory::default()));
    let message = &failure(&executed, Cause::Limit).message;
    assert!(message.contains("5000 bytes") && message.contains("limit_host_bytes"), "{message}");
    assert!(!matches!(executed.outcome, Outcome::Succeeded(_)));
}

#[test]
fn an_effect_that_was_announced_and_may_not_leave_any_more_is_refused_as_well() {
    let target = Target::start();
    let requests = json!([{ "method": "POST", "url": target.url }]);
    let crashing = Arc::new(InMemory::crashing_after(1));
    let open = Installation::granting(&["http://localhost:*"], Names::default());
    assert_eq!(open.fetch(&["http://localhost:*"], &requests, &crashing).outcome, Outcome::LeaseLost);
    let resumed = Arc::new(crashing.survived());
    let closed = Installation::granting(&[], Names::default());
    let before = target.received().len();
    let executed = closed.fetch(&["http://localhost:*"], &requests, &resumed);
    assert!(refused(&executed).contains("outside_hosts"), "{executed:?}");
    assert_eq!(target.received().len(), before);
}

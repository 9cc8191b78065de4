//! The table of what is reached and what is not, and of what a grant may be.

use super::*;

fn grants(texts: &[&str]) -> Vec<Grant> {
    texts.iter().map(|text| text.parse().unwrap_or_else(|error| panic!("{text} {error}"))).collect()
}

fn target(url: &str) -> Target {
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let scheme = Scheme::named(scheme).expect("http or https");
    let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, port.parse().expect("a port")),
        None => (rest, scheme.usual_port()),
    };
    Target { scheme, host: Host::of(host), port }
}

/// What becomes of a request to `url`, whose host leads to `address`.
fn asked(reach: Reach<'_>, url: &str, address: &str, is_own: bool) -> Option<Why> {
    let target = target(url);
    let address = match &target.host {
        Host::Address(address) => *address,
        Host::Name(_) => address.parse().expect("an address"),
    };
    let checked = reach.check_host(&target).and_then(|()| reach.check_address(&target, address, is_own));
    checked.err().map(|refused| refused.why)
}

#[test]
fn a_grant_is_a_scheme_a_host_and_a_port_and_told_as_it_is_written() {
    for (text, told) in [
        ("https://api.example.org", "https://api.example.org"),
        ("HTTPS://API.example.org.:443", "https://api.example.org"),
        ("http://*.example.org:8080", "http://*.example.org:8080"),
        ("https://*", "https://*"),
        ("http://*:*", "http://*:*"),
        ("http://localhost:*", "http://localhost:*"),
        ("http://127.0.0.1:7340", "http://127.0.0.1:7340"),
        ("http://10.1.2.3/8", "http://10.0.0.0/8"),
        ("https://[fd12::1]:*", "https://[fd12::1]:*"),
        ("https://[fd12::1/32]", "https://[fd12::/32]"),
        ("http://[::ffff:10.0.0.1]", "http://10.0.0.1"),
    ] {
        let grant: Grant = text.parse().unwrap_or_else(|error| panic!("{text} {error}"));
        assert_eq!(grant.to_string(), told);
        assert_eq!(told.parse(), Ok(grant), "{told} is read as it is told");
    }
}

#[test]
fn what_is_no_grant_is_refused_with_an_example() {
    for (text, says) in [
        ("api.example.org", "has no scheme"),
        ("*", "has no scheme"),
        ("ftp://api.example.org", "another scheme"),
        ("https://", "no name"),
        ("https://api.example.org/path", "more of a URL"),
        ("https://ann@api.example.org", "more of a URL"),
        ("https://*.*.org", "no name"),
        ("https://a*.org", "no name"),
        ("https://ä.example", "no name"),
        ("https://api.example.org:0", "from 1 to 65535"),
        ("https://api.example.org:https", "from 1 to 65535"),
        ("http://2130706433", "looks like an address"),
        ("http://0x7f.1", "looks like an address"),
        ("http://0177.0.0.1", "looks like an address"),
        ("http://127.1", "looks like an address"),
        ("http://[fe80::1%eth0]", "no address of IPv6"),
        ("http://[localhost]", "no address of IPv6"),
        ("http://[::1", "no `]`"),
        ("http://[::1]7340", "no port"),
    ] {
        let error = text.parse::<Grant>().expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error:?} should say {says:?}");
    }
}

#[test]
fn what_is_reached_is_what_all_three_grant() {
    let most = grants(&["http://*:*", "https://*:*"]);
    for (asked_for, allowed, url, why) in [
        ("http", "https://api.example.org", "https://api.example.org", None),
        ("http", "https://api.example.org", "https://API.EXAMPLE.ORG.", None),
        ("https://api.example.org", "https://*", "https://api.example.org", None),
        ("https://api.example.org", "https://*", "https://other.example.org", Some(Why::NotAsked)),
        ("", "https://*", "https://api.example.org", Some(Why::NotAsked)),
        ("http", "", "https://api.example.org", Some(Why::NotAllowed)),
        ("http", "https://api.example.org", "http://api.example.org", Some(Why::NotAllowed)),
        ("http", "http://api.example.org", "https://api.example.org", Some(Why::NotAllowed)),
        ("http", "https://api.example.org", "https://api.example.org:8443", Some(Why::NotAllowed)),
        ("http", "https://api.example.org:*", "https://api.example.org:8443", None),
        ("http", "https://api.example.org", "https://api.example.org.evil.example", Some(Why::NotAllowed)),
        ("http", "https://*.example.org", "https://a.b.example.org", None),
        ("http", "https://*.example.org", "https://example.org", Some(Why::NotAllowed)),
        ("http", "https://*.example.org", "https://evilexample.org", Some(Why::NotAllowed)),
        ("http", "https://*.example.org", "https://.example.org", Some(Why::NotAllowed)),
    ] {
        let needs: Vec<String> = asked_for.split(' ').filter(|need| !need.is_empty()).map(str::to_owned).collect();
        let allowed = grants(&allowed.split(' ').filter(|text| !text.is_empty()).collect::<Vec<_>>());
        let reach = Reach { asked: &Asked::of(&needs), allowed: &allowed, most: &most };
        assert_eq!(asked(reach, url, "8.8.8.8", false), why, "{asked_for:?} {allowed:?} {url}");
    }
    let few = grants(&["https://*.example.org"]);
    let reach = Reach { asked: &Asked::Any, allowed: &most, most: &few };
    assert_eq!(asked(reach, "https://api.example.org", "8.8.8.8", false), None);
    assert_eq!(asked(reach, "https://api.example.com", "8.8.8.8", false), Some(Why::NotHere));
}

#[test]
fn an_address_that_is_not_public_is_reached_only_if_the_installation_names_it() {
    let parse = |address: &str| address.parse::<std::net::IpAddr>().expect("an address");
    let refused = |address: &str| Some(Why::NotPublic(parse(address), kind_of(parse(address))));
    let astray = |address: &str| Some(Why::ByName(parse(address), kind_of(parse(address))));
    let public = ["http://*:*", "https://*:*"];
    let with = |more: &[&str]| grants(&[&public[..], more].concat());
    for (more, url, address, why) in [
        ("", "http://10.0.0.5:8080", "", refused("10.0.0.5")),
        ("", "http://billing.internal", "10.0.0.5", refused("10.0.0.5")),
        ("", "http://billing.internal", "::ffff:10.0.0.5", refused("::ffff:10.0.0.5")),
        ("", "http://[fd12::1]", "", refused("fd12::1")),
        ("", "http://169.254.169.254", "", refused("169.254.169.254")),
        ("", "http://[::ffff:a9fe:a9fe]", "", refused("::ffff:169.254.169.254")),
        ("", "http://127.0.0.1", "", refused("127.0.0.1")),
        ("", "http://localhost", "127.0.0.1", refused("127.0.0.1")),
        // An exact name grants no address: its owner says where it leads.
        ("http://billing.internal", "http://billing.internal", "10.0.0.5", refused("10.0.0.5")),
        ("http://10.0.0.0/8", "http://billing.internal", "10.0.0.5", None),
        ("http://10.0.0.0/8", "http://billing.internal", "::ffff:10.0.0.5", None),
        ("http://10.0.0.0/8", "http://billing.internal:8080", "10.0.0.5", refused("10.0.0.5")),
        ("http://10.0.0.0/8:*", "http://billing.internal:8080", "10.0.0.5", None),
        ("http://10.0.0.0/8", "https://billing.internal", "10.0.0.5", refused("10.0.0.5")),
        ("http://10.0.0.0/8", "http://billing.internal", "192.168.0.5", refused("192.168.0.5")),
        ("http://localhost:*", "http://localhost:8080", "127.0.0.1", None),
        ("http://localhost:*", "http://localhost:8080", "::1", None),
        ("http://localhost:*", "http://db.localhost:8080", "127.0.0.1", None),
        ("http://localhost:*", "http://127.0.0.1:8080", "", None),
        ("http://localhost:*", "http://[::ffff:127.0.0.1]:8080", "", None),
        ("http://localhost:*", "http://evil.example:8080", "127.0.0.1", astray("127.0.0.1")),
        ("http://localhost:*", "http://localhost:8080", "10.0.0.1", astray("10.0.0.1")),
        ("http://localhost:*", "http://localhost:8080", "8.8.8.8", astray("8.8.8.8")),
        ("http://169.254.0.0/16", "http://169.254.169.254", "", refused("169.254.169.254")),
        ("http://169.254.0.0/16", "http://169.254.7.7", "", None),
        ("http://169.254.169.254", "http://169.254.169.254", "", None),
        ("http://169.254.169.254", "http://metadata.google.internal", "169.254.169.254", astray("169.254.169.254")),
    ] {
        let most = with(if more.is_empty() { &[] } else { std::slice::from_ref(&more) });
        // The step is granted just that.
        let allowed = grants(&[url]);
        let reach = Reach { asked: &Asked::Any, allowed: &allowed, most: &most };
        assert_eq!(asked(reach, url, address, false), why, "{more:?} {url} {address}");
    }
    for nowhere in ["http://0.0.0.0", "http://[::]", "http://255.255.255.255", "http://224.0.0.1", "http://[ff02::1]"] {
        let most = with(&["http://0.0.0.0/0", "http://[::/0]"]);
        let reach = Reach { asked: &Asked::Any, allowed: &most, most: &most };
        assert!(matches!(asked(reach, nowhere, "", false), Some(Why::Nowhere(_))), "{nowhere}");
    }
}

#[test]
fn all_that_is_public_is_not_what_is_private_even_where_the_installation_is_open() {
    let most = grants(&["http://*", "http://10.0.0.0/8"]);
    for (allowed, is_reached) in [("http://*", false), ("http://*.internal", true), ("http://billing.internal", true)] {
        let allowed = grants(&[allowed]);
        let reach = Reach { asked: &Asked::Any, allowed: &allowed, most: &most };
        assert_eq!(asked(reach, "http://billing.internal", "10.0.0.5", false).is_none(), is_reached, "{allowed:?}");
        let by_address = asked(reach, "http://10.0.0.5", "", false);
        assert!(matches!(by_address, Some(Why::NotAllowed | Why::OnlyPublic(..))), "{by_address:?}");
    }
}

#[test]
fn where_pawl_itself_listens_is_granted_by_its_one_address_and_port_alone() {
    for (more, is_reached) in [
        ("http://localhost:*", false),
        ("http://localhost:7340", false),
        ("http://127.0.0.0/8:7340", false),
        ("http://127.0.0.1:*", false),
        ("https://127.0.0.1:7340", false),
        ("http://127.0.0.1:7340", true),
    ] {
        let most = grants(&["http://*:*", "http://localhost:*", more]);
        let allowed = grants(&["http://localhost:*"]);
        let reach = Reach { asked: &Asked::Any, allowed: &allowed, most: &most };
        for (url, address) in [("http://127.0.0.1:7340", ""), ("http://localhost:7340", "::ffff:127.0.0.1")] {
            let why = asked(reach, url, address, true);
            assert_eq!(why.is_none(), is_reached, "{more} {url}");
            assert!(matches!(why, None | Some(Why::Own(_))), "{why:?}");
            assert_eq!(asked(reach, url, address, false), None, "beside it, everything is as ever");
        }
    }
    // Also where it is public.
    let all = grants(&["http://*:*"]);
    let reach = Reach { asked: &Asked::Any, allowed: &all, most: &all };
    assert!(matches!(asked(reach, "http://db.example.org:5432", "8.8.8.8", true), Some(Why::Own(_))));
}

#[test]
fn a_refusal_names_the_grant_that_is_missing_and_who_gives_it() {
    let all = grants(&["http://*:*"]);
    let nothing = Asked::Only(Vec::new());
    let (every, none): (&[Grant], &[Grant]) = (&all, &[]);
    for (asked_for, allowed, most, url, address, says) in [
        (&nothing, every, every, "http://a.example", "8.8.8.8", "`needs` of \"http\", or of \"http://a.example\""),
        (&Asked::Any, none, every, "http://a.example:8080", "8.8.8.8", "write allow = [\"http://a.example:8080\"]"),
        (
            &Asked::Any,
            every,
            none,
            "http://a.example",
            "8.8.8.8",
            "adds \"http://a.example\" to the workers' setting `outside_hosts`",
        ),
        (&Asked::Any, every, every, "http://a.example:81", "10.0.0.1", "adds \"http://10.0.0.1:81\""),
        (&Asked::Any, every, every, "http://[fd12::1]", "", "adds \"http://[fd12::1]\""),
    ] {
        let reach = Reach { asked: asked_for, allowed, most };
        let target = target(url);
        let address = if address.is_empty() { "fd12::1" } else { address };
        let checked = reach.check_host(&target);
        let refused = checked.and_then(|()| reach.check_address(&target, address.parse().expect("an address"), false));
        let message = refused.expect_err("it is refused").to_string();
        assert!(message.contains(says), "{message:?} should say {says:?}");
    }
}

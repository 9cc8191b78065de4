//! Certificates: those of Postgres, Redis and the API, where they are spoken to over TLS, and those in files that settings name.
//! Until when they are good is looked at, and nothing else: whether they are trusted is said by whoever connects with them.

use std::path::PathBuf;
use std::time::Duration;

use pawl_base::one_by_one;
use pawl_dispatch::doctor::Check;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::output::{counted, now_ms, utc};
use crate::settings::Settings;
use peer::{Peer, Speaks};

mod peer;

const CHECK: &str = "certificates";

/// Somebody should renew it by then: certificates that are renewed by a machine are so a month before their end.
const SOON_DAYS: i64 = 21;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What there is to look at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    peers: Vec<Peer>,
    /// By what they are named, and where they are.
    files: Vec<(&'static str, PathBuf)>,
}

/// Looks at all of them; each server is waited for no longer than `limit`.
pub(super) async fn look(settings: &Settings, limit: Duration) -> anyhow::Result<Vec<Check>> {
    let variable = |name: &str| std::env::var(name).ok();
    let redis = settings.redis().ok();
    let places =
        Places::of(settings.database_url().ok().as_deref(), redis.as_ref().map(|redis| &*redis.url), &variable)
            .with_api(&settings.api_url())
            .with_file("api_ca", settings.trust()?.ca)
            .with_file("redis_ca", redis.as_ref().and_then(|redis| redis.ca.clone()))
            .with_file("redis_certificate", redis.and_then(|redis| redis.own).map(|(certificate, _)| certificate));
    let mut checks: Vec<Check> = places.files.iter().map(|(named, file)| of_file(named, file)).collect();
    let asked: Vec<_> =
        places.peers.into_iter().map(|peer| tokio::task::spawn_blocking(move || peer.ask(limit))).collect();
    for answer in asked {
        let (subject, answer) = answer.await?;
        checks.extend(of_peer(&subject, answer));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            CHECK,
            "none is used: no server is spoken to over TLS, and no setting names a file of them",
        ));
    }
    Ok(checks)
}

impl Places {
    fn of(database_url: Option<&str>, redis_url: Option<&str>, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut places = Self::default();
        if let Some(url) = database_url {
            let urls = urls(url);
            let parameter = |names: &[&str], standard: &str| parameter(&urls, names).or_else(|| variable(standard));
            let mode = parameter(&["sslmode", "ssl-mode"], "PGSSLMODE");
            if mode.is_none_or(|mode| !mode.eq_ignore_ascii_case("disable")) {
                places.peers.extend(urls.iter().filter_map(|url| peer::named(url, Speaks::Postgres)));
            }
            let ca = parameter(&["sslrootcert", "ssl-root-cert", "ssl-ca"], "PGSSLROOTCERT");
            let own = parameter(&["sslcert", "ssl-cert"], "PGSSLCERT");
            places =
                places.with_file("sslrootcert", ca.map(PathBuf::from)).with_file("sslcert", own.map(PathBuf::from));
        }
        let secure = redis_url.map(urls).unwrap_or_default().into_iter().filter(|url| url.scheme() == "rediss");
        places.peers.extend(secure.filter_map(|url| peer::named(&url, Speaks::Redis)));
        places
    }

    /// The API, where that speaks TLS.
    fn with_api(mut self, url: &str) -> Self {
        let secure = urls(url).into_iter().filter(|url| url.scheme() == "https");
        self.peers.extend(secure.filter_map(|url| peer::named(&url, Speaks::Api)));
        self
    }

    fn with_file(mut self, named: &'static str, file: Option<PathBuf>) -> Self {
        self.files.extend(file.map(|file| (named, file)));
        self
    }
}

/// The servers of a URL, each as a URL of its own. What is none is a finding of the check that connects with it.
fn urls(url: &str) -> Vec<Url> {
    one_by_one(url).iter().filter_map(|url| Url::parse(url).ok()).collect()
}

/// The value of a parameter, which is that of all servers. It is read as those read it who connect: the last one counts,
/// and `+` is a space.
fn parameter(urls: &[Url], names: &[&str]) -> Option<String> {
    let named = urls.first()?.query_pairs().filter(|(name, _)| names.contains(&&**name));
    named.last().map(|(_, value)| value.into_owned())
}

/// Until when a certificate is good, ms since 1970; none if this is no certificate.
fn ends_ms(der: &[u8]) -> Option<i64> {
    let certificate = Certificate::from_der(der).ok()?;
    let ends = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    i64::try_from(ends.as_millis()).ok()
}

/// A file may hold one after the other, of which the last to end counts: a new one is put beside the old.
fn of_file(named: &str, file: &std::path::Path) -> Check {
    let subject = format!("{named} {}", file.display());
    let unread = |why: String| {
        Check::fail(CHECK, format!("it can't be read: {why}"), "name a file of certificates, written as PEM")
            .of(&subject)
    };
    let pem = match std::fs::read(file) {
        Ok(pem) => pem,
        Err(error) => return unread(error.to_string()),
    };
    let ends = CertificateDer::pem_slice_iter(&pem).filter_map(|one| ends_ms(&one.ok()?));
    match ends.max() {
        Some(ends_ms) => judge(&subject, ends_ms, now_ms()),
        None => unread("there is no certificate in it".to_owned()),
    }
}

/// Of a server that speaks without TLS, nothing.
fn of_peer(subject: &str, answer: Result<Option<Vec<u8>>, String>) -> Option<Check> {
    Some(match answer.map(|found| found.map(|certificate| ends_ms(&certificate))) {
        Ok(None) => return None,
        Ok(Some(Some(ends_ms))) => judge(subject, ends_ms, now_ms()),
        Ok(Some(None)) => Check::unknown(CHECK, "it does not say until when it is good").of(subject),
        // That it is away is a finding of its own check.
        Err(why) => Check::unknown(CHECK, format!("it can't be asked for it: {why}")).of(subject),
    })
}

fn judge(subject: &str, ends_ms: i64, now_ms: i64) -> Check {
    let (left_ms, date) = (ends_ms - now_ms, utc(ends_ms)[..10].to_owned());
    let days = left_ms.div_euclid(DAY_MS);
    let check = if left_ms <= 0 {
        Check::fail(CHECK, format!("it has ended on {date}"), "renew it: whoever connects from now on is refused")
    } else if days < SOON_DAYS {
        Check::warn(
            CHECK,
            format!("it ends on {date}, in {}", counted(days.unsigned_abs(), "day")),
            "renew it, and see why that was not done by itself",
        )
    } else {
        Check::ok(CHECK, format!("it is good until {date}, for {}", counted(days.unsigned_abs(), "day")))
    };
    check.of(subject).figure("days", days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_dispatch::doctor::Status;

    /// Good until the end of February 29, 2024, and until that of the year 9999: their times have two and four digits for
    /// the year.
    const ENDED: &[u8] = include_bytes!("certificates/ended.pem");
    const ENDLESS: &[u8] = include_bytes!("certificates/endless.pem");

    fn der(pem: &[u8]) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem).unwrap().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_of_its_forms() {
        // The end of the validity comes after its begin.
        let with = |pem: &[u8], end: &str, other: &str| {
            let mut der = der(pem);
            let at = der.windows(end.len()).rposition(|part| part == end.as_bytes()).unwrap();
            der[at..at + end.len()].copy_from_slice(other.as_bytes());
            ends_ms(&der)
        };
        for (other, expected) in [
            ("700101000000Z", Some(0)),
            ("240229235959Z", Some(1_709_251_199_000)),
            ("491231235959Z", Some(2_524_607_999_000)),
            ("240230235959Z", None),
            ("241301000000Z", None),
            ("2402292359+01", None),
        ] {
            assert_eq!(with(ENDED, "240229235959Z", other), expected, "{other}");
        }
        for (other, expected) in [
            ("20500101000000Z", Some(2_524_608_000_000)),
            ("99991231235959Z", Some(253_402_300_799_000)),
            ("20501301000000Z", None),
        ] {
            assert_eq!(with(ENDLESS, "99991231235959Z", other), expected, "{other}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_certificate_has_no_end() {
        let whole = der(ENDED);
        for end in 0..whole.len() {
            assert_eq!(ends_ms(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(ends_ms(ENDED), None, "it is text");
    }

    #[test]
    fn of_several_certificates_in_a_file_the_last_to_end_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for (content, expected, says) in [
            (ENDED.to_vec(), Status::Fail, "it has ended on 2024-02-29"),
            ([ENDED, ENDLESS].concat(), Status::Ok, "it is good until 9999-12-31"),
            ([ENDLESS, ENDED].concat(), Status::Ok, "it is good until 9999-12-31"),
        ] {
            std::fs::write(&file, content).unwrap();
            let check = of_file("redis_ca", &file);
            assert_eq!(check.status, expected, "{check:?}");
            assert!(check.found.starts_with(says), "{check:?}");
        }
    }

    #[test]
    fn a_certificate_that_ends_soon_is_told_before_it_has() {
        let now_ms = 1_795_910_399_125;
        for (left_ms, expected, says) in [
            (-1, Status::Fail, "it has ended on 2026-11-28"),
            (DAY_MS, Status::Warn, "in 1 day"),
            (SOON_DAYS * DAY_MS - 1, Status::Warn, "in 20 days"),
            (SOON_DAYS * DAY_MS, Status::Ok, "for 21 days"),
        ] {
            let check = judge("redis here:1", now_ms + left_ms, now_ms);
            assert_eq!(check.status, expected, "{check:?}");
            assert!(check.found.contains(says), "{check:?}");
        }
    }

    #[test]
    fn what_is_looked_at_is_what_is_spoken_to_over_tls() {
        let nothing = |_: &str| None;
        let peers = |database, redis| {
            let places = Places::of(database, redis, &nothing);
            places.peers.iter().map(Peer::subject).collect::<Vec<_>>()
        };
        assert_eq!(peers(None, Some("redis://cache/")), [] as [&str; 0]);
        assert_eq!(peers(None, Some("rediss://me:p,w@[::1]:1,cache/0")), ["redis ::1:1", "redis cache:6379"]);
        assert_eq!(peers(Some("postgres://pawl@one:1,two/pawl"), None), ["postgres one:1", "postgres two:5432"]);
        for without in ["postgres://db/pawl?sslmode=disable", "postgres:///pawl", "postgres://%2Frun%2Fpg/pawl"] {
            assert_eq!(peers(Some(without), None), [] as [&str; 0], "{without}");
        }
        assert_eq!(
            peers(Some("postgres://db:1/pawl?sslmode=disable&sslmode=require"), None),
            ["postgres db:1"],
            "the last"
        );
        assert_eq!(peers(Some("postgres://db:none/pawl"), Some("nonsense")), [] as [&str; 0]);
        let of_api = |url: &str| Places::default().with_api(url).peers.iter().map(Peer::subject).collect::<Vec<_>>();
        assert_eq!(of_api("https://pawl.example.org/"), ["api pawl.example.org:443"]);
        assert_eq!(of_api("http://127.0.0.1:7340"), [] as [&str; 0]);
        for off in ["disable", "Disable"] {
            let off = |name: &str| (name == "PGSSLMODE").then(|| off.to_owned());
            assert_eq!(Places::of(Some("postgres://db/pawl"), None, &off), Places::default());
        }

        let of_environment = |name: &str| (name == "PGSSLCERT").then(|| "own.pem".to_owned());
        let url = "postgres://db/pawl?sslmode=require&sslrootcert=%2Fetc%2Fours%20%25.pem";
        let files = Places::of(Some(url), None, &of_environment).with_file("redis_ca", None).files;
        let named = |named, file: &str| (named, PathBuf::from(file));
        assert_eq!(files, [named("sslrootcert", "/etc/ours %.pem"), named("sslcert", "own.pem")]);
        let files = Places::of(Some("postgres://one,two/pawl?ssl-ca=/etc/our+own%2Bothers.pem"), None, &nothing).files;
        assert_eq!(files, [named("sslrootcert", "/etc/our own+others.pem")]);
    }

    #[test]
    fn a_file_without_certificates_is_a_finding_and_a_server_that_is_away_is_not() {
        for file in ["/nowhere/ca.pem", "/dev/null"] {
            let check = of_file("redis_ca", file.as_ref());
            assert_eq!((check.status, check.name()), (Status::Fail, format!("certificates redis_ca {file}")));
        }
        assert_eq!(of_peer("redis here:1", Err("refused".to_owned())).unwrap().status, Status::Unknown);
        assert_eq!(of_peer("redis here:1", Ok(None)), None);
    }
}

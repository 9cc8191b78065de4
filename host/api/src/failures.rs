//! Wrong tokens, by the address that they came from: some are looked at as they come, after them one a second. So nobody tries out
//! many, and who has mistyped one waits for nothing. A token that was good from there before is looked at all the same, so
//! that one client's mistake is not its neighbours' behind the same proxy. Pure: whoever asks says what time it is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Addresses that are kept; of those that are over, the least bad is forgotten.
const SOURCES: usize = 4_096;

/// Good tokens that are remembered of each.
const GOOD: usize = 16;

/// Wrong tokens a second that are forgiven.
const FORGIVEN: f64 = 1.0;

/// The wrong tokens of all addresses.
pub(super) struct Failures {
    /// As many in a row are looked at.
    most: f64,
    sources: HashMap<IpAddr, Source>,
}

struct Source {
    /// Wrong tokens that are not forgiven, as of `at`.
    owed: f64,
    at: Instant,
    good: Vec<blake3::Hash>,
}

impl Source {
    fn owed(&self, now: Instant) -> f64 {
        (self.owed - now.duration_since(self.at).as_secs_f64() * FORGIVEN).max(0.0)
    }
}

impl Failures {
    pub(super) fn new(most: u32) -> Self {
        Self { most: f64::from(most), sources: HashMap::new() }
    }

    /// Whether a token from there is not looked at now.
    pub(super) fn is_slowed(&self, from: IpAddr, token: &blake3::Hash, now: Instant) -> bool {
        let source = self.sources.get(&neighbourhood(from));
        source.is_some_and(|source| source.owed(now) + 1.0 > self.most && !source.good.contains(token))
    }

    /// A wrong one came from there.
    pub(super) fn failed(&mut self, from: IpAddr, now: Instant) {
        let from = neighbourhood(from);
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&from) {
            self.make_room(now);
        }
        let source = self.sources.entry(from).or_insert(Source { owed: 0.0, at: now, good: Vec::new() });
        source.owed = source.owed(now) + 1.0;
        source.at = now;
    }

    /// A good one did. Of an address without wrong ones nothing is kept.
    pub(super) fn passed(&mut self, from: IpAddr, token: blake3::Hash) {
        if self.sources.is_empty() {
            return;
        }
        let Some(source) = self.sources.get_mut(&neighbourhood(from)) else { return };
        if !source.good.contains(&token) {
            if source.good.len() >= GOOD {
                source.good.remove(0);
            }
            source.good.push(token);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.sources.retain(|_, source| source.owed(now) > 0.0);
        if self.sources.len() >= SOURCES {
            let least = self.sources.iter().min_by(|(_, one), (_, other)| one.owed(now).total_cmp(&other.owed(now)));
            if let Some(from) = least.map(|(from, _)| *from) {
                self.sources.remove(&from);
            }
        }
    }
}

/// Whoever has one address of IPv6 has all of its network.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn v4(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn some_wrong_tokens_are_looked_at_and_then_one_a_second() {
        let (mut failures, mut now, guess) = (Failures::new(3), Instant::now(), blake3::hash(b"guess"));
        for _ in 0..3 {
            assert!(!failures.is_slowed(v4(1), &guess, now));
            failures.failed(v4(1), now);
        }
        assert!(failures.is_slowed(v4(1), &guess, now));
        assert!(!failures.is_slowed(v4(2), &guess, now), "another address has nothing to do with it");
        now += Duration::from_millis(900);
        assert!(failures.is_slowed(v4(1), &guess, now));
        now += Duration::from_millis(200);
        assert!(!failures.is_slowed(v4(1), &guess, now));
        failures.failed(v4(1), now);
        assert!(failures.is_slowed(v4(1), &guess, now));
        now += Duration::from_secs(60);
        for _ in 0..3 {
            assert!(!failures.is_slowed(v4(1), &guess, now), "all is forgiven, and no more than all");
            failures.failed(v4(1), now);
        }
        assert!(failures.is_slowed(v4(1), &guess, now));
    }

    #[test]
    fn a_token_that_was_good_from_there_is_not_slowed() {
        let (mut failures, now, good) = (Failures::new(2), Instant::now(), blake3::hash(b"good"));
        failures.failed(v4(1), now);
        failures.passed(v4(1), good);
        failures.failed(v4(1), now);
        assert!(!failures.is_slowed(v4(1), &good, now));
        assert!(failures.is_slowed(v4(1), &blake3::hash(b"guess"), now));
        for number in 0..100_u8 {
            failures.passed(v4(1), blake3::hash(&[number]));
        }
        assert_eq!(failures.sources[&v4(1)].good.len(), GOOD, "it is bounded");
    }

    #[test]
    fn addresses_are_bounded_and_the_worst_is_not_forgotten() {
        let (mut failures, now, guess) = (Failures::new(2), Instant::now(), blake3::hash(b"guess"));
        let worst = IpAddr::from([198, 51, 100, 7]);
        for _ in 0..5 {
            failures.failed(worst, now);
        }
        for number in 0..2 * SOURCES {
            let [.., high, low] = u32::try_from(number).unwrap().to_be_bytes();
            failures.failed(IpAddr::from([10, 0, high, low]), now);
            assert!(failures.sources.len() <= SOURCES);
        }
        assert!(failures.is_slowed(worst, &guess, now));
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_an_embedded_address_is_itself() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), v4(1));
    }
}

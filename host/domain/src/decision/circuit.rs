//! Circuits: when a call of an outside host counts as a sign that the host is down, when that opens its circuit, and what
//! follows from how a probe comes out. Pure. Workers decide by this what they count; stores keep what is open, and the
//! functions of `migrations/0037_circuits.sql` follow the same rules.
//!
//! ```text
//!             failures in a row, of two attempts              its time has come, and somebody asks
//!   (closed) ──────────────────────────────────▶ open ─────────────────────────────────────────▶ half-open
//!      ▲                                          ▲ └ nobody may call: attempts are deferred           │
//!      │                                          ├──────── failed: for an eighth longer ─────────────┤
//!      │                                          ├──────── gone, stopped: another one probes ────────┤
//!      └──────────────────────────────────────────┴──────── answered ─────────────────────────────────┘
//! ```

use std::time::Duration;

use crate::id::{Fence, StepId};
use crate::journal::{HttpAnswer, Knowledge};

/// How long a host's scheme, name and port may be; one with a longer name has no circuit.
pub const ORIGIN_LENGTH: usize = 300;

/// What stands before the name of a secret where that of a host begins with its scheme.
const SECRET: &str = "secret:";

/// And before what a build must know to read a journal.
const JOURNAL: &str = "journal:";

/// And before the id of a master key.
const KEY: &str = "master-key:";

/// What is told of a call that failed, bytes.
const REASON_BYTES: usize = 200;

/// What stands in an error before that of the system's resolver.
const UNKNOWN_NAME: &str = "dns error: ";

/// Failures further apart than this are not in a row: what is called rarely is down for a while before it counts.
const IN_A_ROW_MS: i64 = 10 * 60 * 1_000;

/// A deferred step comes again by itself after so long, and up to twice that. As a rule it is pulled to probe, or released when
/// the circuit closes, long before.
const DEFERRED_MS: u64 = 10 * 60 * 1_000;

/// A circuit that could have been probed for so long, and was not, goes: nobody calls its host.
pub const LAPSES_AFTER: Duration = Duration::from_secs(5 * 60);

/// Of a circuit that may be probed, a step is pulled so often until somebody probes.
pub const PULLS_EVERY: Duration = Duration::from_secs(5);

/// How longer than the call itself a probe may take to be told.
pub const PROBE_SLACK: Duration = Duration::from_secs(5);

/// When circuits open, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether calls are counted and held back at all.
    pub on: bool,
    /// Failed calls in a row that open a circuit.
    pub failures: u32,
    /// How long it is open at first.
    pub first: Duration,
    /// The longest that it is open between two probes.
    pub longest: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { on: true, failures: 5, first: Duration::from_secs(2), longest: Duration::from_secs(60) }
    }
}

/// What a call says of the host that it has asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// It is there.
    Up,
    /// It is down, or nothing gets through to it: why, for people.
    Down(String),
    /// Nothing: the step did not wait for long enough, or was stopped.
    Nothing,
}

/// What an answer says. `is_patient`: the call was given the time that the host gives, or more.
///
/// An answer is a sign of life, whatever it says, but for those with which a proxy says that nobody is behind it. With
/// `Retry-After`, it is the service itself that asks for patience, and the step that decides.
#[must_use]
pub fn sign_of(answer: &HttpAnswer, is_patient: bool) -> Sign {
    match answer {
        HttpAnswer::Response { status: status @ 502..=504, headers, .. }
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("retry-after")) =>
        {
            Sign::Down(format!("it answered {status}"))
        }
        HttpAnswer::Response { .. } | HttpAnswer::TooLarge(_) => Sign::Up,
        // A name that is not there is most often a mistake, and would be waited for without an end.
        HttpAnswer::Connect(why) if why.contains(UNKNOWN_NAME) => Sign::Nothing,
        HttpAnswer::Connect(why) => Sign::Down(format!("no connection: {}", innermost(why))),
        HttpAnswer::Broken(why) => Sign::Down(format!("the connection broke: {}", innermost(why))),
        HttpAnswer::Timeout if is_patient => Sign::Down("no answer in time".to_owned()),
        HttpAnswer::Timeout | HttpAnswer::Invalid(_) => Sign::Nothing,
    }
}

/// The last cause of an error and its causes: the first ones repeat the URL, which may have more in it than people should see.
fn innermost(error: &str) -> String {
    let last = error.rsplit(": ").next().unwrap_or(error);
    if last.contains("://") {
        return "no reason is known".to_owned();
    }
    let mut line = last.replace(char::is_control, " ");
    line.truncate(line.floor_char_boundary(REASON_BYTES));
    line
}

/// What stands for a host in the circuit of a secret that workers lack: the same holds for both.
///
/// ```
/// use pawl_domain::decision::circuit::{origin_of_secret, secret_in};
/// assert_eq!(secret_in(&origin_of_secret("token")), Some("token"));
/// assert_eq!(secret_in("https://pay.example.org:443"), None);
/// ```
#[must_use]
pub fn origin_of_secret(name: &str) -> String {
    format!("{SECRET}{name}")
}

/// The secret that an origin stands for, if it is no host.
#[must_use]
pub fn secret_in(origin: &str) -> Option<&str> {
    origin.strip_prefix(SECRET)
}

/// What stands for a host where steps wait for a worker that can read their journals, since a newer one has begun them.
///
/// ```
/// use pawl_domain::decision::circuit::{journal_in, origin_of_journal};
/// use pawl_domain::journal::KNOWN;
/// assert_eq!(journal_in(&origin_of_journal(KNOWN)), Some(KNOWN));
/// assert_eq!(journal_in("secret:journal"), None);
/// ```
#[must_use]
pub fn origin_of_journal(needs: Knowledge) -> String {
    format!("{JOURNAL}{needs}")
}

/// What a worker must know for whom an origin stands, if it is no host and no secret.
#[must_use]
pub fn journal_in(origin: &str) -> Option<Knowledge> {
    origin.strip_prefix(JOURNAL)?.parse().ok()
}

/// What stands for a host where steps wait for a worker that has the master key of that id, which opens their payloads.
///
/// ```
/// use pawl_domain::decision::circuit::{key_in, origin_of_key};
/// assert_eq!(key_in(&origin_of_key("0a1b2c")), Some("0a1b2c"));
/// assert_eq!(key_in("secret:0a1b2c"), None);
/// ```
#[must_use]
pub fn origin_of_key(id: &str) -> String {
    format!("{KEY}{id}")
}

/// The id of the master key for which an origin stands, if it is none of the others.
#[must_use]
pub fn key_in(origin: &str) -> Option<&str> {
    origin.strip_prefix(KEY)
}

/// Failed calls of a host since one was answered, as one worker has seen them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// Whose the first was.
    first_by: Option<(StepId, Fence)>,
    /// Other attempts have failed, too: it is not one step that asks for what can't be.
    of_others: bool,
    last_ms: i64,
}

impl Failures {
    /// One more, at that time.
    pub fn add(&mut self, attempt: (StepId, Fence), now_ms: i64) {
        if self.count > 0 && now_ms - self.last_ms > IN_A_ROW_MS {
            *self = Self::default();
        }
        self.count += 1;
        self.of_others |= *self.first_by.get_or_insert(attempt) != attempt;
        self.last_ms = now_ms;
    }

    /// Whether they open the circuit.
    #[must_use]
    pub fn open(&self, rules: &Rules) -> bool {
        self.count >= rules.failures && self.of_others
    }

    /// When the last one was.
    #[must_use]
    pub fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

/// The right to call a host whose circuit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The circuit.
    pub circuit: i64,
    /// Its newest probe counts.
    pub number: u32,
}

/// What is known of a circuit that is open. Times are ms since 1970 by the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Nobody calls before.
    pub retry_at_ms: i64,
    /// Until when somebody probes.
    pub probed_until_ms: Option<i64>,
}

/// What an attempt may do that is about to call a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// It calls.
    Call,
    /// It asks for the probe.
    Probe,
    /// It is deferred.
    Wait,
}

/// Whether a host may be called whose circuit is like that; `None`: it is closed.
#[must_use]
pub fn may_call(circuit: Option<Open>, now_ms: i64) -> May {
    match circuit {
        None => May::Call,
        Some(Open { retry_at_ms, .. }) if now_ms < retry_at_ms => May::Wait,
        Some(Open { probed_until_ms: Some(until_ms), .. }) if now_ms < until_ms => May::Wait,
        Some(_) => May::Probe,
    }
}

/// How long a circuit is open after a probe has failed: an eighth longer. So the time between two probes grows as the outage
/// does, at about a ninth of its age: who is back is found soon, and who stays away is left alone.
#[must_use]
pub fn open_again_ms(open_ms: u64, longest_ms: u64) -> u64 {
    // Never shorter, also where the setting has become so.
    open_ms.max(open_ms.saturating_add((open_ms / 8).max(1)).min(longest_ms))
}

/// After how long a deferred step comes by itself; `jitter` is from 0 to 1.
#[must_use]
pub fn deferred_ms(jitter: f64) -> u64 {
    DEFERRED_MS + (jitter.clamp(0.0, 1.0) * DEFERRED_MS as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RunId, StepNo};

    fn response(status: u16, headers: &[(&str, &str)]) -> HttpAnswer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HttpAnswer::Response { status, headers, body: Vec::new() }
    }

    #[test]
    fn what_says_that_a_host_is_down_and_what_does_not() {
        let down = |why: &str| Sign::Down(why.to_owned());
        let refused = "error sending request for url (http://a/?key=s3cret): tcp connect error: Connection refused (os error 111)";
        for (answer, is_patient, sign) in [
            (response(200, &[]), true, Sign::Up),
            (response(404, &[]), true, Sign::Up),
            (response(500, &[]), true, Sign::Up),
            (response(429, &[]), true, Sign::Up),
            (response(502, &[]), true, down("it answered 502")),
            (response(503, &[("content-type", "text/html")]), true, down("it answered 503")),
            (response(504, &[]), false, down("it answered 504")),
            (response(503, &[("Retry-After", "7")]), true, Sign::Up),
            (HttpAnswer::TooLarge(9), true, Sign::Up),
            (HttpAnswer::Connect(refused.into()), true, down("no connection: Connection refused (os error 111)")),
            (
                HttpAnswer::Connect(
                    "client error (Connect): dns error: failed to lookup address information: no such name".into(),
                ),
                true,
                Sign::Nothing,
            ),
            (
                HttpAnswer::Broken("error sending request for url (http://a/?key=s3cret)".into()),
                true,
                down("the connection broke: no reason is known"),
            ),
            (
                HttpAnswer::Broken(format!("a: {}", "é".repeat(REASON_BYTES))),
                true,
                down(&format!("the connection broke: {}", "é".repeat(REASON_BYTES / 2))),
            ),
            (HttpAnswer::Timeout, true, down("no answer in time")),
            (HttpAnswer::Timeout, false, Sign::Nothing),
            (HttpAnswer::Invalid("no URL".into()), true, Sign::Nothing),
        ] {
            assert_eq!(sign_of(&answer, is_patient), sign, "{answer:?}");
        }
    }

    #[test]
    fn failures_in_a_row_of_more_than_one_attempt_open_a_circuit() {
        let step = StepId { run: RunId::new(), step: StepNo(0) };
        let (one, other) = ((step, Fence(1)), (step, Fence(2)));
        let rules = Rules { failures: 3, ..Rules::default() };
        for (calls, opens) in [
            (vec![(one, 0), (one, 1), (one, 2), (one, 3)], false),
            (vec![(one, 0), (other, 1)], false),
            (vec![(one, 0), (one, 1), (other, 2)], true),
            (vec![(one, 0), (other, 1), (one, 2)], true),
            // The first are of another outage.
            (vec![(one, 0), (other, 1), (one, IN_A_ROW_MS + 2)], false),
            (vec![(one, 0), (other, IN_A_ROW_MS), (one, 2 * IN_A_ROW_MS)], true),
        ] {
            let mut failures = Failures::default();
            calls.iter().for_each(|(attempt, at_ms)| failures.add(*attempt, *at_ms));
            assert_eq!(failures.open(&rules), opens, "{calls:?}");
        }
    }

    #[test]
    fn nobody_calls_before_the_time_and_one_probes_after_it() {
        let open = |retry_at_ms, probed_until_ms| Some(Open { retry_at_ms, probed_until_ms });
        for (circuit, may) in [
            (None, May::Call),
            (open(101, None), May::Wait),
            (open(100, None), May::Probe),
            (open(90, Some(101)), May::Wait),
            // Whoever had the probe is gone.
            (open(90, Some(100)), May::Probe),
        ] {
            assert_eq!(may_call(circuit, 100), may, "{circuit:?}");
        }
    }

    #[test]
    fn an_open_circuit_stays_open_an_eighth_longer_each_time_up_to_the_longest() {
        let mut open_ms = 48_000;
        let times: [u64; 4] = std::array::from_fn(|_| {
            let before = open_ms;
            open_ms = open_again_ms(open_ms, 60_000);
            before
        });
        assert_eq!(times, [48_000, 54_000, 60_000, 60_000]);
        assert_eq!(open_again_ms(1, 60_000), 2);
        assert_eq!(open_again_ms(90_000, 60_000), 90_000);
        assert_eq!([0.0, 0.5, 1.0].map(deferred_ms), [DEFERRED_MS, DEFERRED_MS * 3 / 2, DEFERRED_MS * 2]);
    }
}

//! Calls of hosts that are down: they end the attempt, nothing of them is recorded, and what the journal answers asks nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_domain::attempt::{Cause, Deferral, Outcome};
use pawl_domain::decision::circuit::{Probe, Sign, origin_of_secret};
use pawl_domain::journal::{Checkpoint, Entry};
use pawl_domain::secret::nowhere;
use pawl_engine::in_memory::InMemory;
use pawl_engine::recorder::{Interrupt, Recorder, Stop};
use pawl_engine::{Attempt, Executed, Secret, Secrets};
use serde_json::{Value, json};

use crate::setup::{attempt, execute_with, failure, output};
use crate::target::Target;

/// The world of [`InMemory`], with circuits.
#[derive(Default)]
struct Guarded {
    memory: Arc<InMemory>,
    /// No host may be called, or whoever says that it is down is deferred.
    is_shut: AtomicBool,
    is_open: AtomicBool,
    signs: Mutex<Vec<(String, Option<Probe>, Sign)>>,
}

const PROBE: Probe = Probe { circuit: 7, number: 3 };

fn deferral(origin: &str) -> Deferral {
    Deferral { origin: origin.to_owned(), delay_ms: 9 }
}

impl Recorder for Guarded {
    fn record(&self, entry: &Entry) -> Result<bool, Stop> {
        self.memory.record(entry)
    }
    fn room(&self, at_most: Duration) -> Result<(), Interrupt> {
        self.memory.room(at_most)
    }
    fn barrier(&self, at_most: Duration) -> Result<(), Interrupt> {
        self.memory.barrier(at_most)
    }
    fn clear_to_ask(&self, at_most: Duration) -> Result<(), Interrupt> {
        self.memory.clear_to_ask(at_most)
    }
    fn clear_to_leave(&self, at_most: Duration) -> Result<(), Interrupt> {
        self.memory.clear_to_leave(at_most)
    }
    fn may_leave(&self) -> bool {
        self.memory.may_leave()
    }
    fn may_call(&self, origin: &str, _: Duration) -> Result<Option<Probe>, Deferral> {
        if self.is_shut.load(Ordering::SeqCst) { Err(deferral(origin)) } else { Ok(Some(PROBE)) }
    }
    fn called(&self, origin: &str, probe: Option<Probe>, sign: Sign) -> Option<Deferral> {
        let is_down = matches!(sign, Sign::Down(_)) && self.is_open.load(Ordering::SeqCst);
        self.signs.lock().expect("nobody panics").push((origin.to_owned(), probe, sign));
        is_down.then(|| deferral(origin))
    }
    fn lacks_secret(&self, name: &str, _: &str) -> Option<Deferral> {
        self.is_shut.load(Ordering::SeqCst).then(|| deferral(&origin_of_secret(name)))
    }
    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Stop> {
        self.memory.checkpoint(checkpoint)
    }
    fn unix_ns(&self) -> u64 {
        self.memory.unix_ns()
    }
    fn progress(&self, fraction: f64, message: String) {
        Recorder::progress(&*self.memory, fraction, message);
    }
    fn stop(&self) -> Option<Stop> {
        self.memory.stop()
    }
}

impl Guarded {
    fn fetch(self: &Arc<Self>, requests: Value) -> Executed {
        let input = json!({ "requests": requests }).to_string();
        execute_with("fetch", attempt(&input, self.memory.history()), Arc::clone(self) as Arc<dyn Recorder>)
    }

    fn signs(&self) -> Vec<(String, Option<Probe>, Sign)> {
        std::mem::take(&mut *self.signs.lock().expect("nobody panics"))
    }
}

#[test]
fn a_call_of_a_host_that_is_down_ends_the_attempt_and_leaves_no_entry() {
    let target = Target::start();
    let host = Arc::new(Guarded::default());
    host.is_shut.store(true, Ordering::SeqCst);
    for method in ["GET", "POST"] {
        let executed = host.fetch(json!([{ "method": method, "url": format!("{}/a", target.url) }]));
        assert_eq!((executed.outcome, executed.cut), (Outcome::Deferred(deferral(&target.url)), None));
    }
    assert!(host.memory.entries().is_empty() && target.received().is_empty() && host.signs().is_empty());
}

#[test]
fn a_secret_without_a_value_here_ends_the_attempt_and_the_journal_stays_for_whoever_has_one() {
    let attempt_with = |value: Option<&str>, history| {
        let lacking = || Secret::Lacking(nowhere("token"));
        let secret = value.map_or_else(lacking, |value| Secret::Given(value.to_owned()));
        let secrets = Secrets::of([("token".to_owned(), secret)]);
        Attempt { secrets, ..attempt(r#"[{"do": "now"}, {"do": "secret", "name": "token"}, {"do": "now"}]"#, history) }
    };
    let host = Arc::new(Guarded::default());
    host.is_shut.store(true, Ordering::SeqCst);
    for replayed in [0, 1] {
        let attempt = attempt_with(None, host.memory.history());
        let executed = execute_with("waits", attempt, Arc::clone(&host) as Arc<dyn Recorder>);
        assert_eq!((executed.outcome, executed.cut), (Outcome::Deferred(deferral("secret:token")), None));
        assert_eq!((executed.replayed, host.memory.entries().len()), (replayed, 1));
    }
    let attempt = attempt_with(Some("12345"), host.memory.history());
    let executed = execute_with("waits", attempt, Arc::clone(&host) as Arc<dyn Recorder>);
    assert_eq!((output(&executed)["saw"][1].as_i64(), executed.replayed), (Some(5), 1));
}

#[test]
fn what_the_journal_answers_asks_for_no_host() {
    let target = Target::start();
    let host = Arc::new(Guarded::default());
    let requests = json!([
        { "url": format!("{}/a", target.url) },
        { "method": "POST", "url": format!("{}/b", target.url), "body": 1 },
    ]);
    output(&host.fetch(requests.clone()));
    let told = host.signs();
    assert_eq!(told, vec![(target.url.clone(), Some(PROBE), Sign::Up); 2], "with the probe that each was given");
    host.is_shut.store(true, Ordering::SeqCst);
    output(&host.fetch(requests));
    assert_eq!(target.received().len(), 2);

    // Behind it there is a new one.
    let more = json!([{ "url": format!("{}/a", target.url) }, { "url": "http://elsewhere.example/" }]);
    let other = Arc::new(Guarded::default());
    other.memory.record(&host.memory.entries()[0]).expect("recorded");
    other.is_shut.store(true, Ordering::SeqCst);
    let executed = other.fetch(more);
    assert_eq!(executed.outcome, Outcome::Deferred(deferral("http://elsewhere.example:80")));
    assert_eq!((executed.replayed, other.memory.entries().len()), (1, 1));
}

#[test]
fn an_answer_that_meets_an_open_circuit_is_not_recorded_and_its_effect_leaves_again_under_its_key() {
    let target = Target::start();
    let host = Arc::new(Guarded::default());
    host.is_open.store(true, Ordering::SeqCst);
    let path = format!("{}/status/503", target.url);
    let executed = host.fetch(json!([{ "method": "POST", "url": path, "any_status": true }]));
    assert_eq!(executed.outcome, Outcome::Deferred(deferral(&target.url)));
    assert!(matches!(host.memory.entries()[..], [Entry::Intent { .. }]), "{:?}", host.memory.entries());
    assert_eq!(host.signs(), [(target.url.clone(), Some(PROBE), Sign::Down("it answered 503".into()))]);
    host.is_open.store(false, Ordering::SeqCst);
    let executed = host.fetch(json!([{ "method": "POST", "url": path, "any_status": true }]));
    assert_eq!(output(&executed)[0]["status"], 503, "while it is closed, the step sees what there is");
    let [first, second] = &target.received()[..] else { panic!("{:?}", target.received()) };
    assert!(first.key.is_some() && first.key == second.key);
}

#[test]
fn a_name_that_is_not_there_says_nothing_of_a_host() {
    let host = Arc::new(Guarded::default());
    let executed = host.fetch(json!([{ "url": "http://no-such-name.invalid/" }]));
    let message = &failure(&executed, Cause::Retry).message;
    assert!(message.contains("no connection"), "the step is told: {message}");
    assert_eq!(host.signs(), [("http://no-such-name.invalid:80".to_owned(), Some(PROBE), Sign::Nothing)]);
}

#[test]
fn a_call_that_is_stopped_says_nothing_and_gives_its_probe_back() {
    let target = Arc::new(Target::start());
    let host = Arc::new(Guarded::default());
    let stopper = {
        let (host, received) = (Arc::clone(&host), Arc::clone(&target));
        std::thread::spawn(move || {
            while received.received().is_empty() {
                std::thread::yield_now();
            }
            host.memory.stop_with(Stop::Draining);
        })
    };
    let executed = host.fetch(json!([{ "url": format!("{}/silent", target.url), "timeout_ms": 60_000 }]));
    assert_eq!(executed.outcome, Outcome::HandedBack);
    stopper.join().expect("it ends");
    assert_eq!(host.signs(), [(target.url.clone(), Some(PROBE), Sign::Nothing)]);
}

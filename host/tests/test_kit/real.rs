//! The life of a program on the host's own replay machine, with a database and a world in memory that do
//! what those of the test kit do.

use std::collections::{BTreeMap, HashMap};

use pawl_domain::attempt::Cut;
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::journal::{Checkpoint, Entry, History, HttpAnswer, RequestSummary};
use pawl_domain::replay::{EffectStep, Facts, OnceStep, Replay, Save, Step};
use pawl_domain::wait::Wait;
use pawl_sdk::testing::Loss;

use crate::program::{self, Guest, Op, Program, Told};
use crate::{ATTEMPTS, Crash, Life, SIGNALS_MS};

/// What the test kit gives an attempt if the test says nothing.
const TIMEOUT_MS: u64 = 600_000;

const STEP: StepId = StepId { run: RunId(uuid::Uuid::nil()), step: StepNo(0) };

pub fn live(program: &Program, crash: Crash) -> Life {
    let mut worker = Worker { crash: Some(crash), ..Worker::default() };
    loop {
        worker.kept = worker.written.clone();
        let facts = Facts { attempt: worker.failures + 1, deadline_ms: worker.clock_ns / 1_000_000 + TIMEOUT_MS };
        let mut attempt = Attempt { replay: Replay::new(STEP, worker.history()), facts, worker };
        let end = program::run(program, &mut attempt);
        let Attempt { replay, worker: mut after, .. } = attempt;
        match end {
            Ok(told) => {
                let mut replay = replay;
                assert_eq!(replay.finish("return"), Ok(()));
                return Life { told: Some(told), attempts: after.failures + 1, ..after.seen };
            }
            Err(End::Crashed(loss)) => after.lose(loss),
            Err(End::Failed { from_checkpoint }) => {
                after.failures += 1;
                if after.failures == ATTEMPTS {
                    return Life { told: None, attempts: ATTEMPTS, ..after.seen };
                }
                after.cut(replay.cut(from_checkpoint));
            }
            Err(End::Suspended(wait)) => after.suspend(&wait),
        }
        worker = after;
    }
}

/// What a database would hold of the step.
#[derive(Default, Clone)]
struct Written {
    entries: Vec<Entry>,
    /// The last checkpoint, after the one before it.
    checkpoints: [Option<Checkpoint>; 2],
}

impl Worker {
    fn history(&self) -> History {
        let (entries, checkpoint) = (&self.written.entries, self.written.checkpoints[1].clone());
        let length = u32::try_from(entries.len()).unwrap();
        let part = |from: u32, to: u32| (from, entries[from as usize..to as usize].to_vec());
        let segments = match &checkpoint {
            Some(Checkpoint { prelude: Some(prelude), position, .. }) => {
                vec![part(0, *prelude), part(*position, length)]
            }
            _ => vec![part(0, length)],
        };
        let carried = |(position, signal): (&u32, &(u64, u64))| (*position, signal.1.to_string().into_bytes());
        History { checkpoint, segments, length, signals: self.given.iter().map(carried).collect(), recorded_by: None }
    }

    fn cut(&mut self, Cut { at, notes, .. }: Cut) {
        self.written.entries.truncate(at as usize);
        self.written.entries.extend(notes);
        let mut inbox: Vec<_> = self.given.split_off(&at).into_values().collect();
        inbox.append(&mut self.inbox);
        self.inbox = inbox;
    }

    /// The commit of a suspension, and what ends the wait.
    fn suspend(&mut self, wait: &Wait) {
        let position = u32::try_from(self.written.entries.len()).unwrap();
        let due_ns = self.clock_ns + wait.due_after_ms().expect("no program waits for ever") * 1_000_000;
        let there = self.inbox.iter().position(|(at_ns, _)| *at_ns <= due_ns).filter(|_| wait.signal().is_some());
        self.clock_ns = match there {
            Some(first) => {
                let signal = self.inbox.remove(first);
                self.given.insert(position, signal);
                self.clock_ns.max(signal.0)
            }
            None => due_ns,
        };
        self.written.entries.push(wait.entry());
    }
}

/// What outlives an attempt.
struct Worker {
    written: Written,
    /// As of the last barrier.
    kept: Written,
    failures: u32,
    crash: Option<Crash>,
    clock_ns: u64,
    /// Signals that nobody has taken, in order of their times, and those that were given to a position: when
    /// they came and what they carry.
    inbox: Vec<(u64, u64)>,
    given: BTreeMap<u32, (u64, u64)>,
    questions: u64,
    accepted: HashMap<Digest, HttpAnswer>,
    seen: Life,
}

impl Default for Worker {
    fn default() -> Self {
        let seen = Life { told: None, attempts: 0, sent: vec![], onces: vec![], checkpoints: 0, calls: 0 };
        Self {
            written: Written::default(),
            kept: Written::default(),
            failures: 0,
            crash: None,
            clock_ns: 0,
            inbox: SIGNALS_MS.into_iter().map(|after_ms| after_ms * 1_000_000).zip(0..).collect(),
            given: BTreeMap::new(),
            questions: 0,
            accepted: HashMap::new(),
            seen,
        }
    }
}

impl Worker {
    fn lose(&mut self, loss: Loss) {
        self.crash = None;
        match loss {
            Loss::Nothing | Loss::Answer => {}
            Loss::Checkpoint => self.written.checkpoints = [None, self.written.checkpoints[0].take()],
            Loss::Unwritten => self.written = self.kept.clone(),
        }
    }

    fn answer(&mut self, url: &str, key: Option<Digest>) -> HttpAnswer {
        self.seen.sent.push((format!("http://{url}"), key.map(|key| key.to_string())));
        if let Some(answer) = key.and_then(|key| self.accepted.get(&key)) {
            return answer.clone();
        }
        self.questions += 1;
        let status = if self.questions.is_multiple_of(4) { 503 } else { 200 };
        let answer = HttpAnswer::Response { status, headers: vec![], body: self.questions.to_string().into() };
        if let Some(key) = key.filter(|_| answer.is_success()) {
            self.accepted.insert(key, answer.clone());
        }
        answer
    }
}

struct Attempt {
    replay: Replay,
    facts: Facts,
    worker: Worker,
}

#[derive(Debug)]
enum End {
    Crashed(Loss),
    Suspended(Wait),
    Failed { from_checkpoint: bool },
}

impl Attempt {
    fn enter(&mut self) -> Result<(), End> {
        self.worker.seen.calls += 1;
        self.crash(|loss| loss != Loss::Answer)
    }

    fn crash(&self, here: impl Fn(Loss) -> bool) -> Result<(), End> {
        match self.worker.crash {
            Some(Crash { call, loss }) if call == self.worker.seen.calls && here(loss) => Err(End::Crashed(loss)),
            _ => Ok(()),
        }
    }

    fn record(&mut self, entry: Entry) {
        let facts = self.replay.unrecorded_facts();
        facts.into_iter().chain([entry]).for_each(|entry| self.hand_over(entry));
    }

    fn hand_over(&mut self, entry: Entry) {
        self.replay.record(&entry);
        self.worker.written.entries.push(entry);
    }

    /// The guest ends here; the entry of the wait is the database's to record.
    fn suspend<T>(&mut self, wait: Wait) -> Result<T, End> {
        self.replay.unrecorded_facts().into_iter().for_each(|facts| self.hand_over(facts));
        Err(End::Suspended(wait))
    }

    fn barrier(&mut self) {
        self.worker.kept = self.worker.written.clone();
    }
}

impl Guest for Attempt {
    type End = End;

    fn attempt(&mut self) -> Result<u32, End> {
        self.enter()?;
        Ok(self.replay.context(self.facts).attempt)
    }

    fn deadline_ms(&mut self) -> Result<u64, End> {
        self.enter()?;
        Ok(self.replay.context(self.facts).deadline_ms)
    }

    fn now(&mut self) -> Result<u64, End> {
        self.enter()?;
        if let Step::Recorded(unix_ns) = self.replay.now().unwrap() {
            return Ok(unix_ns);
        }
        let unix_ns = self.worker.clock_ns;
        self.worker.clock_ns += 1;
        self.record(Entry::Now { unix_ns });
        Ok(unix_ns)
    }

    fn random(&mut self, len: u32) -> Result<Vec<u8>, End> {
        self.enter()?;
        Ok(self.replay.random(len))
    }

    fn fetch(&mut self, url: &str) -> Result<u64, End> {
        self.enter()?;
        let request = request("GET", url);
        if let Step::Recorded(answer) = self.replay.fetch(&request).unwrap() {
            return Ok(number(&answer));
        }
        let answer = self.worker.answer(url, None);
        self.crash(|loss| loss == Loss::Answer)?;
        self.record(Entry::Fetched { request, answer: answer.clone() });
        Ok(number(&answer))
    }

    fn effect(&mut self, name: Option<&str>, url: &str) -> Result<u64, End> {
        self.enter()?;
        let request = request("POST", url);
        let key = match self.replay.effect(name, &request).unwrap() {
            EffectStep::Recorded(answer) => return Ok(number(&answer)),
            EffectStep::Resend(key) => key,
            EffectStep::Live(key) => {
                self.record(Entry::Intent { key, request });
                key
            }
        };
        self.barrier();
        let answer = self.worker.answer(url, Some(key));
        self.crash(|loss| loss == Loss::Answer)?;
        self.record(Entry::Answered { key, answer: answer.clone() });
        Ok(number(&answer))
    }

    fn once(&mut self, name: &str, inside: &[Op]) -> Result<Vec<Told>, End> {
        self.enter()?;
        let read = |value: &[u8]| serde_json::from_slice(value).unwrap();
        match self.replay.once_begin(name).unwrap() {
            OnceStep::Finished(value) => return Ok(read(&value)),
            OnceStep::Reopened => {}
            OnceStep::Live => self.record(Entry::OnceBegun { name: name.to_owned() }),
        }
        self.barrier();
        let told = program::all(inside, self)?;
        self.enter()?;
        let value = serde_json::to_vec(&told).unwrap();
        self.replay.once_finish(name, &value).unwrap();
        self.record(Entry::OnceFinished { name: name.to_owned(), value });
        self.barrier();
        self.worker.seen.onces.push(name.to_owned());
        Ok(told)
    }

    fn sleep(&mut self, duration_ms: u64) -> Result<(), End> {
        self.enter()?;
        match self.replay.sleep(duration_ms).unwrap() {
            Step::Recorded(()) => Ok(()),
            Step::Live => self.suspend(Wait::Sleep { duration_ms }),
        }
    }

    fn await_signal(&mut self, timeout_ms: u64) -> Result<Option<u64>, End> {
        self.enter()?;
        match self.replay.await_signal("signal", Some(timeout_ms)).unwrap() {
            Step::Recorded(payload) => Ok(payload.map(|payload| serde_json::from_slice(&payload).unwrap())),
            Step::Live => self.suspend(Wait::Signal { name: "signal".into(), timeout_ms: Some(timeout_ms) }),
        }
    }

    fn restore(&mut self) -> Result<Option<Vec<u8>>, End> {
        self.enter()?;
        Ok(self.replay.restore().unwrap())
    }

    fn checkpoint(&mut self, state: &[u8]) -> Result<(), End> {
        self.enter()?;
        if let Some(Save { notes, checkpoint }) = self.replay.checkpoint(state.to_vec()).unwrap() {
            notes.into_iter().for_each(|note| self.hand_over(note));
            let before = self.worker.written.checkpoints[1].take();
            self.worker.written.checkpoints = [before, Some(checkpoint)];
            self.worker.seen.checkpoints += 1;
        }
        Ok(())
    }

    fn fail(&mut self, from_checkpoint: bool) -> End {
        End::Failed { from_checkpoint }
    }
}

fn request(method: &str, url: &str) -> RequestSummary {
    RequestSummary { method: method.into(), url: format!("http://{url}"), body: Digest::of(b"") }
}

fn number(answer: &HttpAnswer) -> u64 {
    match answer {
        HttpAnswer::Response { body, .. } => serde_json::from_slice(body).unwrap(),
        _ => unreachable!("this world always answers"),
    }
}

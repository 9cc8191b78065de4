//! Random programs in a world that answers every question anew, with crashes that lose what was not
//! durable, failures that are retried, and waits that suspend the step. Whatever happens:
//!
//! - no replay diverges;
//! - an effect of the program always leaves under one key, and a key always with one request;
//! - an effect whose answer is durable is not sent again, and a `once` whose value is durable is not done
//!   again;
//! - no signal is given twice, and none that was given back is lost;
//! - a seed that is durable stays the step's;
//! - what is left at the end replays to the same output without a question to the world.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::pieces::InPieces;
use super::*;
use crate::attempt::Cut;
use crate::id::{RunId, StepNo};
use crate::journal::HttpAnswer;
use crate::seed::Seed;
use crate::wait::Wait;

#[test]
fn whatever_crashes_and_fails_the_guest_sees_one_history() {
    for seed in 0..20_000 {
        let mut dice = Dice(seed);
        let program = Program::random(&mut dice);
        let mut world = World::new(dice);
        let output = world.live_through(&program);
        let questions = world.questions;
        world.begin_attempt();
        let again = world.attempt(&program, None);
        assert_eq!((again, world.questions), (Ok(output), questions), "seed {seed}: {program:?}");
    }
}

/// splitmix64, <https://prng.di.unimi.it/splitmix64.c>
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % sides
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[derive(Debug)]
enum Op {
    Context,
    Now,
    Random(u32),
    Secure(u32),
    Fetch(String),
    /// With a name or without, to a URL of its own.
    Effect(bool, String),
    Once(String, Vec<Op>),
    Sleep(u64),
    /// With a timeout or without.
    Await(bool),
}

/// `before`, then `restore`, then the items from the saved one on, with a checkpoint after some.
#[derive(Debug)]
struct Program {
    before: Vec<Op>,
    restores: bool,
    items: Vec<(Vec<Op>, bool)>,
}

impl Program {
    fn random(dice: &mut Dice) -> Self {
        let before = random_ops(dice, "before", true);
        let items =
            (0..dice.roll(5)).map(|item| (random_ops(dice, &item.to_string(), true), dice.roll(2) == 0)).collect();
        Self { before, restores: dice.roll(5) != 0, items }
    }
}

fn random_ops(dice: &mut Dice, place: &str, may_nest: bool) -> Vec<Op> {
    (0..dice.roll(4)).map(|index| random_op(dice, format!("{place}.{index}"), may_nest)).collect()
}

fn random_op(dice: &mut Dice, place: String, may_nest: bool) -> Op {
    match dice.roll(if may_nest { 10 } else { 7 }) {
        0 => Op::Context,
        1 => Op::Now,
        2 => Op::Random(1 + u32::try_from(dice.roll(90)).unwrap()),
        3 => Op::Fetch(place),
        4 => Op::Effect(false, place),
        5 => Op::Effect(true, place),
        6 => Op::Secure(1 + u32::try_from(dice.roll(90)).unwrap()),
        7 => Op::Sleep(dice.roll(100)),
        8 => Op::Await(dice.roll(2) == 0),
        _ => {
            let inside = random_ops(dice, &place, false);
            Op::Once(place, inside)
        }
    }
}

/// Why an attempt did not reach its end.
#[derive(Debug, PartialEq)]
enum Cause {
    Crash,
    Failure { from_checkpoint: bool },
    Suspended(Wait),
}

/// The database, the outside and the chance.
struct World {
    dice: Dice,
    questions: u64,
    failures: u32,
    attempts: u64,
    deadline_ms: u64,
    journal: Vec<Entry>,
    checkpoint: Option<Checkpoint>,
    key_of_url: HashMap<String, Digest>,
    /// URLs of effects whose answers are durable.
    answered: HashSet<Digest>,
    /// Names of `once` whose values are durable.
    done: HashSet<String>,
    /// Signals that nobody has taken, and those that were given to a position.
    inbox: Vec<u64>,
    given: BTreeMap<u32, u64>,
    signals: u64,
    /// The seed that is durable.
    seed: Option<Seed>,
}

impl World {
    fn new(dice: Dice) -> Self {
        Self {
            dice,
            questions: 0,
            failures: 0,
            attempts: 0,
            deadline_ms: 0,
            journal: vec![],
            checkpoint: None,
            key_of_url: HashMap::new(),
            answered: HashSet::new(),
            done: HashSet::new(),
            inbox: vec![],
            given: BTreeMap::new(),
            signals: 0,
            seed: None,
        }
    }

    /// Attempts that end early, then one that does not.
    fn live_through(&mut self, program: &Program) -> u64 {
        for _ in 0..self.dice.roll(7) {
            self.begin_attempt();
            let calls = self.dice.roll(12);
            let cause = match self.dice.roll(6) {
                0 => Cause::Failure { from_checkpoint: false },
                1 => Cause::Failure { from_checkpoint: true },
                _ => Cause::Crash,
            };
            if let Ok(output) = self.attempt(program, Some((calls, cause))) {
                return output;
            }
        }
        loop {
            self.begin_attempt();
            match self.attempt(program, None) {
                Ok(output) => return output,
                Err(cause) => assert!(matches!(cause, Cause::Suspended(_)), "nothing else ends it: {cause:?}"),
            }
        }
    }

    /// Every attempt has another deadline.
    fn begin_attempt(&mut self) {
        self.attempts += 1;
        self.deadline_ms = self.attempts;
    }

    fn attempt(&mut self, program: &Program, end: Option<(u64, Cause)>) -> Result<u64, Cause> {
        let step = StepId { run: RunId(uuid::Uuid::nil()), step: StepNo(0) };
        let replay = match self.dice.roll(4) {
            0 => Replay::new(step, self.history()),
            most => InPieces::replay(step, self.history(), most as usize),
        };
        let mut guest = Guest { world: self, replay, pending: vec![], saved: None, end, seen: 0 };
        let result = guest.run(program);
        if result.is_ok() {
            assert_eq!(guest.replay.finish("return"), Ok(()));
        }
        guest.settle(&result);
        result
    }

    /// What the store would give.
    fn history(&self) -> History {
        let length = u32::try_from(self.journal.len()).unwrap();
        let part = |from: u32, to: u32| (from, self.journal[from as usize..to as usize].to_vec());
        let segments = match &self.checkpoint {
            Some(Checkpoint { prelude: Some(prelude), position, .. }) => {
                vec![part(0, *prelude), part(*position, length)]
            }
            _ => vec![part(0, length)],
        };
        let signals = self.given.iter().map(|(position, signal)| (*position, signal.to_be_bytes().to_vec())).collect();
        History { checkpoint: self.checkpoint.clone(), segments, length, signals, recorded_by: None }
    }

    fn commit(&mut self, entries: impl Iterator<Item = Entry>) {
        for entry in entries {
            match &entry {
                Entry::Answered { key, .. } => drop(self.answered.insert(*key)),
                Entry::OnceFinished { name, .. } => drop(self.done.insert(name.clone())),
                Entry::Seeded { seed } => self.seed = Some(*seed),
                _ => {}
            }
            self.journal.push(entry);
        }
    }

    fn cut(&mut self, Cut { at, notes, .. }: Cut) {
        for dropped in self.journal.drain(at as usize..) {
            if let Entry::Answered { key, .. } = dropped {
                self.answered.remove(&key);
            }
        }
        self.journal.extend(notes);
        let back = self.given.split_off(&at).into_values();
        self.inbox.extend(back);
        self.inbox.sort_unstable();
        self.failures += 1;
    }

    /// The commit of a suspension, and the wake that follows: the oldest signal, one that comes in time, or none.
    fn suspend(&mut self, wait: &Wait) {
        let position = u32::try_from(self.journal.len()).unwrap();
        self.journal.push(wait.entry());
        if let Wait::Signal { timeout_ms, .. } = wait {
            if self.dice.roll(2) == 0 || timeout_ms.is_none() {
                self.signals += 1;
                self.inbox.push(self.signals);
            }
            if !self.inbox.is_empty() {
                self.given.insert(position, self.inbox.remove(0));
            }
        }
        let mut all: Vec<u64> = self.inbox.iter().chain(self.given.values()).copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=self.signals), "a signal was lost or given twice");
    }

    fn ask(&mut self) -> u64 {
        self.questions += 1;
        mix(self.questions)
    }
}

struct Guest<'a> {
    world: &'a mut World,
    replay: Replay,
    /// Handed to the writer, not durable yet.
    pending: Vec<Entry>,
    /// The last checkpoint, with the journal's length when it was handed over.
    saved: Option<(usize, Checkpoint)>,
    end: Option<(u64, Cause)>,
    /// A digest of all that it was told.
    seen: u64,
}

impl Guest<'_> {
    fn run(&mut self, program: &Program) -> Result<u64, Cause> {
        self.all(&program.before)?;
        let mut next = 0;
        if program.restores
            && let Some(state) = self.replay.restore().unwrap()
        {
            next = usize::from(state[0]);
            self.seen = u64::from_be_bytes(state[1..].try_into().unwrap());
        }
        while let Some((ops, saves)) = program.items.get(next) {
            self.all(ops)?;
            next += 1;
            if *saves {
                let state = [&[u8::try_from(next).unwrap()][..], &self.seen.to_be_bytes()].concat();
                if let Some(Save { notes, checkpoint }) = self.replay.checkpoint(state).unwrap() {
                    notes.into_iter().for_each(|note| self.hand_over(note));
                    self.saved = Some((self.replay.position() as usize, checkpoint));
                }
            }
        }
        Ok(self.seen)
    }

    fn all(&mut self, ops: &[Op]) -> Result<(), Cause> {
        ops.iter().try_for_each(|op| self.one(op))
    }

    fn one(&mut self, op: &Op) -> Result<(), Cause> {
        if let Some((calls, cause)) = self.end.take() {
            if calls == 0 {
                // A guest fails by itself only where it failed the first time: not in a replay.
                let is_possible = cause == Cause::Crash || self.replay.is_live();
                if is_possible {
                    return Err(cause);
                }
            }
            self.end = Some((calls.saturating_sub(1), cause));
        }
        let told = match op {
            Op::Context => {
                let current = Facts { attempt: self.world.failures + 1, deadline_ms: self.world.deadline_ms };
                let facts = self.replay.context(current);
                u64::from(facts.attempt) << 32 | facts.deadline_ms
            }
            Op::Random(len) => self.replay.random(*len).into_iter().fold(0, |sum, byte| mix(sum ^ u64::from(byte))),
            Op::Secure(len) => {
                if self.replay.wants_seed() {
                    assert_eq!(self.world.seed, None, "a seed that is durable was lost");
                    let chance = self.world.ask().to_be_bytes();
                    self.record(Entry::Seeded { seed: Seed(std::array::from_fn(|at| chance[at % 8])) });
                }
                let bytes = self.replay.secure_random(*len).unwrap();
                bytes.into_iter().fold(0, |sum, byte| mix(sum ^ u64::from(byte)))
            }
            Op::Now => match self.replay.now().unwrap() {
                Step::Recorded(now) => now,
                Step::Live => {
                    let unix_ns = self.world.ask();
                    self.record(Entry::Now { unix_ns });
                    unix_ns
                }
            },
            Op::Fetch(url) => {
                let request = request("GET", url);
                match self.replay.fetch(&request).unwrap() {
                    Step::Recorded(answer) => read(&answer),
                    Step::Live => {
                        let answer = self.answer();
                        self.record(Entry::Fetched { request, answer: answer.clone() });
                        read(&answer)
                    }
                }
            }
            Op::Effect(named, url) => self.effect(named.then_some(url.as_str()), url),
            Op::Once(name, inside) => match self.replay.once_begin(name).unwrap() {
                OnceStep::Finished(value) => u64::from_be_bytes(value.try_into().unwrap()),
                begun => {
                    if begun == OnceStep::Live {
                        self.record(Entry::OnceBegun { name: name.clone() });
                    }
                    self.barrier();
                    assert!(!self.world.done.contains(name), "{name} is done again");
                    let outside = std::mem::take(&mut self.seen);
                    self.all(inside)?;
                    let value = std::mem::replace(&mut self.seen, outside);
                    self.replay.once_finish(name, &value.to_be_bytes()).unwrap();
                    self.record(Entry::OnceFinished { name: name.clone(), value: value.to_be_bytes().to_vec() });
                    self.barrier();
                    value
                }
            },
            Op::Sleep(duration_ms) => match self.replay.sleep(*duration_ms).unwrap() {
                Step::Recorded(()) => 0,
                Step::Live => return Err(Cause::Suspended(Wait::Sleep { duration_ms: *duration_ms })),
            },
            Op::Await(has_timeout) => {
                let timeout_ms = has_timeout.then_some(9);
                match self.replay.await_signal("signal", timeout_ms).unwrap() {
                    Step::Recorded(None) => 0,
                    Step::Recorded(Some(signal)) => u64::from_be_bytes(signal.try_into().unwrap()),
                    Step::Live => return Err(Cause::Suspended(Wait::Signal { name: "signal".into(), timeout_ms })),
                }
            }
        };
        self.seen = mix(self.seen ^ told);
        Ok(())
    }

    fn effect(&mut self, name: Option<&str>, url: &str) -> u64 {
        let request = request("POST", url);
        let key = match self.replay.effect(name, &request).unwrap() {
            EffectStep::Recorded(answer) => return read(&answer),
            EffectStep::Resend(key) => key,
            EffectStep::Live(key) => {
                self.record(Entry::Intent { key, request });
                key
            }
        };
        self.barrier();
        let known = *self.world.key_of_url.entry(url.to_owned()).or_insert(key);
        assert_eq!(known, key, "{url} left under two keys");
        assert_eq!(
            self.world.key_of_url.values().filter(|other| **other == key).count(),
            1,
            "one key for two requests"
        );
        assert!(!self.world.answered.contains(&key), "{url} is sent again");
        let answer = self.answer();
        self.record(Entry::Answered { key, answer: answer.clone() });
        read(&answer)
    }

    fn answer(&mut self) -> HttpAnswer {
        let body = self.world.ask().to_be_bytes().to_vec();
        let status = if self.world.dice.roll(4) == 0 { 503 } else { 200 };
        HttpAnswer::Response { status, headers: vec![], body }
    }

    fn record(&mut self, entry: Entry) {
        let facts = self.replay.unrecorded_facts();
        facts.into_iter().chain([entry]).for_each(|entry| self.hand_over(entry));
    }

    fn hand_over(&mut self, entry: Entry) {
        self.replay.record(&entry);
        self.pending.push(entry);
    }

    fn barrier(&mut self) {
        self.world.commit(self.pending.drain(..));
    }

    /// What the end of the attempt leaves in the database.
    fn settle(&mut self, result: &Result<u64, Cause>) {
        if *result == Err(Cause::Crash) {
            let durable = self.world.dice.roll(self.pending.len() as u64 + 1) as usize;
            self.world.commit(self.pending.drain(..durable));
            // A checkpoint is committed with or after the entries that were handed over before it.
            let entries_before = self.saved.as_ref().map_or(0, |(length, _)| *length);
            let is_durable = entries_before <= self.world.journal.len() && self.world.dice.roll(2) == 0;
            self.saved = self.saved.take().filter(|_| is_durable);
        } else {
            // Facts that no entry follows need not be recorded, since nothing can come out differently any more. But
            // here the output is compared once more.
            if matches!(result, Ok(_) | Err(Cause::Suspended(_))) {
                self.replay.unrecorded_facts().into_iter().for_each(|facts| self.hand_over(facts));
            }
            self.barrier();
        }
        if let Some((_, checkpoint)) = self.saved.take() {
            self.world.checkpoint = Some(checkpoint);
        }
        if let Err(Cause::Failure { from_checkpoint }) = result {
            self.replay.read_to_end().expect("all of it can be read");
            let cut = self.replay.cut(*from_checkpoint);
            self.world.cut(cut);
        }
        if let Err(Cause::Suspended(wait)) = result {
            self.world.suspend(wait);
        }
    }
}

fn request(method: &str, url: &str) -> RequestSummary {
    RequestSummary { method: method.into(), url: url.into(), body: Digest::of(b"") }
}

fn read(answer: &HttpAnswer) -> u64 {
    match answer {
        HttpAnswer::Response { body, .. } => u64::from_be_bytes(body.as_slice().try_into().unwrap()),
        _ => unreachable!("this world always answers"),
    }
}

//! Authors test their steps on the SDK's test kit, which has a replay machine of its own because a guest can't
//! depend on the host. Here both go through the same lives: random programs in the same world, with the same
//! failures and the same crash. The step must be told the same, and the same must leave, in both.
//!
//! Keys and random bytes are made differently; which are equal and which are not must be the same.

#![allow(clippy::unwrap_used)] // all of it is one test

mod kit;
mod program;
mod real;

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use pawl_sdk::testing::Loss;

use program::{Dice, Program, Told};

/// What can be seen of a life.
#[derive(Debug)]
struct Life {
    /// All that the step was told, in the order of its code; none if it used up its attempts.
    told: Option<Vec<Told>>,
    attempts: u32,
    /// URL and key of each request that left.
    sent: Vec<(String, Option<String>)>,
    /// Names of each `once` that was finished.
    onces: Vec<String>,
    /// How many checkpoints were written.
    checkpoints: usize,
    /// How many calls the host got.
    calls: usize,
}

/// A crash at a call, if it can happen there.
#[derive(Debug, Clone, Copy)]
struct Crash {
    call: usize,
    loss: Loss,
}

/// When signals come, after the begin. What they carry is their place here.
const SIGNALS_MS: [u64; 4] = [0, 0, 60, 90];

/// Of a program's failures, and one that needs no more.
const ATTEMPTS: u32 = 4;

#[test]
fn the_test_kit_replays_as_the_host_does() {
    for seed in 0..10_000 {
        let mut dice = Dice(seed);
        let program = Program::random(&mut dice);
        let losses = [Loss::Nothing, Loss::Checkpoint, Loss::Unwritten, Loss::Answer];
        let crash = Crash { call: 1 + dice.roll(30) as usize, loss: losses[dice.roll(4) as usize] };
        let (real, kit) = (real::live(&program, crash), kit::live(&program, crash));
        let same = compare(&real, &kit);
        assert!(same.is_ok(), "seed {seed}: {}\n{crash:?}\n{program:#?}\n{real:#?}\n{kit:#?}", same.unwrap_err());
    }
}

fn compare(real: &Life, kit: &Life) -> Result<(), &'static str> {
    let counts =
        |life: &Life| (life.attempts, life.checkpoints, life.calls, life.told.as_ref().map(Vec::len), life.sent.len());
    if counts(real) != counts(kit) {
        return Err("other counts");
    }
    if real.onces != kit.onces {
        return Err("other results of once");
    }
    let (mut keys, mut draws) = (Pairs::default(), Pairs::default());
    for ((url, key), (kit_url, kit_key)) in real.sent.iter().zip(&kit.sent) {
        if url != kit_url || !keys.agree(key, kit_key) {
            return Err("other requests or keys");
        }
    }
    for pair in real.told.iter().flatten().zip(kit.told.iter().flatten()) {
        match pair {
            (Told::Number(real), Told::Number(kit)) if real == kit => {}
            (Told::Bytes(real), Told::Bytes(kit)) if draws.agree(real, kit) => {}
            _ => return Err("other answers"),
        }
    }
    Ok(())
}

/// Two names of each thing: what is one thing on one side must be one thing on the other.
struct Pairs<T>(HashMap<T, T>, HashMap<T, T>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(HashMap::new(), HashMap::new())
    }
}

impl<T: Clone + Eq + Hash> Pairs<T> {
    fn agree(&mut self, one: &T, other: &T) -> bool {
        let there = self.0.entry(one.clone()).or_insert_with(|| other.clone());
        let back = self.1.entry(other.clone()).or_insert_with(|| one.clone());
        there == other && back == one
    }
}

//! Programs that a step could be, and the one way in which they are executed.

use serde::{Deserialize, Serialize};

/// splitmix64, <https://prng.di.unimi.it/splitmix64.c>
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % sides
    }
}

#[derive(Debug)]
pub enum Op {
    Attempt,
    Deadline,
    Now,
    Random(u32),
    Fetch(String),
    /// With a name or without, to a URL of its own.
    Effect(bool, String),
    Once(String, Vec<Op>),
    /// For so many ms.
    Sleep(u64),
    /// For a signal, at most so many ms.
    Await(u64),
    /// Fails in attempts up to that one.
    Fail {
        until: u32,
        from_checkpoint: bool,
    },
}

/// `before`, then `restore`, then the items from the saved one on, with a checkpoint after some.
#[derive(Debug)]
pub struct Program {
    pub before: Vec<Op>,
    pub restores: bool,
    pub items: Vec<(Vec<Op>, bool)>,
}

impl Program {
    pub fn random(dice: &mut Dice) -> Self {
        let before = random_ops(dice, "before", true);
        let item = |item: u64, dice: &mut Dice| (random_ops(dice, &item.to_string(), true), dice.roll(2) == 0);
        let items = (0..dice.roll(5)).map(|index| item(index, dice)).collect();
        Self { before, restores: dice.roll(5) != 0, items }
    }
}

fn random_ops(dice: &mut Dice, place: &str, may_nest: bool) -> Vec<Op> {
    (0..dice.roll(5)).map(|index| random_op(dice, format!("{place}.{index}"), may_nest)).collect()
}

fn random_op(dice: &mut Dice, place: String, may_nest: bool) -> Op {
    match dice.roll(if may_nest { 11 } else { 8 }) {
        0 => Op::Attempt,
        1 => Op::Now,
        // Enough that no two draws are equal by chance.
        2 => Op::Random(8 + dice.roll(90) as u32),
        3 => Op::Fetch(place),
        4 => Op::Effect(false, place),
        5 => Op::Effect(true, place),
        // Effects that a retry forgets must be named; the place of an unnamed one is the same here anyway.
        6 => Op::Fail { until: dice.roll(3) as u32, from_checkpoint: dice.roll(2) == 0 },
        7 => Op::Deadline,
        8 => Op::Sleep(dice.roll(100)),
        9 => Op::Await(dice.roll(100)),
        _ => {
            let inside = random_ops(dice, &place, false);
            Op::Once(place, inside)
        }
    }
}

/// What a call returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Told {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Whoever executes a program.
pub trait Guest {
    /// Why it does not go on.
    type End;

    fn attempt(&mut self) -> Result<u32, Self::End>;
    fn deadline_ms(&mut self) -> Result<u64, Self::End>;
    fn now(&mut self) -> Result<u64, Self::End>;
    fn random(&mut self, len: u32) -> Result<Vec<u8>, Self::End>;
    fn fetch(&mut self, url: &str) -> Result<u64, Self::End>;
    fn effect(&mut self, name: Option<&str>, url: &str) -> Result<u64, Self::End>;
    fn once(&mut self, name: &str, inside: &[Op]) -> Result<Vec<Told>, Self::End>;
    fn sleep(&mut self, duration_ms: u64) -> Result<(), Self::End>;
    fn await_signal(&mut self, timeout_ms: u64) -> Result<Option<u64>, Self::End>;
    fn restore(&mut self) -> Result<Option<Vec<u8>>, Self::End>;
    fn checkpoint(&mut self, state: &[u8]) -> Result<(), Self::End>;
    fn fail(&mut self, from_checkpoint: bool) -> Self::End;
}

/// Executes a program; returns all that it was told.
pub fn run<G: Guest>(program: &Program, guest: &mut G) -> Result<Vec<Told>, G::End> {
    let mut told = all(&program.before, guest)?;
    let mut next = 0;
    if program.restores
        && let Some(state) = guest.restore()?
    {
        (next, told) = serde_json::from_slice(&state).expect("the state is the one that was saved");
    }
    while let Some((ops, saves)) = program.items.get(next) {
        told.extend(all(ops, guest)?);
        next += 1;
        if *saves {
            guest.checkpoint(&serde_json::to_vec(&(next, &told)).expect("it is plain data"))?;
        }
    }
    Ok(told)
}

/// Executes some of it.
pub fn all<G: Guest>(ops: &[Op], guest: &mut G) -> Result<Vec<Told>, G::End> {
    let mut told = Vec::new();
    for op in ops {
        match op {
            Op::Attempt => told.push(Told::Number(guest.attempt()?.into())),
            Op::Deadline => told.push(Told::Number(guest.deadline_ms()?)),
            Op::Now => told.push(Told::Number(guest.now()?)),
            Op::Random(len) => told.push(Told::Bytes(guest.random(*len)?)),
            Op::Fetch(url) => told.push(Told::Number(guest.fetch(url)?)),
            Op::Effect(named, url) => {
                told.push(Told::Number(guest.effect(named.then_some(url.as_str()), url)?));
            }
            Op::Once(name, inside) => told.extend(guest.once(name, inside)?),
            Op::Sleep(duration_ms) => guest.sleep(*duration_ms)?,
            Op::Await(timeout_ms) => told.extend(guest.await_signal(*timeout_ms)?.map(Told::Number)),
            Op::Fail { until, from_checkpoint } => {
                if guest.attempt()? <= *until {
                    return Err(guest.fail(*from_checkpoint));
                }
            }
        }
    }
    Ok(told)
}

//! `wasi:random`. What is called secure is: made of a seed from the system, which the journal keeps from the first draw on, so
//! that a replay repeats it and nobody computes it who may not read the journal. What is called insecure is the step's own
//! generator, which whoever knows the run's id can compute.
//!
//! ```text
//!  random          a seed of the system's, an entry of the journal at the first draw
//!  insecure        run and step, no entry
//!  insecure-seed   run and step, no entry, and the same wherever it is asked for
//! ```

use pawl_domain::journal::Entry;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::guest::{Guest, Halt};

/// Bytes that one call may ask for, as in `pawl:step/durable`.
const RANDOM_BYTES: u32 = 64 << 10;

impl random::Host for Guest {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let len = bounded(len)?;
        Ok(self.secure_random(len)?)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(number(self.secure_random(8)?))
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let len = bounded(len)?;
        Ok(self.replay.random(len))
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(number(self.replay.random(8)))
    }
}

impl insecure_seed::Host for Guest {
    /// The same whenever it is asked for, and no draw from the generator: a resumed guest asks at another place, or for
    /// the first time, and what it has ordered by the seed must stand in the order that it had.
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok(self.replay.seed())
    }
}

impl Guest {
    /// A guest that describes itself has no journal, and draws what is the same every time.
    fn secure_random(&mut self, len: u32) -> Result<Vec<u8>, Halt> {
        if let Some(recorder) = &self.recorder
            && self.replay.wants_seed()
        {
            let seed = recorder.seed().map_err(Halt::NoChance)?;
            self.record(&Entry::Seeded { seed })?;
        }
        Ok(self.replay.secure_random(len)?)
    }
}

fn bounded(len: u64) -> Result<u32, Halt> {
    let bounded = u32::try_from(len).ok().filter(|len| *len <= RANDOM_BYTES);
    bounded.ok_or_else(|| Halt::Limit(format!("random gives at most {RANDOM_BYTES} bytes a call, not {len}")))
}

fn number(bytes: Vec<u8>) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("as many bytes as were asked for"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pawl_domain::replay::Replay;

    use super::insecure::Host as _;
    use super::insecure_seed::Host as _;
    use super::random::Host as _;
    use super::*;
    use crate::in_memory::InMemory;
    use crate::wasi::tests::guest;

    /// The same step, on an installation of its own.
    fn installed(memory: &Arc<InMemory>) -> Guest {
        let fresh = guest();
        let replay = Replay::new(fresh.step, memory.history());
        Guest { recorder: Some(Arc::clone(memory) as _), replay, ..fresh }
    }

    #[test]
    fn two_installations_give_one_step_other_secure_bytes_and_the_same_insecure_ones() {
        let [mut one, mut other] = [(); 2].map(|()| installed(&Arc::default()));
        let drawn = |guest: &mut Guest| guest.get_insecure_random_bytes(32).unwrap();
        assert_eq!(drawn(&mut one), drawn(&mut other));
        let drawn = |guest: &mut Guest| guest.get_random_bytes(32).unwrap();
        assert_ne!(drawn(&mut one), drawn(&mut other));
        assert_ne!(one.get_random_u64().unwrap(), other.get_random_u64().unwrap());
    }

    #[test]
    fn a_replay_after_a_kill_gives_the_same_bytes() {
        let memory = Arc::new(InMemory::default());
        let mut first = installed(&memory);
        let drawn = [first.get_random_bytes(5).unwrap(), first.get_random_bytes(32).unwrap()];
        assert_eq!(memory.entries().len(), 1, "one entry, however often it is drawn");
        let mut again = installed(&Arc::new(memory.survived()));
        assert_eq!([again.get_random_bytes(5).unwrap(), again.get_random_bytes(32).unwrap()], drawn);
    }

    #[test]
    fn who_knows_the_ids_and_has_the_same_build_computes_other_bytes() {
        let memory = Arc::new(InMemory::default());
        let drawn = installed(&memory).get_random_bytes(32).unwrap();
        let mut neighbour = guest();
        assert_ne!(neighbour.replay.random(32), drawn);
        assert_ne!(neighbour.replay.secure_random(32).unwrap(), drawn);
        assert!(!format!("{:?}", memory.entries()).contains(char::is_numeric), "nobody prints the seed");
    }

    #[test]
    fn what_is_lost_with_a_worker_before_it_was_written_has_left_no_trace() {
        let memory = Arc::new(InMemory::crashing_after(0));
        assert!(installed(&memory).get_random_bytes(8).is_err());
        assert!(memory.entries().is_empty());
    }

    /// A hash map that is first used after `restore` has the order of one that was used before.
    #[test]
    fn the_seed_is_the_same_wherever_it_is_asked_for_and_moves_nothing() {
        let (mut early, mut late) = (guest(), guest());
        let seed = early.insecure_seed().unwrap();
        let drawn = |guest: &mut Guest| guest.get_random_bytes(24).unwrap();
        assert_eq!(drawn(&mut early), drawn(&mut late));
        assert_eq!(late.insecure_seed().unwrap(), seed);
        assert_ne!(seed.0, seed.1);
    }
}

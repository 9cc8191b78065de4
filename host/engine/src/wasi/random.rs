//! `wasi:random`: the step's own generator, which a replay repeats. What is meant to be secure is so only as
//! far as nobody knows the run's id: keys of cryptography are not made in steps.

use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::guest::{Guest, Halt};

/// Bytes that one call may ask for, as in `pawl:step/durable`.
const RANDOM_BYTES: u32 = 64 << 10;

impl random::Host for Guest {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let Some(len) = u32::try_from(len).ok().filter(|len| *len <= RANDOM_BYTES) else {
            return Err(Halt::Limit(format!("random gives at most {RANDOM_BYTES} bytes a call, not {len}")).into());
        };
        Ok(self.replay.random(len))
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let bytes = self.replay.random(8);
        Ok(u64::from_le_bytes(bytes.try_into().expect("as many bytes as were asked for")))
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        random::Host::get_random_bytes(self, len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        random::Host::get_random_u64(self)
    }
}

impl insecure_seed::Host for Guest {
    /// The same whenever it is asked for, and no draw from the generator: a resumed guest asks at another place, or for
    /// the first time, and what it has ordered by the seed must stand in the order that it had.
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok(self.replay.seed())
    }
}

#[cfg(test)]
mod tests {
    use super::insecure_seed::Host as _;
    use super::*;
    use crate::wasi::tests::guest;

    /// A hash map that is first used after `restore` has the order of one that was used before.
    #[test]
    fn the_seed_is_the_same_wherever_it_is_asked_for_and_moves_nothing() {
        let (mut early, mut late) = (guest(), guest());
        let seed = early.insecure_seed().unwrap();
        let drawn = |guest: &mut Guest| random::Host::get_random_bytes(guest, 24).unwrap();
        assert_eq!(drawn(&mut early), drawn(&mut late));
        assert_eq!(late.insecure_seed().unwrap(), seed);
        assert_ne!(seed.0, seed.1);
    }
}

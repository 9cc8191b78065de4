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
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((random::Host::get_random_u64(self)?, random::Host::get_random_u64(self)?))
    }
}

//! Chance that can be repeated.

/// SplitMix64: <https://prng.di.unimi.it/splitmix64.c>. Small, and the same everywhere.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with `PAWL_TEST_SEED`, else with a seed of this process; says which.
    #[must_use]
    pub fn seeded() -> Self {
        let given = std::env::var("PAWL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()) ^ GOLDEN);
        eprintln!("seed {seed}; to repeat it: PAWL_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

//! Which temperatures were to be expected at an hour, from those of its neighbours: a bootstrap prediction
//! interval (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 6.3.3). Pure.

use serde::{Deserialize, Serialize};

use crate::Day;

/// Days before and after an hour whose same hour counts.
const REACH_DAYS: usize = 15;

/// The share of temperatures that is expected to lie below the interval, and above it.
const TAIL: f64 = 0.025;

/// The interval that holds 95 of 100 temperatures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Expected {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The same hour of the days around, itself left out.
pub(crate) fn neighbours(days: &[Day], day: usize, hour: usize) -> Vec<f64> {
    let around = day.saturating_sub(REACH_DAYS)..days.len().min(day + REACH_DAYS + 1);
    around.filter(|other| *other != day).filter_map(|other| days[other].hours[hour]).collect()
}

impl Expected {
    /// `None` if there is too little to judge by.
    pub(crate) fn of(neighbours: &[f64], resamples: usize, seed: u64) -> Option<Self> {
        if neighbours.len() < 2 || resamples == 0 {
            return None;
        }
        let count = neighbours.len() as f64;
        let mean = neighbours.iter().sum::<f64>() / count;
        let mut generator = Generator(seed);
        let mut draw = || neighbours[generator.below(neighbours.len())];
        // The mean as it might have been, plus a deviation as it might be.
        let predict = |_| {
            let resampled = (0..neighbours.len()).map(|_| draw()).sum::<f64>() / count;
            resampled + (draw() - mean)
        };
        let mut predictions: Vec<f64> = (0..resamples).map(predict).collect();
        let rank = ((resamples as f64 * TAIL) as usize).min(resamples - 1);
        let mut at = |rank| *predictions.select_nth_unstable_by(rank, f64::total_cmp).1;
        Some(Self { low: at(rank), high: at(resamples - 1 - rank) })
    }

    /// How far a temperature lies above the interval, or (negative) below it.
    pub(crate) fn outside(&self, temp: f64) -> f64 {
        (temp - self.high).max(0.0) + (temp - self.low).min(0.0)
    }
}

/// splitmix64, <https://prng.di.unimi.it/splitmix64.c>: small, and good enough for resampling.
struct Generator(u64);

impl Generator {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 32 bits, scaled: no division.
        (((value >> 32) * limit as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(temps: &[f64]) -> Vec<Day> {
        temps.iter().map(|temp| Day { date: String::new(), hours: [Some(*temp); 24] }).collect()
    }

    #[test]
    fn neighbours_are_the_days_around_without_the_day_itself() {
        let days = days(&(0..100).map(f64::from).collect::<Vec<_>>());
        let of = neighbours(&days, 50, 3);
        assert_eq!((of.len(), of[0], of[29]), (30, 35.0, 65.0));
        assert!(!of.contains(&50.0));
        assert_eq!(neighbours(&days, 0, 3).len(), 15);
    }

    #[test]
    fn the_interval_holds_what_is_usual_and_not_what_is_not() {
        let neighbours: Vec<f64> = (0..30).map(|n| 50.0 + f64::from(n % 10)).collect();
        let expected = Expected::of(&neighbours, 5_000, 7).unwrap();
        assert!(expected.low > 47.0 && expected.low < 51.5, "{expected:?}");
        assert!(expected.high > 57.5 && expected.high < 62.0, "{expected:?}");
        assert_eq!(expected.outside(55.0), 0.0);
        assert!(expected.outside(70.0) > 0.0 && expected.outside(30.0) < 0.0);
    }

    #[test]
    fn a_seed_decides_everything() {
        let neighbours = [50.0, 51.0, 53.0, 57.0];
        assert_eq!(Expected::of(&neighbours, 500, 1), Expected::of(&neighbours, 500, 1));
        assert_ne!(Expected::of(&neighbours, 500, 1), Expected::of(&neighbours, 500, 2));
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mut generator = Generator(1);
        let mut counts = [0_u32; 10];
        (0..100_000).for_each(|_| counts[generator.below(10)] += 1);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn too_little_to_judge_by_gives_no_interval() {
        assert_eq!(Expected::of(&[50.0], 500, 1), None);
    }
}

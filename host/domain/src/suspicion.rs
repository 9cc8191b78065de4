//! When a step is blamed for the deaths of its workers: a pure rule. `pawl_takeover_v2` does the same in
//! sets.
//!
//! A process that dies takes all its steps along, and nothing tells which of them was at fault, if any. So
//! the first crashes only make a step a *suspect*. A suspect runs alone on its worker, which says so in the
//! database before it begins, and from then on only a death in that time counts: a step that merely waited
//! in a dying process is never parked for it.

/// The bounds of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    /// Crashes in a row, without durable progress in between, from which on a step runs alone.
    pub suspect_from: u32,
    /// Crashes in a row after which it is parked.
    pub crash_limit: u32,
}

impl Default for Suspicion {
    fn default() -> Self {
        Self { suspect_from: 2, crash_limit: 5 }
    }
}

impl Suspicion {
    /// Whether a step with so many crashes runs alone.
    #[must_use]
    pub fn is_suspect(self, crashes: u32) -> bool {
        crashes >= self.suspect_from
    }

    /// The count after one more death of the step's worker.
    #[must_use]
    pub fn after_crash(self, crashes: u32, progressed: bool, ran_alone: bool) -> u32 {
        match progressed {
            true => 0,
            false if self.is_suspect(crashes) && !ran_alone => crashes,
            false => crashes + 1,
        }
    }

    /// Why a step with so many crashes is parked: JSON.
    #[must_use]
    pub fn poison(self, crashes: u32) -> String {
        let message = format!(
            "its worker process died {crashes} times in a row while executing this step, without progress in between"
        );
        serde_json::json!({"cause": "poison", "message": message}).to_string()
    }

    /// Whether a step with so many crashes is parked.
    #[must_use]
    pub fn is_poison(self, crashes: u32) -> bool {
        crashes >= self.crash_limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_alone_is_convicted() {
        let rule = Suspicion::default();
        let crashes = |alone: bool| (0..100).fold(0, |crashes, _| rule.after_crash(crashes, false, alone));
        assert_eq!(crashes(false), rule.suspect_from, "a hundred deaths of others");
        assert!(rule.is_poison(crashes(true)));
        assert_eq!(rule.after_crash(4, true, true), 0, "progress clears it");
    }
}

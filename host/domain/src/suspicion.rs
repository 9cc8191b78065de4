//! When a step is blamed for the deaths of its workers: a pure rule. `pawl_takeover_v2` does the same in
//! sets.
//!
//! A process that dies takes all its steps along, and nothing tells which of them was at fault, if any. So
//! the first crashes only make a step a *suspect*. What a suspect's worker says in the database before it begins is that
//! it has begun, and from then on only a death in that time counts: a step that merely waited in a dying process is
//! never parked for it.
//!
//! One death makes suspects of all that ran with it, hundreds perhaps, and most are innocent. So a new suspect runs
//! beside others, among a few suspects only; what is a suspect still after that runs alone, and for deaths of its
//! worker in that time, of which it takes two, it is parked.

/// Beside whom a step may be executed on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Everybody: it is no suspect.
    Everybody,
    /// Everybody, but only a few other suspects.
    Suspects,
    /// Nobody at all.
    Nobody,
}

/// The bounds of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    /// Crashes in a row, without durable progress in between, from which on a step is a suspect.
    pub suspect_from: u32,
    /// Crashes in a row after which it is parked.
    pub crash_limit: u32,
}

/// Deaths of its worker while a step was alone on it, after which it is parked.
const ALONE: u32 = 2;

impl Default for Suspicion {
    fn default() -> Self {
        Self { suspect_from: 2, crash_limit: 5 }
    }
}

impl Suspicion {
    /// Whether a step with so many crashes may have brought its workers down.
    #[must_use]
    pub fn is_suspect(self, crashes: u32) -> bool {
        crashes >= self.suspect_from
    }

    /// Beside whom a step with so many crashes may be executed.
    #[must_use]
    pub fn company(self, crashes: u32) -> Company {
        if !self.is_suspect(crashes) {
            Company::Everybody
        } else if crashes + ALONE < self.crash_limit {
            Company::Suspects
        } else {
            Company::Nobody
        }
    }

    /// The count after one more death of the step's worker. `had_begun`: the worker had it on record that it executes
    /// the step as a suspect.
    #[must_use]
    pub fn after_crash(self, crashes: u32, progressed: bool, had_begun: bool) -> u32 {
        match progressed {
            true => 0,
            false if self.is_suspect(crashes) && !had_begun => crashes,
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
    fn who_is_a_suspect_still_after_a_death_in_company_runs_alone() {
        use Company::{Everybody, Nobody, Suspects};
        let company = |rule: Suspicion| (0..rule.crash_limit).map(|crashes| rule.company(crashes)).collect::<Vec<_>>();
        assert_eq!(company(Suspicion::default()), [Everybody, Everybody, Suspects, Nobody, Nobody]);
        let strict = Suspicion { suspect_from: 1, crash_limit: 2 };
        assert_eq!(company(strict), [Everybody, Nobody], "there is no room for a first look");
    }

    #[test]
    fn only_what_had_begun_is_convicted() {
        let rule = Suspicion::default();
        let crashes = |begun: bool| (0..100).fold(0, |crashes, _| rule.after_crash(crashes, false, begun));
        assert_eq!(crashes(false), rule.suspect_from, "a hundred deaths of others");
        assert!(rule.is_poison(crashes(true)));
        assert_eq!(rule.after_crash(4, true, true), 0, "progress clears it");
    }
}

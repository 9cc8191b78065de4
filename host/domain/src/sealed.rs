//! Whether payloads of a namespace's new runs are kept sealed: whatever guests and clients say, in its place in its run. States,
//! times, names, events and what failures say are not: listings, `explain` and recovery read no payload.

/// Which key seals the payloads of runs that a namespace submits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// None.
    Clear,
    /// Its newest.
    On,
    /// Its keys were erased, and nobody has said since what is to be done with new runs.
    Erased,
}

/// What has become of the newest key of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestKey {
    /// Somebody has said that new runs are in the clear.
    pub is_retired: bool,
    /// It is gone.
    pub is_erased: bool,
}

impl Sealing {
    /// By the newest key, if there is one. A namespace whose keys were erased takes no run until somebody has said what is to be
    /// done with them: those who erase would not expect that what follows is in the clear.
    #[must_use]
    pub fn of(newest: Option<NewestKey>) -> Self {
        match newest {
            None | Some(NewestKey { is_retired: true, .. }) => Self::Clear,
            Some(NewestKey { is_erased: true, .. }) => Self::Erased,
            Some(_) => Self::On,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_seals_by_its_newest_key_and_takes_nothing_when_that_is_erased() {
        let newest = |is_retired, is_erased| Sealing::of(Some(NewestKey { is_retired, is_erased }));
        assert_eq!((Sealing::of(None), newest(false, false)), (Sealing::Clear, Sealing::On));
        assert_eq!((newest(true, false), newest(false, true)), (Sealing::Clear, Sealing::Erased));
        assert_eq!(newest(true, true), Sealing::Clear, "somebody has said so since");
    }
}

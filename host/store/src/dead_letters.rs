//! Dead letters: steps that have failed for good or are parked, until they move on or somebody says that nobody need look
//! after them. What a person does about them are verbs ([`crate::control`]); here they are found.

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::namespace::Namespace;

use super::Result;
use super::runs::RunRow;

/// Letters of a group that are counted: more are as many.
pub const COUNTED: u32 = 10_000;

/// What has become of a dead letter's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadState {
    /// It has failed for good.
    Failed,
    /// It waits for a person.
    Parked,
}

impl DeadState {
    /// The word in SQL and JSON: that of the step's status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Parked => "parked",
        }
    }
}

impl std::str::FromStr for DeadState {
    type Err = UnknownState;
    fn from_str(word: &str) -> std::result::Result<Self, UnknownState> {
        match word {
            "failed" => Ok(Self::Failed),
            "parked" => Ok(Self::Parked),
            _ => Err(UnknownState(word.to_owned())),
        }
    }
}

/// A state of another name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no state of a dead letter; there are failed, parked")]
pub struct UnknownState(String);

/// A place in the order of letters: when it died, us since 1970, and the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadPlace {
    /// When.
    pub at_us: i64,
    /// Which step.
    pub step: StepId,
}

/// Run, step and time, with a `/` in between.
impl std::fmt::Display for DeadPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.step, self.at_us)
    }
}

/// Text that is no [`DeadPlace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place among dead letters is RUN/STEP/TIME, as `next` of the page before says it")]
pub struct NoDeadPlace;

impl std::str::FromStr for DeadPlace {
    type Err = NoDeadPlace;
    fn from_str(text: &str) -> std::result::Result<Self, NoDeadPlace> {
        let mut parts = text.split('/');
        let (Some(run), Some(step), Some(at), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(NoDeadPlace);
        };
        let step = StepNo(step.parse().map_err(|_| NoDeadPlace)?);
        let step = StepId { run: run.parse().map_err(|_| NoDeadPlace)?, step };
        // Beyond that no database has a time.
        let at_us: i64 = at.parse().map_err(|_| NoDeadPlace)?;
        if (0..=4_000_000_000_000_000).contains(&at_us) { Ok(Self { at_us, step }) } else { Err(NoDeadPlace) }
    }
}

/// In which order letters are read, and from where on.
#[derive(Debug, Clone, Copy)]
pub enum DeadOrder {
    /// Those before this one, or all.
    NewestFirst(Option<DeadPlace>),
    /// Those after this one, or all.
    OldestFirst(Option<DeadPlace>),
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The step, and when it died.
    pub place: DeadPlace,
    /// The name of its run's pipeline, and its version.
    pub pipeline: String,
    /// See `pipeline`.
    pub pipeline_digest: Digest,
    /// What has become of it.
    pub state: DeadState,
    /// What it was left by, as [`pawl_domain::cause::cause_of`] says it.
    pub cause: String,
}

/// A step that has died, and the plugin that its pipeline names for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadStep {
    /// The step.
    pub step: StepId,
    /// The plugin's name.
    pub plugin: String,
}

/// What a step has died on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiedOn {
    /// The step.
    pub step: StepId,
    /// Its component.
    pub component: Digest,
    /// The version of its plugin that this is: of several the active one, or the newest. None if there is none any more, or if
    /// a person has put the step on something else.
    pub version: Option<String>,
    /// Whether that version is the active one now.
    pub is_active: bool,
}

/// Where a page of groups goes on: after this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGroupKey {
    /// The pipeline's name, and its version.
    pub pipeline: String,
    /// See `pipeline`.
    pub pipeline_digest: Digest,
    /// The step.
    pub step: StepNo,
    /// What they were left by.
    pub cause: String,
}

/// Letters of one cause, at one step of one version of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGroup {
    /// What they have in common.
    pub key: DeadGroupKey,
    /// How many, of the first [`COUNTED`].
    pub count: u32,
    /// How many of those are parked.
    pub parked: u32,
    /// When the first one died, ms since 1970.
    pub oldest_ms: i64,
    /// When the last one did.
    pub newest_ms: i64,
}

/// Finding dead letters.
#[async_trait]
pub trait DeadLetters {
    /// Up to `limit` letters of a namespace, in this order.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn dead_letters(&self, namespace: &Namespace, order: DeadOrder, limit: u32) -> Result<Vec<DeadLetter>>;

    /// The letters of these steps, those that there are.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn dead_letters_of(&self, steps: &[StepId]) -> Result<Vec<DeadLetter>>;

    /// What these steps of a namespace have died on, those that were ever claimed. It costs as many steps as are named.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn died_on(&self, namespace: &Namespace, steps: &[DeadStep]) -> Result<Vec<DiedOn>>;

    /// Up to `limit` groups of a namespace after this one, by pipeline, version, step and cause. It costs what there is of
    /// groups, and of each group's letters no more than [`COUNTED`].
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn dead_groups(
        &self,
        namespace: &Namespace,
        after: Option<&DeadGroupKey>,
        limit: u32,
    ) -> Result<Vec<DeadGroup>>;

    /// Nobody need look after these: they are no dead letters any more, whatever their steps are. Returns how many were.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn forget_dead_letters(&self, steps: &[StepId]) -> Result<u32>;

    /// Up to `limit` letters of which other systems have not been told, oldest first. Those of `pawl dev` have nobody to tell.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn untold_dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>>;

    /// These were told.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn dead_letters_told(&self, steps: &[StepId]) -> Result<()>;

    /// Runs with a parked step, newest submission first, as [`super::runs::Runs::runs`] lists those of a status: those of this
    /// pipeline, submitted before that run, at most `limit`.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn parked_runs(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let step = StepId { run: RunId(uuid::Uuid::from_u128(7)), step: StepNo(3) };
        let place = DeadPlace { at_us: 1_795_910_399_125_001, step };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "7/3/1", &format!("{step}/-1"), &format!("{step}/1/2"), &format!("{step}/{}", i64::MAX)] {
            assert_eq!(bad.parse::<DeadPlace>(), Err(NoDeadPlace), "{bad:?}");
        }
    }
}

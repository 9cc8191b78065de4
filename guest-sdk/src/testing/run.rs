//! What a step did on the test host, for a test to look at.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::answer::Request;
use super::world::World;
use crate::failure::Failure;
use crate::logging::Line;

/// A step that has come to its end, and what it did on the way, all attempts together.
pub struct Run<O> {
    outcome: Result<O, Failure>,
    attempts: u32,
    world: World,
    pub(super) crashes: usize,
}

impl<O> Run<O> {
    pub(super) fn new(outcome: Result<O, Failure>, attempts: u32, world: World) -> Self {
        Self { outcome, attempts, world, crashes: 0 }
    }

    /// What the step returned.
    ///
    /// # Panics
    /// If it failed.
    #[track_caller]
    pub fn output(&self) -> &O {
        self.outcome.as_ref().unwrap_or_else(|failure| panic!("the step failed: {failure:?}"))
    }

    /// What the step failed with in its last attempt.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn failure(&self) -> &Failure {
        self.outcome.as_ref().err().expect("the step was expected to fail, and it returned an output")
    }

    /// Either of the two.
    ///
    /// # Errors
    /// What the step failed with.
    pub fn outcome(&self) -> Result<&O, &Failure> {
        self.outcome.as_ref()
    }

    /// The number of the last attempt.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Every request that left, in order; one that was sent again stands here twice, under one key.
    pub fn requests(&self) -> &[Request] {
        &self.world.requests
    }

    /// The requests that change something and so carry a key.
    pub fn effects(&self) -> impl Iterator<Item = &Request> {
        self.world.requests.iter().filter(|request| request.key.is_some())
    }

    /// The keys of every `once` that was finished, in order.
    pub fn onces(&self) -> &[String] {
        &self.world.onces
    }

    /// How many checkpoints were written.
    pub fn checkpoints(&self) -> usize {
        self.world.states.len()
    }

    /// The state that was saved last.
    ///
    /// # Panics
    /// If it does not fit `T`.
    #[track_caller]
    pub fn state<T: DeserializeOwned>(&self) -> Option<T> {
        let state = self.world.states.last()?;
        Some(serde_json::from_slice(state).expect("the saved state fits"))
    }

    /// The lines of the step's log.
    pub fn logs(&self) -> &[Line] {
        &self.world.logs
    }

    /// What was said of the progress.
    pub fn progress(&self) -> &[(f64, String)] {
        &self.world.progress
    }

    /// Every host call, replayed ones included, by its name in the WIT: `durable.now`, `http.send`.
    pub fn calls(&self) -> &[&'static str] {
        &self.world.calls
    }

    /// How much time passed by the test's clock.
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// How many crashes it was held against by [`crash_everywhere`](super::crash_everywhere).
    pub fn crashes(&self) -> usize {
        self.crashes
    }
}

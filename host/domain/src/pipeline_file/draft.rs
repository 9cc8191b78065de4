//! A step between the tree and the pipeline: read and checked alone, and not yet connected with the others.

use super::Span;
use crate::pipeline::StepSpec;

/// A step whose needs are still names.
pub(super) struct Draft<'a> {
    /// All of it but `needs`, which is empty.
    pub(super) spec: StepSpec,
    /// Where its name stands; where the whole step does, if it has none.
    pub(super) span: Span,
    /// The names of the steps that it needs, and where each stands.
    pub(super) needs: Vec<(&'a str, Span)>,
    /// Where its config stands, if there is one.
    pub(super) config: Option<Span>,
}

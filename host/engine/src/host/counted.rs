//! Figures of effects: how many have left, and how many of these for another time. Their handles are made once.

use std::sync::LazyLock;

use pawl_metrics::{Count, figures};

/// What leaves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A request with an unsafe method.
    Request,
    /// An effect of the guest's own.
    Once,
}

/// By [`Kind`], for the first time and again.
static LEFT: LazyLock<[[Count; 2]; 2]> = LazyLock::new(|| {
    ["request", "once"].map(|kind| ["first", "again"].map(|sending| figures().effects.of(&[kind, sending])))
});

/// An effect has left, or may have. Its intent tells whether it might have before.
pub(super) fn left(kind: Kind, again: bool) {
    LEFT[kind as usize][usize::from(again)].one();
}

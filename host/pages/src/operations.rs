//! Pages for those who keep Pawl running: queues, workers, circuits, waits, incidents, recoveries, and the doctor's checklist.

use maud::Markup;

use super::frame::{Live, Sheet, Tab};
use super::rooms;
use super::visit::Visit;

pub(super) mod circuits;
pub(super) mod doctor;
pub(super) mod incidents;
pub(super) mod queue;
pub(super) mod queues;
pub(super) mod recoveries;
pub(super) mod tables;
pub(super) mod waits;
pub(super) mod worker;
pub(super) mod workers;

/// Between two looks.
const EVERY_MS: u32 = 4_000;

/// One of these pages.
fn sheet(title: impl Into<String>, main: Markup) -> Sheet {
    Sheet { title: title.into(), tab: Tab::Operations, live: Live::Every(EVERY_MS), main }
}

/// The second row, under the head.
fn row(visit: &Visit, here: &str) -> Markup {
    rooms::row(visit, Tab::Operations, here)
}

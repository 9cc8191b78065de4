//! Pages about who may do what, and what was done: tokens, the record of changes, secrets, namespaces.

use maud::Markup;

use super::frame::{Live, Sheet, Tab};
use super::rooms;
use super::visit::Visit;

pub(super) mod audit;
pub(super) mod namespaces;
pub(super) mod secrets;
pub(super) mod tokens;

/// One of these pages: nothing of it moves by itself.
fn sheet(title: &str, main: Markup) -> Sheet {
    Sheet { title: title.to_owned(), tab: Tab::Access, live: Live::No, main }
}

/// The second row, under the head.
fn row(visit: &Visit, here: &str) -> Markup {
    rooms::row(visit, Tab::Access, here)
}

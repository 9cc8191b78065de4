//! Tables: a head that says what the columns are, for whoever hears them too.

use maud::{Markup, html};

/// The head of a table, of its columns and their classes: `num` for numbers, `wide` for what a phone has no room for.
pub(super) fn columns(all: &[(&str, &str)]) -> Markup {
    html! {
        thead {
            tr {
                @for (name, class) in all {
                    th scope="col" class=[(!class.is_empty()).then_some(class)] { (name) }
                }
            }
        }
    }
}

//! A form that is folded into its button, and says what it will do before it does it. It needs no script, and is there for those
//! whom the API's route behind it is for.

use axum::http::Method;
use maud::{Markup, html};

use super::visit::Visit;

/// What is on it.
pub(super) struct Panel<'a> {
    /// The API's route that it becomes a request to.
    pub(super) route: (Method, &'static str),
    /// Where the form goes.
    pub(super) action: &'a str,
    pub(super) label: &'static str,
    /// How much it looks like what is meant: `primary`, `danger`, or neither.
    pub(super) weight: &'static str,
    /// What will happen.
    pub(super) what: &'a str,
}

impl Panel<'_> {
    pub(super) fn with(&self, visit: &Visit, fields: &Markup) -> Markup {
        let (method, route) = &self.route;
        html! {
            @if visit.may(method, route) {
                details class="act" name="act" {
                    summary class={ "button " (self.weight) } { (self.label) "…" }
                    form class="panel" method="post" action=(self.action) {
                        p { (self.what) }
                        (fields)
                        button class={ "button " (if self.weight.is_empty() { "primary" } else { self.weight }) } { (self.label) }
                    }
                }
            }
        }
    }
}

/// A field of one line.
pub(super) fn line(name: &str, label: &str, required: bool) -> Markup {
    html! { label { (label) input name=(name) required[required] maxlength="1000" autocomplete="off"; } }
}

/// What goes along unseen.
pub(super) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

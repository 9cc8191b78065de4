//! The secrets of a step: given to its guest, and kept out of what people read of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use pawl_domain::secret::variable_of;

/// The secrets that the pipeline grants a step, by name; no value where this worker has none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, Option<String>>);

/// Only the names: values must reach no log.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Those that are granted, with the values of this process's environment.
    #[must_use]
    pub fn of_environment(granted: &[String]) -> Self {
        Self(granted.iter().map(|name| (name.clone(), std::env::var(variable_of(name)).ok())).collect())
    }

    /// The text with every value in it replaced by its name. A guest that takes a value apart can tell it all
    /// the same: this is against carelessness.
    pub(super) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for (name, value) in &self.0 {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty() && text.contains(value)) {
                text = Cow::Owned(text.replace(value, &format!("[secret {name}]")));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_replaced_by_names_and_never_shown() {
        let value = |text: &str| Some(text.to_owned());
        let secrets =
            [("token".to_owned(), value("abc123")), ("empty".to_owned(), value("")), ("none".to_owned(), None)];
        let secrets = Secrets(secrets.into());
        assert_eq!(secrets.redact("abc123 and xabc123x"), "[secret token] and x[secret token]x");
        assert!(matches!(secrets.redact("nothing here"), Cow::Borrowed(_)));
        assert_eq!(format!("{secrets:?}"), r#"{"empty", "none", "token"}"#);
    }
}

//! Namespaces: whose a name is. Pipelines, plugins and idempotency keys are named within one, and nothing crosses it.
//! What is found by its content (components, pipeline versions) or by its run's id has no need of it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline_file::check_name;

/// A namespace, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z][A-Za-z0-9_-]{0,63}$"))]
pub struct Namespace(String);

impl Namespace {
    /// The one that is there from the start.
    pub const DEFAULT: &str = "default";

    /// Its name, as stores keep it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

/// Why a name is none of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name of a namespace {0}")]
pub struct BadName(String);

impl FromStr for Namespace {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        check_name(name).map_err(BadName)?;
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for Namespace {
    type Error = BadName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_named_as_everything_is() {
        assert_eq!(Namespace::DEFAULT.parse(), Ok(Namespace::default()));
        assert_eq!("team-a".parse::<Namespace>().map(|namespace| namespace.to_string()), Ok("team-a".to_owned()));
        let refused = "team/a".parse::<Namespace>().map_err(|error| error.to_string());
        assert_eq!(refused, Err("the name of a namespace may have letters, digits, - and _, but not '/'".to_owned()));
        assert!("".parse::<Namespace>().is_err());
    }
}

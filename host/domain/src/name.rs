//! Names of pipelines, plugins, steps and queues, and versions of plugins, as types: what comes from outside is one only
//! after it was parsed, so that no text that is none (one with NUL, say) gets past a door, to be refused by a store.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline_file::{check_name, check_version};

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} {rule}")]
pub struct NoName {
    what: &'static str,
    rule: String,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $what:literal, $check:path, $pattern:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String")]
        #[schemars(extend("pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NoName;

            fn from_str(text: &str) -> Result<Self, NoName> {
                text.to_owned().try_into()
            }
        }

        impl TryFrom<String> for $name {
            type Error = NoName;

            fn try_from(text: String) -> Result<Self, NoName> {
                match $check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(rule) => Err(NoName { what: $what, rule }),
                }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of a pipeline, plugin, step or queue: a letter, then letters, digits, - and _, 64 at most.
    Name: "name", check_name, "^[A-Za-z][A-Za-z0-9_-]{0,63}$";
    /// The version of a plugin: letters, digits, `.`, -, _ and +, 64 at most.
    Version: "version", check_version, "^[A-Za-z0-9._+-]{1,64}$";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_parsed() {
        assert_eq!("load-2".parse::<Name>().map(|name| name.to_string()), Ok("load-2".to_owned()));
        assert_eq!("1.4.0+b".parse::<Version>().map(String::from), Ok("1.4.0+b".to_owned()));
        let refused = "a\0b".parse::<Name>().map_err(|rule| rule.to_string());
        assert_eq!(refused, Err("a name may have letters, digits, - and _, but not '\\0'".to_owned()));
        let refused = serde_json::from_str::<Version>(r#""1\u0000""#).map_err(|rule| rule.to_string());
        assert!(refused.unwrap_err().starts_with("a version may have letters, digits, `.`, -, _ and +, but not '\\0'"));
    }
}

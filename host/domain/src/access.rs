//! Who may ask for what. A role may do what those before it may, and more: [`Role::Read`] < … < [`Role::Admin`]. Each route of
//! the API wants one of them, and each token has one; `docs/access.md` is made of both.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody may do, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything that runs leave behind, payloads and logs among it; change nothing.
    Read,
    /// Begin runs, and send them signals.
    Submit,
    /// What people do about runs, queues and workers: cancel, retry, skip, pause, drain, recover.
    Operate,
    /// Decide what is executed: plugins and pipelines.
    Deploy,
    /// Decide who may do what: tokens, secrets and their grants.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 5] = [Self::Read, Self::Submit, Self::Operate, Self::Deploy, Self::Admin];

    /// The word in SQL, JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Operate => "operate",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    /// What it is for, beside what those before it may.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Read => {
                "looks at everything: runs with their payloads and logs, queues, workers, figures; changes nothing"
            }
            Self::Submit => "begins runs and sends them signals",
            Self::Operate => {
                "what people do about runs, queues and workers: cancel, retry, skip, pause, drain, recover"
            }
            Self::Deploy => "decides what is executed: plugins and pipelines",
            Self::Admin => "decides who may do what: tokens, secrets and their grants",
        }
    }
}

/// A role of another name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; there are read, submit, operate, deploy and admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| UnknownRole(word.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        assert!(Role::ALL.is_sorted() && Role::ALL.windows(2).all(|pair| pair[0] != pair[1]));
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str(), "one word in all places");
        }
        let error = "root".parse::<Role>().unwrap_err().to_string();
        assert!(error.contains("`root`") && Role::ALL.iter().all(|role| error.contains(role.as_str())), "{error}");
    }
}

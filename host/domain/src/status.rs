//! The states of runs and steps, by name: the same words in Rust, SQL, HTTP and CLI. How they follow on
//! each other stands in [`super::transition`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* } ended: $($ended:ident)|*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The same word as in JSON and SQL.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Whether nothing more happens to it, but for a person's retry.
            #[must_use]
            pub fn is_ended(self) -> bool {
                matches!(self, $(Self::$ended)|*)
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownStatus;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(UnknownStatus { text: text.to_owned(), known: &[$($text),*] }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

/// A status of another name.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no status; there are {}", .known.join(", "))]
pub struct UnknownStatus {
    text: String,
    known: &'static [&'static str],
}

status! {
    /// The states of a run.
    RunStatus {
        /// No step has started.
        Pending = "pending",
        /// A step has started.
        Running = "running",
        /// Every step has succeeded or was skipped.
        Succeeded = "succeeded",
        /// A step has failed for good.
        Failed = "failed",
        /// A person stopped it.
        Cancelled = "cancelled",
    }
    ended: Succeeded | Failed | Cancelled
}

status! {
    /// The states of a step.
    StepStatus {
        /// Waits for what it needs.
        Blocked = "blocked",
        /// May be claimed.
        Ready = "ready",
        /// Claimed by a worker.
        Running = "running",
        /// Waits for a time or a signal.
        Waiting = "waiting",
        /// Waits for a person.
        Parked = "parked",
        /// Its output is recorded.
        Succeeded = "succeeded",
        /// Has failed for good.
        Failed = "failed",
        /// A person stopped its run.
        Cancelled = "cancelled",
        /// Was not wanted, or a person gave its output.
        Skipped = "skipped",
    }
    ended: Succeeded | Failed | Cancelled | Skipped
}

impl StepStatus {
    /// Whether those who need it may start: it has succeeded, or a person gave its output.
    #[must_use]
    pub fn is_met(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }
}

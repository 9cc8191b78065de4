//! What can go wrong with the queue, by what a caller does about it.

/// A result of the queue.
pub type Result<T> = std::result::Result<T, Error>;

/// What a server said.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the queue did not do it. Nothing is lost by that: delivery is made up for later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached, or refuses what is needed: try again later.
    #[error("{queue} is not available: {why}")]
    Unavailable {
        /// The queue's name.
        queue: &'static str,
        /// Why, in words that anybody may read.
        why: &'static str,
        /// What it said, for the log.
        source: Source,
    },
    /// A setting is wrong.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// The error with all its causes, for a log line.
    #[must_use]
    pub fn chain(&self) -> String {
        pawl_base::chain(self)
    }
}

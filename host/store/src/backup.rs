//! What a backup of the embedded store holds, and what came of one that was given back: to another embedded store, or to
//! Postgres. [`crate::Sqlite::back_up`] writes it, [`crate::Sqlite::restore`] and [`crate::Postgres::restore`] take it.

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Runs, those that have ended too.
    pub runs: u64,
    /// The file's size.
    pub size_bytes: u64,
}

/// What was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Runs, those that have ended too.
    pub runs: u64,
    /// Steps that ran when the backup was made: they are ready, under a fence that nobody has yet.
    pub handed_back: u64,
}

//! How the server behind a queue is: what people look at after an incident. Of what it does not tell, or may not be asked for,
//! nothing is known.

/// A server that keeps streams, as it describes itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerState {
    /// Its version.
    pub version: Option<String>,
    /// What the streams, and all else, take of its memory, bytes.
    pub used_bytes: Option<u64>,
    /// What they may take; 0 is without a bound.
    pub limit_bytes: Option<u64>,
    /// What it throws away when that is used up.
    pub eviction: Option<String>,
    /// Keys that it has thrown away since its start.
    pub evicted: Option<u64>,
    /// Whether it writes each change to a log on its disk.
    pub logs_changes: Option<bool>,
    /// After what it writes a snapshot to its disk; empty: never.
    pub snapshots: Option<String>,
    /// Its last attempt to write to its disk has failed.
    pub disk_failed: Option<bool>,
}

//! Sizes, counts and times that a step must keep within. Each is a setting; each refusal is a clear error.
//!
//! The API checks what comes in (inputs, signals, pipelines, components), the worker's engine what a guest does. Both
//! are told the same limits: where they differ, what the API has accepted may fail in the worker, never the reverse.

/// The limits of one installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A run's or step's input, bytes.
    pub input_bytes: usize,
    /// A step's output, bytes.
    pub output_bytes: usize,
    /// The outputs that a step joins, together, bytes.
    pub joined_bytes: usize,
    /// One journal entry, bytes; an HTTP answer or a `once` value.
    pub entry_bytes: usize,
    /// A checkpoint, bytes.
    pub checkpoint_bytes: usize,
    /// A component, bytes.
    pub component_bytes: usize,
    /// A guest's linear memory, bytes.
    pub memory_bytes: usize,
    /// One attempt of a step that names no `timeout`; written into the pipeline's version when it is applied.
    pub attempt_ms: u64,
    /// One log line, bytes; a longer one is cut.
    pub log_line_bytes: usize,
    /// All log lines of an attempt, bytes; the rest is dropped, with a note.
    pub log_bytes: usize,
    /// The same, counted.
    pub log_lines: usize,
    /// Steps in a pipeline.
    pub steps: usize,
    /// Journal entries of a step since its checkpoint.
    pub journal_entries: usize,
    /// Signals in a run's inbox that no step has taken.
    pub inbox_signals: u32,
    /// Connections that an attempt makes to one host; those that are used again count once.
    pub host_connections: usize,
    /// Bytes of bodies and headers that an attempt exchanges with one host.
    pub host_bytes: u64,
}

/// Attempts whose logs are kept of a step, if each logs as much as it may.
const KEPT_ATTEMPTS: u64 = 4;

/// What is kept of a step's log, over all of its attempts: the newest lines, up to about so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptLog {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Limits {
    /// What is kept of a step's log.
    #[must_use]
    pub fn kept_log(&self) -> KeptLog {
        let of_attempts = |most: usize| KEPT_ATTEMPTS.saturating_mul(most as u64);
        KeptLog { lines: of_attempts(self.log_lines), bytes: of_attempts(self.log_bytes) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            input_bytes: MIB,
            output_bytes: MIB,
            // A guest that reads them as JSON needs several times as much memory.
            joined_bytes: 16 * MIB,
            entry_bytes: MIB,
            checkpoint_bytes: 64 * MIB,
            component_bytes: 64 * MIB,
            memory_bytes: 256 * MIB,
            attempt_ms: crate::pipeline::default_timeout_ms(),
            log_line_bytes: 16 << 10,
            log_bytes: MIB,
            log_lines: 10_000,
            steps: 10_000,
            journal_entries: 100_000,
            inbox_signals: 10_000,
            host_connections: 10_000,
            host_bytes: 4 << 30,
        }
    }
}

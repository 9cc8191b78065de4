//! How long a test waits before it says that something hangs. Far above what is normal, also on a machine
//! that is busy with other tests; what is promised about time is tested in `tests/tests/end_to_end/takeover_time.rs`.

use std::time::Duration;

/// A small run of a handful of steps.
pub const RUN: Duration = Duration::from_secs(60);

/// A run whose worker dies or whose servers go away on the way.
pub const RECOVERY: Duration = Duration::from_secs(120);

/// A process to start or to end, a request to be answered.
pub const PROCESS: Duration = Duration::from_secs(60);

/// Queues to be empty after the last run has ended.
pub const QUIET: Duration = Duration::from_secs(60);

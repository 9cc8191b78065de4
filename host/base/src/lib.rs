//! What every layer may name: [`fault`], the named places at which tests kill, stop or delay a process, [`lock()`], for
//! mutexes that stay whole whatever happens to a thread, and [`chain()`], for errors in log lines. It knows no layer, and
//! nothing of steps or runs.

mod chain;
pub mod fault;
mod lock;

pub use chain::chain;
pub use lock::{lock, or_poisoned};

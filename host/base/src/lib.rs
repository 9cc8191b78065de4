//! What every layer may name: [`fault`], the named places at which tests kill, stop or delay a process, and [`lock()`], for
//! mutexes that stay whole whatever happens to a thread. It knows no layer, and nothing of steps or runs.

pub mod fault;
mod lock;

pub use lock::{lock, or_poisoned};

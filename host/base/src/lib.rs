//! What every layer may name: [`fault`], the named places at which tests kill, stop or delay a process, [`lock()`], for
//! mutexes that stay whole whatever happens to a thread, [`chain()`], for errors in log lines, [`one_by_one()`], for URLs of
//! several servers, [`duration()`], [`size()`], [`counted()`] and [`short()`], for what people read, [`owner_only`], for files that are nobody else's,
//! [`envelope`] and [`sealing`], for bytes that only the holders of a key read, [`signature`], for what only the holder of a key says, [`terminal`],
//! for what people read, [`is_loopback()`], for hosts of URLs, and [`use_ring()`] and [`TlsFault`], for all who may speak TLS. It
//! knows no layer, and nothing of steps or runs.

mod amounts;
mod chain;
mod duration;
pub mod envelope;
pub mod fault;
mod lock;
mod loopback;
pub mod owner_only;
pub mod sealing;
mod servers;
pub mod signature;
pub mod terminal;
mod tls;

pub use amounts::{counted, short, size};
pub use chain::chain;
pub use duration::duration;
pub use lock::{lock, or_poisoned};
pub use loopback::is_loopback;
pub use servers::one_by_one;
pub use tls::{TlsFault, use_ring};

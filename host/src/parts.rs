//! What a role is made of: the two ports and the engine, chosen and set up by whoever starts it (`cli`).

use std::sync::Arc;

use crate::engine::Engine;
use crate::queue::SharedQueue;
use crate::store::SharedStore;

/// The parts; cheap to clone. Roles of one process share them.
#[derive(Clone)]
pub struct Parts {
    /// The truth.
    pub store: SharedStore,
    /// The delivery.
    pub queue: SharedQueue,
    /// Compiles and executes components.
    pub engine: Arc<Engine>,
}

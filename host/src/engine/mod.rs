//! Executes components.

pub mod recorder;

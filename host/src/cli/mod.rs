//! The command line.

pub mod private;

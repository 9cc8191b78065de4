//! Pawl.
fn main() {}

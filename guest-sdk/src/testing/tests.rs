//! The test kit is what other tests trust, so it is tested for finding faults, not only for letting good
//! steps pass.

//! What holds this repository in shape and no compiler checks: which layer names which ([`layers`]), what code above the
//! ports may call them ([`names`]), that what docs and comments point to is there ([`pointers`]), and that crates can be
//! packaged ([`packages`]). Needs no servers.

mod layers;
mod names;
mod packages;
mod pointers;
mod tree;

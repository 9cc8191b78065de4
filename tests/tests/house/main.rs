//! What holds this repository in shape and no compiler checks: which layer names which ([`layers`]), what code above the
//! ports may call them ([`names`]), and that what docs and comments point to is there ([`pointers`]). Needs no servers.

mod layers;
mod names;
mod pointers;
mod tree;

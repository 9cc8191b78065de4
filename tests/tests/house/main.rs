//! What holds this repository in shape and no compiler checks: which layer names which ([`layers`]), what code above the
//! ports may call them ([`names`]), that what docs and comments point to is there ([`pointers`]), that crates can be
//! packaged ([`packages`]), that the guide knows all keys of pipelines ([`pipelines`]), and that what is deployed for those who watch over it is sound ([`deploy`]). Needs no servers.

mod deploy;
mod layers;
mod names;
mod packages;
mod pipelines;
mod pointers;
mod tree;

//! What holds this repository in shape and no compiler checks: which layer names which ([`layers`]), what code above the
//! ports may call them ([`names`]), that what docs and comments point to is there ([`pointers`]), that crates can be
//! packaged ([`packages`]), that the guide knows all keys of pipelines ([`pipelines`]), that what is deployed for those who
//! watch over it is sound ([`deploy`]), and so is what is installed ([`installed`]), that runbooks name what there is
//! ([`runbooks`]), that what is printed is harmless ([`printing`]), that it is told what the program is made of ([`supply`]).
//! Needs no servers.

mod deploy;
mod installed;
mod layers;
mod names;
mod packages;
mod pipelines;
mod pointers;
mod printing;
mod runbooks;
mod supply;
mod tree;

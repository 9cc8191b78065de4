//! Rehearsals: what operators hope never to see ([`drill`]), what it costs ([`mod@bench`]), and the private servers and
//! processes that both, the tests and the demo run on ([`private`]). It works on real processes and looks at the servers
//! beside Pawl, never through it: what Pawl is checked by must not be what Pawl says of itself.

pub mod bench;
pub mod drill;
mod observer;
pub mod private;

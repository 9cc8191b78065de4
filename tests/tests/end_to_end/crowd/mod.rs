//! Much of everything: what waits in queues, runs elsewhere, or has passed costs those who work beside it nothing. Each
//! with what fits among all other tests, and by `make pressure` with a million: names begin with `pressure_` then.

mod asked;
mod draining;
mod passing;
mod queued;
mod running;
mod steady;

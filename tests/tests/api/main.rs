//! The HTTP API against private servers, served from this process: what it answers, to whom, and what it
//! does while its own servers are away.

mod access;
mod changes;
mod described;
mod doors;
mod hostile;
mod listed;
mod namespaces;
mod oidc;
mod outages;
mod pages;
mod plugins;
mod replays;
mod requests;
mod runs;
mod schemathesis;
mod served;
mod sources;
mod things;
mod tls;
mod trusted;
mod uploads;

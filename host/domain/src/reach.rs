//! What a step may reach: a decision without I/O. Three must agree, each with a list of grants: the plugin asks (its
//! manifest's `needs`), the pipeline's step gives (`allow`), the installation bounds (`outside_hosts`).
//!
//! ```text
//!  URL ──▶ by its host: needs, allow, outside_hosts ──▶ resolved ──▶ by each address: outside_hosts ──▶ connected to that one
//!             └─ refused, nobody is asked                               └─ refused
//! ```
//!
//! An address that is not public must be held by a grant of the installation that means addresses: a name says nothing of
//! where it leads, and whoever owns it can let it lead elsewhere. The engine asks here, and connects to nothing but what was
//! found to be right.

use std::fmt;
use std::net::IpAddr;

mod address;
mod grant;
#[cfg(test)]
mod tests;

pub use address::{AddressKind, kind_of, plain};
pub use grant::{BadGrant, Grant, Host, Scheme};

/// What a manifest's `needs` says of all hosts.
pub const NEEDS_HTTP: &str = "http";

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub scheme: Scheme,
    /// To whom.
    pub host: Host,
    /// At which port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.usual_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// What a plugin asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Asked {
    /// Any host: it says so, or it was pushed before plugins said anything.
    #[default]
    Any,
    /// These, or nothing.
    Only(Vec<Grant>),
}

impl Asked {
    /// What a manifest asks for.
    #[must_use]
    pub fn of(needs: &[String]) -> Self {
        if needs.iter().any(|need| need == NEEDS_HTTP) {
            return Self::Any;
        }
        Self::Only(needs.iter().filter_map(|need| need.parse().ok()).collect())
    }
}

/// All that decides.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'a> {
    /// What the plugin asks for.
    pub asked: &'a Asked,
    /// What the pipeline gives its step.
    pub allowed: &'a [Grant],
    /// What the installation lets steps reach at most.
    pub most: &'a [Grant],
}

impl Reach<'_> {
    /// Whether the host may be asked, before anybody knows where it is.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check_host(&self, target: &Target) -> Result<(), Refused> {
        let names = |grants: &[Grant]| grants.iter().any(|grant| grant.names(target));
        let why = match self.asked {
            Asked::Only(asked) if !names(asked) => Why::NotAsked,
            _ if !names(self.allowed) => Why::NotAllowed,
            // Where a name leads is found out later.
            _ if !names(self.most) && !self.most.iter().any(|grant| grant.means_addresses()) => Why::NotHere,
            _ => return Ok(()),
        };
        Err(Refused { target: target.clone(), why })
    }

    /// Whether it may be asked at this address; `is_own` if that is where Pawl or one of its servers listens.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check_address(&self, target: &Target, address: IpAddr, is_own: bool) -> Result<(), Refused> {
        let kind = kind_of(address);
        let is_most = |is_right: &dyn Fn(&Grant) -> bool| self.most.iter().any(is_right);
        let is_named = || self.allowed.iter().any(|grant| !grant.is_any() && grant.names(target));
        let why = match kind {
            AddressKind::Nowhere => Why::Nowhere(address),
            _ if is_own && !is_most(&|grant| grant.is_exactly(target, address)) => Why::Own(address),
            _ if is_astray(target, kind) => Why::ByName(address, kind),
            AddressKind::Public if is_most(&|grant| grant.names(target) || grant.holds(target, address)) => {
                return Ok(());
            }
            AddressKind::Public => Why::NotHere,
            _ if !is_most(&|grant| grant.holds(target, address)) => Why::NotPublic(address, kind),
            _ if !is_named() => Why::OnlyPublic(address, kind),
            _ => return Ok(()),
        };
        Err(Refused { target: target.clone(), why })
    }
}

/// Whether a name leads where it may not: one that is somebody's into this machine or to its neighbours on the link, or that of
/// this machine out of it.
fn is_astray(target: &Target, kind: AddressKind) -> bool {
    match &target.host {
        Host::Address(_) => false,
        host if host.is_local() => kind != AddressKind::Loopback,
        Host::Name(_) => !matches!(kind, AddressKind::Public | AddressKind::Private),
    }
}

/// A request that does not leave, why, and what would let it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// Where it was to go.
    pub target: Target,
    /// Why it does not.
    pub why: Why,
}

/// Why something may not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The plugin does not say that it wants to.
    NotAsked,
    /// The pipeline does not let this step.
    NotAllowed,
    /// The installation lets no step.
    NotHere,
    /// The installation lets no step to an address that is not public.
    NotPublic(IpAddr, AddressKind),
    /// The pipeline lets the step to whatever is public.
    OnlyPublic(IpAddr, AddressKind),
    /// A name leads where only an address may.
    ByName(IpAddr, AddressKind),
    /// Pawl itself is there.
    Own(IpAddr),
    /// Nobody is there.
    Nowhere(IpAddr),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, why } = self;
        let at = |address: IpAddr| Target { host: Host::Address(plain(address)), ..target.clone() };
        match why {
            Why::NotAsked => write!(
                f,
                "the component does not say that it calls {target}: let its manifest say so (`needs` of \"{NEEDS_HTTP}\", or of \
                 \"{target}\"), and push it"
            ),
            Why::NotAllowed => write!(
                f,
                "the step is not granted {target}: if it may call that, write allow = [\"{target}\"] for it in the pipeline, apply \
                 it, and submit anew: a run keeps its pipeline"
            ),
            Why::NotHere => write!(
                f,
                "no step may call {target} here: if steps may, an administrator adds \"{target}\" to the workers' setting \
                 `outside_hosts`"
            ),
            Why::NotPublic(address, kind) => write!(
                f,
                "no step may call {target} here, for it leads to {address}, {kind}: if steps may go there, an administrator adds \
                 \"{}\" to the workers' setting `outside_hosts`",
                at(*address)
            ),
            Why::OnlyPublic(address, kind) => write!(
                f,
                "the step is granted all that is public, and {target} leads to {address}, {kind}: if it may call that, write \
                 allow = [\"{target}\"] for it in the pipeline, apply it, and submit anew"
            ),
            Why::ByName(address, kind) => write!(
                f,
                "the name of {target} leads to {address}, {kind}, where no name may lead: call it by its address, and write \
                 allow = [\"{}\"] for the step in the pipeline, if it may",
                at(*address)
            ),
            Why::Own(address) => write!(
                f,
                "{target} leads to {address}, where Pawl or one of its servers listens: no step calls that, unless an \
                 administrator adds exactly \"{}\" to the workers' setting `outside_hosts`",
                at(*address)
            ),
            Why::Nowhere(address) => {
                write!(f, "{target} leads to {address}, which is no machine's: no step calls that")
            }
        }
    }
}

//! The way of one attempt to the outside: what it may reach, and how much of it it has had. Each request, and each redirect,
//! is one *hop*; before it leaves, its host is checked, and when a connection is made, each address that it may be made to.
//!
//! ```text
//!  hop ──▶ host granted? ──▶ literal address? checked here ─┐
//!                        └─▶ connection from the pool ──────┼─▶ request
//!                        └─▶ connect ─▶ counted ─▶ resolve, each address checked ─▶ one of those ┘
//! ```
//!
//! Nothing is resolved twice: what the resolver returns are the addresses that were checked.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use pawl_base::lock;
use pawl_domain::limits::Limits;
use pawl_domain::reach::{Asked, Grant, Host, Reach, Refused, Scheme, Target};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower_layer::Layer;
use tower_service::Service;

use super::outgoing::Outgoing;
use crate::guest::Halt;
use crate::outside::Outside;

tokio::task_local! {
    /// The hop that this task is on.
    static HOP: Arc<Hop>;
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What an attempt may reach, and has had.
#[derive(Debug)]
pub(crate) struct Way {
    http: Arc<Outgoing>,
    asked: Asked,
    /// None: what is usual.
    allowed: Option<Vec<Grant>>,
    limits: Limits,
    used: Mutex<HashMap<String, Used>>,
}

/// What it has had of one host.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    connections: usize,
    bytes: u64,
}

/// Why something did not leave.
#[derive(Debug, Clone)]
enum Barred {
    Refused(Refused),
    Limit(String),
}

/// For the client, which only needs to hear that there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("the step may not connect there")]
struct NoWay;

impl Way {
    pub(crate) fn new(http: &Arc<Outgoing>, asked: Asked, allowed: Option<Vec<Grant>>, limits: Limits) -> Self {
        Self { http: Arc::clone(http), asked, allowed, limits, used: Mutex::default() }
    }

    /// How requests leave.
    pub(super) fn http(&self) -> &Outgoing {
        &self.http
    }

    /// Whether the host may be asked, before anything of the request is recorded.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refused> {
        target_of(url).map_or(Ok(()), |target| self.reach().check_host(&target))
    }

    /// A request to this URL begins.
    pub(super) fn hop(self: &Arc<Self>, url: &Url) -> Result<Arc<Hop>, Halt> {
        // Whatever is sent was looked at: it has a host, and a scheme of the two.
        let target = target_of(url).ok_or_else(|| Halt::Limit(format!("{url} is nowhere that a step can call")))?;
        self.reach().check_host(&target)?;
        let most = self.limits.host_bytes;
        if self.used(&target).bytes > most {
            return Err(Halt::Limit(format!(
                "the attempt has exchanged {most} bytes with {target}, which are all that it may (`limit_host_bytes`)"
            )));
        }
        let hop = Hop { way: Arc::clone(self), is_public: self.is_public(&target), target, barred: OnceLock::new() };
        Ok(Arc::new(hop))
    }

    fn reach(&self) -> Reach<'_> {
        let outside = self.outside();
        let allowed = self.allowed.as_ref().unwrap_or(&outside.usual);
        Reach { asked: &self.asked, allowed, most: &outside.most }
    }

    fn outside(&self) -> &Outside {
        self.http.outside()
    }

    /// Whether it is granted only if it is public.
    fn is_public(&self, target: &Target) -> bool {
        !self.reach().allowed.iter().any(|grant| !grant.is_any() && grant.names(target))
    }

    fn used(&self, target: &Target) -> Used {
        lock(&self.used).get(&target.to_string()).copied().unwrap_or_default()
    }

    fn use_more(&self, target: &Target, more: impl FnOnce(&mut Used)) -> Used {
        let mut used = lock(&self.used);
        let used = used.entry(target.to_string()).or_default();
        more(used);
        *used
    }
}

/// One request on its way.
#[derive(Debug)]
pub(super) struct Hop {
    way: Arc<Way>,
    target: Target,
    /// Only to a public address: its connections are no others' that may go further.
    pub(super) is_public: bool,
    barred: OnceLock<Barred>,
}

impl Hop {
    /// Sends something on this hop; not to an address that is none for it.
    pub(super) async fn watch<T>(self: &Arc<Self>, sending: impl Future<Output = T>) -> Result<T, Halt> {
        if let Host::Address(address) = self.target.host {
            let checking = Arc::clone(self);
            let checked = tokio::task::spawn_blocking(move || checking.check(address)).await;
            checked.map_err(|error| Halt::Limit(format!("{} can't be checked: {error}", self.target)))??;
        }
        let sent = HOP.scope(Arc::clone(self), sending).await;
        match self.barred.get() {
            None => Ok(sent),
            Some(Barred::Refused(refused)) => Err(refused.clone().into()),
            Some(Barred::Limit(message)) => Err(Halt::Limit(message.clone())),
        }
    }

    /// So much was exchanged.
    pub(super) fn has_moved(&self, bytes: usize) {
        self.way.use_more(&self.target, |used| used.bytes = used.bytes.saturating_add(bytes as u64));
    }

    fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let outside = self.way.outside();
        let is_own = outside.own.is_at(address, self.target.port, &*outside.resolver);
        self.way.reach().check_address(&self.target, address, is_own)
    }

    /// The addresses of the name that it may be sent to. Blocks.
    fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Error> {
        let found = self.way.outside().resolver.addresses(name)?;
        let mut refused = None;
        let checked = found.into_iter().filter(|address| match self.check(*address) {
            Ok(()) => true,
            Err(why) => {
                refused.get_or_insert(why);
                false
            }
        });
        // The client puts the port in.
        let right: Vec<_> = checked.map(|address| SocketAddr::new(address, 0)).collect();
        match refused {
            Some(refused) if right.is_empty() => Err(self.bar(Barred::Refused(refused)).into()),
            _ => Ok(right),
        }
    }

    fn connects(&self) -> Result<(), NoWay> {
        let most = self.way.limits.host_connections;
        if self.way.use_more(&self.target, |used| used.connections += 1).connections <= most {
            return Ok(());
        }
        let target = &self.target;
        Err(self.bar(Barred::Limit(format!(
            "the attempt has made {most} connections to {target}, which are all that it may (`limit_host_connections`)"
        ))))
    }

    fn bar(&self, why: Barred) -> NoWay {
        let _ = self.barred.set(why);
        NoWay
    }
}

/// None if it is nothing that can be asked.
pub(super) fn target_of(url: &Url) -> Option<Target> {
    let (scheme, host) = (Scheme::named(url.scheme())?, Host::of(url.host_str()?));
    Some(Target { scheme, host, port: url.port_or_known_default()? })
}

/// Resolves names to what may be reached on the hop that asks, and to nothing without one.
#[derive(Debug)]
pub(super) struct Checked;

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let hop = HOP.try_with(Arc::clone);
        Box::pin(async move {
            let hop = hop.map_err(|_| NoWay)?;
            let found = tokio::task::spawn_blocking(move || hop.resolve(name.as_str())).await??;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Lets a connection be made for a hop alone. It may be finished after the task that has asked for it.
#[derive(Debug, Clone)]
pub(super) struct OnHop;

/// What makes connections, told of its hop.
#[derive(Debug, Clone)]
pub(super) struct Connecting<S>(S);

impl<S> Layer<S> for OnHop {
    type Service = Connecting<S>;

    fn layer(&self, connector: S) -> Connecting<S> {
        Connecting(connector)
    }
}

impl<S, R> Service<R> for Connecting<S>
where
    S: Service<R, Error = Error>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let hop = HOP.try_with(Arc::clone).map_err(|_| NoWay).and_then(|hop| hop.connects().map(|()| hop));
        let connecting = hop.map(|hop| HOP.scope(hop, self.0.call(target)));
        Box::pin(async move { connecting?.await })
    }
}

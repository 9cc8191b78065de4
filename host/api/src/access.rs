//! Who asks, and whether they may: the one place where requests of all routes are let through or refused. The API asks here, and so
//! does the small server of a worker's figures.
//!
//! ```text
//!  Authorization ─▶ api_token, `pawl dev`'s own ─▶ yes: admin
//!                        │ no
//!                   looks like one of a provider, and there is one ─▶ `oidc`
//!                        │ no
//!                   looks like a token ─▶ looked up within the last second? ─▶ the store, by digest: one row of one index
//!                        │ no                      │                              │ expired, revoked, unknown
//!                        └──▶ 401 ◀────────────────┼──────────────────────────────┘
//!                                                  └──▶ its role against the route's ─▶ 403, or on
//! ```
//!
//! What was looked up counts for a while: see `looked_up`. Without a token somebody is let in only where none can be had: the process listens on loopback, has no token of its own,
//! and in its store none was ever made.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::http::header::{AUTHORIZATION, FORWARDED};
use axum::http::{Extensions, HeaderMap, HeaderName};
use looked_up::LookedUp;
use pawl_base::lock;
use pawl_domain::access::Role;
use pawl_domain::namespace::Namespace;
use pawl_domain::proxies::Proxies;
use pawl_domain::token::{NoToken, TokenText};
use pawl_store::SharedStore;

use super::failures::Failures;
use super::oidc::{self, Oidc};
use super::problem::Result;
use super::tokens::DEV_TOKEN;
use super::types::Problem;
use super::whose;

mod looked_up;

/// The address at the other end of a request's connection, which is a proxy's if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source(pub(super) IpAddr);

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The token's name; `None`: none was wanted.
    pub(super) name: Option<Arc<str>>,
    pub(super) role: Role,
    /// Where the token counts; `None`: everywhere.
    pub(super) namespace: Option<Namespace>,
    /// Who says where it counts knows nothing of the namespaces that there are.
    pub(super) is_of_provider: bool,
    pub(super) source: IpAddr,
}

impl Caller {
    /// Who it is, in the record of changes: names of tokens are each namespace's own.
    pub(super) fn who(&self) -> Option<String> {
        let name = self.name.as_deref()?;
        Some(self.namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}")))
    }
}

/// What is known of whoever shows a token: its name, its role, and where it counts.
struct Known {
    name: Arc<str>,
    role: Role,
    namespace: Option<Namespace>,
    is_of_provider: bool,
}

/// A token that no store has: from the settings, or made by `pawl dev`.
#[derive(Debug, Clone)]
pub(super) struct OwnToken {
    name: Arc<str>,
    hash: blake3::Hash,
}

impl OwnToken {
    pub(super) fn of(name: &str, text: &str) -> Self {
        Self { name: name.into(), hash: blake3::hash(text.as_bytes()) }
    }
}

/// Decides about requests; cheap to clone.
#[derive(Clone)]
pub(super) struct Access(Arc<Inner>);

struct Inner {
    own: Vec<OwnToken>,
    oidc: Option<Oidc>,
    /// Only this machine can connect.
    is_local: bool,
    looked_up: LookedUp,
    failures: Mutex<Failures>,
    /// Whose word for where a request comes from counts.
    proxies: Proxies,
}

/// Why somebody is not let in.
enum Refused {
    /// The token is none; the words follow on "the token ".
    Wrong(String),
    Problem(Problem),
}

impl From<oidc::Refused> for Refused {
    fn from(refused: oidc::Refused) -> Self {
        match refused {
            oidc::Refused::Wrong(why) => Self::Wrong(why),
            oidc::Refused::NoRole(why) => Self::Problem(Problem::no_role(why)),
            oidc::Refused::Unavailable(why) => Self::Problem(Problem::unavailable(why)),
        }
    }
}

impl Access {
    /// For a process with tokens of its own, or none, and those of a provider, if there is one; `failures` are wrong tokens of one address in a row that are looked at.
    pub(super) fn new(
        own: Vec<OwnToken>,
        oidc: Option<Oidc>,
        is_local: bool,
        store: SharedStore,
        fits: Arc<AtomicBool>,
        failures: u32,
        proxies: Proxies,
    ) -> Self {
        Self(Arc::new(Inner {
            own,
            oidc,
            is_local,
            looked_up: LookedUp::new(store, fits),
            failures: Mutex::new(Failures::new(failures)),
            proxies,
        }))
    }

    /// Where a request comes from: the other end of its connection, or what a proxy says that was named.
    pub(super) fn source_of(&self, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
        let peer = extensions.get::<Source>();
        let peer = peer.map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |Source(address)| *address);
        if self.0.proxies.are_none() {
            return peer;
        }
        let lines = |name: HeaderName| {
            let all = headers.get_all(name).into_iter();
            // What is no text is no address.
            all.map(|line| line.to_str().unwrap_or_default()).collect::<Vec<_>>()
        };
        let (by_x, forwarded) = (lines(HeaderName::from_static("x-forwarded-for")), lines(FORWARDED));
        self.0.proxies.client(peer, by_x.into_iter(), forwarded.into_iter())
    }

    /// Lets a request pass that may, as its caller; or says why not.
    pub(super) async fn check(&self, wanted: Role, headers: &HeaderMap, source: IpAddr) -> Result<Caller> {
        let caller = match bearer(headers) {
            None => self.without_token(source).await?,
            Some(text) => self.with_token(text, headers, source).await?,
        };
        if caller.role < wanted {
            return Err(Problem::too_small_a_role(caller.name.as_deref(), caller.role, wanted));
        }
        Ok(caller)
    }

    /// Whoever shows no token; that is no attempt to guess one.
    async fn without_token(&self, source: IpAddr) -> Result<Caller> {
        if !self.0.is_local || !self.0.own.is_empty() || self.0.oidc.is_some() || self.0.looked_up.has_tokens().await? {
            return Err(if self.is_dev() { Problem::no_dev_token() } else { Problem::no_token() });
        }
        Ok(Caller { name: None, role: Role::Admin, namespace: None, is_of_provider: false, source })
    }

    async fn with_token(&self, text: &str, headers: &HeaderMap, source: IpAddr) -> Result<Caller> {
        let hash = blake3::hash(text.as_bytes());
        if lock(&self.0.failures).is_slowed(source, &hash, Instant::now()) {
            return Err(Problem::too_many_failures());
        }
        let found = self.named(text, headers, hash).await;
        match found {
            Ok(Known { name, role, namespace, is_of_provider }) => {
                lock(&self.0.failures).passed(source, hash);
                Ok(Caller { name: Some(name), role, namespace, is_of_provider, source })
            }
            Err(Refused::Problem(problem)) => Err(problem),
            Err(Refused::Wrong(why)) => {
                lock(&self.0.failures).failed(source, Instant::now());
                tracing::info!(%source, "a token was refused: it {why}");
                Err(Problem::wrong_token(&why))
            }
        }
    }

    /// Whether this is `pawl dev`, which has made its token itself.
    fn is_dev(&self) -> bool {
        self.0.own.iter().any(|own| &*own.name == DEV_TOKEN)
    }

    /// Whose token it is. Texts are compared as digests, which takes the same time wherever they differ.
    async fn named(&self, text: &str, headers: &HeaderMap, hash: blake3::Hash) -> std::result::Result<Known, Refused> {
        // Each is compared, so that the time does not tell which one it was.
        let own = self.0.own.iter().fold(None, |found, own| if own.hash == hash { Some(own) } else { found });
        if let Some(own) = own {
            let name = Arc::clone(&own.name);
            return Ok(Known { name, role: Role::Admin, namespace: None, is_of_provider: false });
        }
        if let Some(oidc) = self.0.oidc.as_ref().filter(|_| Oidc::is_meant(text)) {
            let (name, role, places) = oidc.identify(text).await?;
            let named = whose::named(headers).map_err(Refused::Problem)?;
            let one = places.one(named.as_ref());
            let namespace = one.map_err(|why| oidc::Refused::NoRole(format!("the token `{name}` {why}")))?;
            return Ok(Known { name, role, namespace, is_of_provider: true });
        }
        match text.parse::<TokenText>() {
            Ok(token) => {
                let known = self.0.looked_up.find(token.digest()).await?;
                Ok(Known { name: known.name, role: known.role, namespace: known.namespace, is_of_provider: false })
            }
            Err(NoToken::Foreign) => Err(Refused::Wrong(
                match self.is_dev() {
                    true => "is not the one of this `pawl dev`: compare it with the file `token` in its folder (.pawl)",
                    false => {
                        "is not the one of this API: compare it with the PAWL_API_TOKEN that the API was started with"
                    }
                }
                .to_owned(),
            )),
            Err(why) => Err(Refused::Wrong(format!("can't be one of this API: {why}"))),
        }
    }
}

/// The token that a request shows, if it shows one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_after_the_word_bearer() {
        for (header, token) in [
            (Some("Bearer abc"), Some("abc")),
            (Some("bearer  abc "), Some("abc")),
            (Some("Bearer"), None),
            (Some("Basic abc"), None),
            (Some("abc"), None),
            (None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().unwrap());
            }
            assert_eq!(bearer(&headers), token, "{header:?}");
        }
    }
}

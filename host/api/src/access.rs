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

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap};
use looked_up::LookedUp;
use pawl_base::lock;
use pawl_domain::access::Role;
use pawl_domain::namespace::Namespace;
use pawl_domain::token::{NoToken, TokenText};
use pawl_store::SharedStore;

use super::failures::Failures;
use super::oidc::{self, Oidc};
use super::problem::Result;
use super::tokens::DEV_TOKEN;
use super::types::Problem;

mod looked_up;

/// Where a request comes from: the address at the other end of its connection, which is a proxy's if there is one.
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
type Known = (Arc<str>, Role, Option<Namespace>);

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
    ) -> Self {
        Self(Arc::new(Inner {
            own,
            oidc,
            is_local,
            looked_up: LookedUp::new(store, fits),
            failures: Mutex::new(Failures::new(failures)),
        }))
    }

    /// Lets a request pass that may, as its caller; or says why not.
    pub(super) async fn check(&self, wanted: Role, headers: &HeaderMap, source: IpAddr) -> Result<Caller> {
        let caller = match bearer(headers) {
            None => self.without_token(source).await?,
            Some(text) => self.with_token(text, source).await?,
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
        Ok(Caller { name: None, role: Role::Admin, namespace: None, source })
    }

    async fn with_token(&self, text: &str, source: IpAddr) -> Result<Caller> {
        let hash = blake3::hash(text.as_bytes());
        if lock(&self.0.failures).is_slowed(source, &hash, Instant::now()) {
            return Err(Problem::too_many_failures());
        }
        let found = self.named(text, hash).await;
        match found {
            Ok((name, role, namespace)) => {
                lock(&self.0.failures).passed(source, hash);
                Ok(Caller { name: Some(name), role, namespace, source })
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
    async fn named(&self, text: &str, hash: blake3::Hash) -> std::result::Result<Known, Refused> {
        // Each is compared, so that the time does not tell which one it was.
        let own = self.0.own.iter().fold(None, |found, own| if own.hash == hash { Some(own) } else { found });
        if let Some(own) = own {
            return Ok((Arc::clone(&own.name), Role::Admin, None));
        }
        if let Some(oidc) = self.0.oidc.as_ref().filter(|_| Oidc::is_meant(text)) {
            let (name, role) = oidc.identify(text).await?;
            return Ok((name, role, None));
        }
        match text.parse::<TokenText>() {
            Ok(token) => {
                let known = self.0.looked_up.find(token.digest()).await?;
                Ok((known.name, known.role, known.namespace))
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

/// Where a request comes from.
pub(super) fn source_of(request: &Extensions) -> IpAddr {
    let source = request.get::<Source>();
    source.map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |Source(address)| *address)
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

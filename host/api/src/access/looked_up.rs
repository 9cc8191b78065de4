//! What the store has said of tokens, kept for a moment.
//!
//! What was looked up is good for [`FRESH`]: so long a revoked token is let in at most. While the store does not answer, what
//! it said last counts, for [`STALE`]: figures must be told then of all times, and what needs the store fails anyway. The first
//! request finds that out; from then on one asks beside the requests, once in [`FRESH`], until there is an answer
//! ([`silence`]), and none of those that go by what is known waits for what does not come.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::lock;
use pawl_domain::access::Role;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_store::tokens::{Standing, TokenRow};
use pawl_store::{self as store, SharedStore};

use super::Refused;
use crate::problem::Result;
use crate::unmigrated;

mod silence;

use silence::Silence;

/// How long an answer of the store is good for.
const FRESH: Duration = Duration::from_secs(1);

/// And how long it counts while the store does not answer.
const STALE: Duration = Duration::from_secs(300);

/// How long it has for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tokens that are kept in memory.
const KEPT: usize = 4_096;

/// Tokens of the store, by what it said of them.
pub(super) struct LookedUp {
    store: SharedStore,
    /// The store's schema was seen to be one that this build works with.
    fits: Arc<AtomicBool>,
    known: Mutex<HashMap<Digest, Known>>,
    /// Whether a token was ever made here, as the store said last, and when.
    has_tokens: Mutex<Option<(bool, Instant)>>,
    /// One asks for it for all who wait.
    asking: tokio::sync::Mutex<()>,
    silence: Arc<Silence>,
}

/// A token that was good when the store said something of it.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    pub(super) namespace: Option<Namespace>,
    said_at: Instant,
    until: Option<Instant>,
    /// One asks for all who wait.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl Known {
    /// Whether it need not be asked for; `is_silent`: the store does not answer.
    fn counts(&self, is_silent: bool) -> bool {
        (is_silent || self.said_at.elapsed() < FRESH) && self.is_good()
    }

    /// Whether it counts while the store does not answer.
    fn is_good(&self) -> bool {
        self.said_at.elapsed() < STALE && self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl LookedUp {
    pub(super) fn new(store: SharedStore, fits: Arc<AtomicBool>) -> Self {
        let silence = Arc::new(Silence::new(Arc::clone(&store), Arc::clone(&fits)));
        Self {
            store,
            fits,
            known: Mutex::default(),
            has_tokens: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            silence,
        }
    }

    /// The token with this digest, if it is good.
    pub(super) async fn find(&self, digest: Digest) -> std::result::Result<Known, Refused> {
        let Some(known) = self.known(digest) else { return self.ask(digest, Arc::default()).await };
        if known.counts(self.silence.is_there()) {
            return Ok(known);
        }
        let _turn = known.looking.lock().await;
        if let Some(known) = self.known(digest).filter(|known| known.counts(self.silence.is_there())) {
            return Ok(known);
        }
        match self.ask(digest, Arc::clone(&known.looking)).await {
            Err(Refused::Problem(_)) if known.is_good() => Ok(known.clone()),
            Err(Refused::Problem(problem)) => {
                lock(&self.known).remove(&digest);
                Err(Refused::Problem(problem))
            }
            asked => asked,
        }
    }

    fn known(&self, digest: Digest) -> Option<Known> {
        lock(&self.known).get(&digest).cloned()
    }

    async fn ask(&self, digest: Digest, looking: Arc<tokio::sync::Mutex<()>>) -> std::result::Result<Known, Refused> {
        let asked = async {
            unmigrated::check(&self.fits, &*self.store).await?;
            self.store.token(digest).await
        };
        let looked_at = Instant::now();
        let asked = store::within(PATIENCE, asked).await.inspect_err(|error| self.silence.may_begin(error));
        let row = asked.map_err(|error| Refused::Problem(error.into()))?;
        let judged = judge(row, looked_at, looking);
        let mut kept = lock(&self.known);
        match &judged {
            Ok(known) => {
                if kept.len() >= KEPT {
                    kept.retain(|_, known| known.counts(self.silence.is_there()));
                }
                if kept.len() < KEPT {
                    kept.insert(digest, known.clone());
                }
            }
            Err(_) => drop(kept.remove(&digest)),
        }
        judged
    }

    /// Whether a token was ever made here.
    pub(super) async fn has_tokens(&self) -> Result<bool> {
        if let Some(said) = self.said_of_tokens() {
            return said;
        }
        let _turn = self.asking.lock().await;
        if let Some(said) = self.said_of_tokens() {
            return said;
        }
        let asked = async {
            unmigrated::check(&self.fits, &*self.store).await?;
            self.store.has_tokens().await
        };
        let begun = Instant::now();
        match store::within(PATIENCE, asked).await.inspect_err(|error| self.silence.may_begin(error)) {
            Ok(has) => {
                *lock(&self.has_tokens) = Some((has, begun));
                Ok(has)
            }
            Err(error) => match *lock(&self.has_tokens) {
                Some((has, at)) if at.elapsed() < STALE => Ok(has),
                _ => Err(error.into()),
            },
        }
    }

    /// What need not be asked for.
    fn said_of_tokens(&self) -> Option<Result<bool>> {
        let (said, is_silent) = (*lock(&self.has_tokens), self.silence.is_there());
        match said {
            // That can't change any more.
            Some((true, _)) => Some(Ok(true)),
            Some((false, at)) if at.elapsed() < if is_silent { STALE } else { FRESH } => Some(Ok(false)),
            _ if is_silent => Some(Err(self.silence.error().into())),
            _ => None,
        }
    }
}

fn judge(
    row: Option<TokenRow>,
    looked_at: Instant,
    looking: Arc<tokio::sync::Mutex<()>>,
) -> std::result::Result<Known, Refused> {
    let Some(row) = row else {
        let why = "is not known here: it was made elsewhere, or the store is another one";
        return Err(Refused::Wrong(why.to_owned()));
    };
    let over = |what: &str| {
        let TokenRow { name, role, .. } = &row;
        let fix = format!("`pawl token create NAME --role {role}` makes another one");
        Err(Refused::Wrong(format!("`{name}` {what}: {fix}")))
    };
    match row.standing {
        Standing::Revoked => over("was revoked"),
        Standing::Expired => over("has expired"),
        Standing::Good(left_ms) => Ok(Known {
            name: row.name.as_str().into(),
            role: row.role,
            namespace: row.namespace,
            said_at: looked_at,
            until: left_ms.and_then(|ms| looked_at.checked_add(Duration::from_millis(ms))),
            looking,
        }),
    }
}

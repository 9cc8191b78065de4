//! The issuer's public keys. They are asked for when somebody needs one, kept, and asked for again when they are old or a token
//! names one that is not among them: an issuer changes its keys by publishing a new one before it signs with it.
//!
//! | the keys are | a token names | what happens |
//! |---|---|---|
//! | younger than [`FRESH`] | one of them | it counts |
//! | younger than [`FRESH`] | another | they are asked for, not more often than each [`PAUSE`] |
//! | older | any | they are asked for; while that fails, what there is counts for [`STALE`] |

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use pawl_base::{is_loopback, lock};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Config, Refused, signatures};

/// How long keys are good for without a question.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// And how long they count while the issuer does not answer.
const STALE: Duration = Duration::from_secs(24 * 3_600);

/// Between two questions, so that tokens with invented keys ask the issuer for nothing.
const PAUSE: Duration = Duration::from_secs(10);

/// How long an answer may take, and how large it may be.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 1 << 20;

/// Where an issuer's document is, below its URL.
const DISCOVERY: &str = ".well-known/openid-configuration";

/// The keys of one issuer.
pub(super) struct Keys {
    http: Option<reqwest::Client>,
    issuer: String,
    /// As a person says, or as the issuer's document did.
    url: Mutex<Option<String>>,
    known: Mutex<Known>,
    /// One asks for all who wait.
    asking: tokio::sync::Mutex<()>,
}

/// What is known of them.
#[derive(Clone, Default)]
struct Known {
    keys: Option<(Arc<[Jwk]>, Instant)>,
    asked_at: Option<Instant>,
    /// Why the last question had no answer.
    why: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// As RFC 7517 has it; keys of kinds that are not known here may be among them.
#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl Keys {
    pub(super) fn new(config: &Config) -> Self {
        signatures::install();
        pawl_base::use_ring();
        let http = reqwest::Client::builder().redirect(Policy::none()).timeout(PATIENCE).build();
        Self {
            http: http.inspect_err(|error| tracing::error!(%error, "no keys of an issuer can be asked for")).ok(),
            issuer: config.issuer.clone(),
            url: Mutex::new(config.keys_url.clone()),
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The key that a token names, or the only one there is.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Refused> {
        let known = lock(&self.known).clone();
        if let Some(key) = known.found(id, algorithm, FRESH) {
            return key;
        }
        let _turn = match known.found(id, algorithm, STALE) {
            Some(key) => match self.asking.try_lock() {
                Ok(turn) => turn,
                Err(_) => return key,
            },
            None => self.asking.lock().await,
        };
        let known = lock(&self.known).clone();
        if let Some(key) = known.found(id, algorithm, FRESH) {
            return key;
        }
        if known.asked_at.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.ask().await;
        }
        let known = lock(&self.known).clone();
        if let Some(key) = known.found(id, algorithm, STALE) {
            return key;
        }
        Err(match known.why {
            Some(why) => Refused::Unavailable(format!("the keys of {} can't be had: {why}", self.issuer)),
            None => Refused::Wrong(match id {
                Some(id) => format!("is signed with the key {id:?}, which {} does not have", self.issuer),
                None => format!("does not say with which of the keys of {} it is signed", self.issuer),
            }),
        })
    }

    async fn ask(&self) {
        let asked = self.asked().await;
        let mut known = lock(&self.known);
        known.asked_at = Some(Instant::now());
        match asked {
            Ok(keys) => {
                known.keys = Some((keys, Instant::now()));
                known.why = None;
            }
            Err(why) => {
                tracing::warn!(issuer = self.issuer, why, "the keys of the issuer can't be had");
                known.why = Some(why);
            }
        }
    }

    async fn asked(&self) -> Result<Arc<[Jwk]>, String> {
        let said = lock(&self.url).clone();
        let url = match said {
            Some(url) => url,
            None => {
                let document: Document =
                    self.read(&format!("{}/{DISCOVERY}", self.issuer.trim_end_matches('/'))).await?;
                if document.issuer != self.issuer {
                    return Err(format!("its document is that of {:?}", document.issuer));
                }
                lock(&self.url).insert(document.jwks_uri).clone()
            }
        };
        let published: Published = self.read(&url).await?;
        Ok(published.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect())
    }

    async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        if !is_safe(url) {
            return Err(format!("{url:?} is no https URL"));
        }
        let failed = |what: &str| format!("{url} {what}");
        let http = self.http.as_ref().ok_or("this process can't ask over HTTP")?;
        let mut answer = http
            .get(url)
            .send()
            .await
            .map_err(|error| failed(if error.is_timeout() { "does not answer" } else { "can't be reached" }))?;
        if !answer.status().is_success() {
            return Err(failed(&format!("answers {}", answer.status())));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| failed("does not answer completely"))? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(failed("answers with more than a mebibyte"));
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(|error| failed(&format!("answers with something else: {error}")))
    }
}

impl Known {
    /// The key, if it is among those that are younger than that; or why it can't be used.
    fn found(&self, id: Option<&str>, algorithm: Algorithm, age: Duration) -> Option<Result<DecodingKey, Refused>> {
        let (keys, _) = self.keys.as_ref().filter(|(_, said_at)| said_at.elapsed() < age)?;
        let mut fitting = keys.iter().filter(|key| is_for(key, algorithm));
        let key = match id {
            Some(id) => fitting.find(|key| key.common.key_id.as_deref() == Some(id))?,
            // Of several it can't be known which.
            None => fitting.next().filter(|_| fitting.next().is_none())?,
        };
        Some(
            DecodingKey::from_jwk(key)
                .map_err(|error| Refused::Wrong(format!("is signed with a key that can't be used ({error})"))),
        )
    }
}

/// Whether the key is one for signatures of that algorithm: of its kind, and not kept for another.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(_) => AlgorithmFamily::Ec,
        AlgorithmParameters::OctetKeyPair(_) => AlgorithmFamily::Ed,
        _ => return false,
    };
    kind == algorithm.family()
        && !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))
        && key.common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm))
}

/// Keys that others could put in their place are no keys.
pub fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    url.scheme() == "https" || (url.scheme() == "http" && url.host_str().is_some_and(is_loopback))
}

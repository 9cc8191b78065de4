//! Tokens of an identity provider, as the second way in: JSON Web Tokens (RFC 7519) of one issuer, for one audience, as OpenID
//! Connect has them. What one of its claims says becomes a role, what another one says the namespaces where it counts; nothing
//! of them is stored.
//!
//! ```text
//!  Bearer x.y.z ─▶ head: an algorithm of two keys, which key ─▶ the issuer's keys, see `keys`
//!                                                                  │
//!        role ◀── claims by the settings ◀── issuer, audience, time ◀── signature, see `signatures`
//! ```

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use pawl_domain::access::Role;
use serde_json::{Map, Value};

use keys::Keys;
pub use keys::is_safe;
pub use places::Place;
use places::Places;

mod keys;
mod places;
mod signatures;

/// Those of two keys: nobody who can check a token can make one.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// How far its clock may be from ours, s.
const LEEWAY_S: u64 = 60;

/// The longest name that is told, characters.
const LONGEST_NAME: usize = 200;

/// What stands before names of the provider, and in no name of a token.
const PREFIX: &str = "oidc:";

/// A provider, and what its words mean here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// As tokens name it, a URL.
    pub issuer: String,
    /// As tokens name this installation.
    pub audience: String,
    /// Where its keys are; `None`: where its own document says (OpenID Connect Discovery 1.0).
    pub keys_url: Option<String>,
    /// The claim that names its bearer.
    pub name_claim: String,
    /// The claim that has words for what its bearer may do; of a claim within others, their names with dots between them.
    pub role_claim: String,
    /// These words, and what they mean; `*` is for whoever has a good token.
    pub roles: Vec<(String, Role)>,
    /// The claim that has words for where it counts, as above.
    pub namespace_claim: String,
    /// These words, and what they mean; `*` is for whoever has a good token. Without a word of them it counts nowhere.
    pub namespaces: Vec<(String, Place)>,
}

/// Looks at tokens of one provider.
pub(super) struct Oidc {
    config: Config,
    keys: Keys,
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no good token; the words follow on "the token ".
    Wrong(String),
    /// It is one, and says of nobody that is known here what they may do.
    NoRole(String),
    /// The issuer's keys can't be had.
    Unavailable(String),
}

impl Oidc {
    pub(super) fn new(config: Config) -> Self {
        Self { keys: Keys::new(&config), config }
    }

    /// Whether that looks like a token of a provider: three parts, the first of which is a JSON object in base64.
    pub(super) fn is_meant(text: &str) -> bool {
        text.starts_with("ey") && text.split('.').count() == 3
    }

    /// Whose token it is, what they may do, and where.
    pub(super) async fn identify(&self, text: &str) -> Result<(Arc<str>, Role, Places), Refused> {
        let head = decode_header(text).map_err(|error| self.wrong(&error))?;
        if !ALGORITHMS.contains(&head.alg) {
            return Err(Refused::Wrong(format!("is signed by {:?}, which is not one of two keys", head.alg)));
        }
        let key = self.keys.find(head.kid.as_deref(), head.alg).await?;
        let mut wanted = Validation::new(head.alg);
        wanted.leeway = LEEWAY_S;
        wanted.validate_nbf = true;
        wanted.set_audience(&[&self.config.audience]);
        wanted.set_issuer(&[&self.config.issuer]);
        wanted.required_spec_claims = ["exp", "iss", "aud"].map(str::to_owned).into();
        let claims = decode::<Map<String, Value>>(text, &key, &wanted).map_err(|error| self.wrong(&error))?.claims;
        let name = self.name(&claims)?;
        let refused = |why| Refused::NoRole(format!("the token `{name}` {why}"));
        let role = self.role(&claims).map_err(refused)?;
        let places = self.places(&claims).map_err(refused)?;
        Ok((name, role, places))
    }

    fn name(&self, claims: &Map<String, Value>) -> Result<Arc<str>, Refused> {
        let claim = &self.config.name_claim;
        match claims.get(claim).and_then(Value::as_str).map(str::trim) {
            Some(name)
                if !name.is_empty() && name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control) =>
            {
                Ok(format!("{PREFIX}{name}").into())
            }
            Some(_) => Err(Refused::Wrong(format!("names its bearer in `{claim}` by what is no name"))),
            None => Err(Refused::Wrong(format!("has no claim `{claim}`, by which its bearer would be named"))),
        }
    }

    /// The highest of those that its words mean; or why there is none.
    fn role(&self, claims: &Map<String, Value>) -> Result<Role, String> {
        let words = words(claims, &self.config.role_claim);
        let means = |(word, role): &(String, Role)| (word == "*" || words.contains(&&**word)).then_some(*role);
        let found = self.config.roles.iter().filter_map(means).max();
        found.ok_or_else(|| nothing(&words, &self.config.role_claim, "oidc_roles", "a role"))
    }

    /// Where its words say that it counts; or why nowhere.
    fn places(&self, claims: &Map<String, Value>) -> Result<Places, String> {
        let (claim, meant) = (&self.config.namespace_claim, &self.config.namespaces);
        let words = words(claims, claim);
        Places::of(&words, meant).ok_or_else(|| nothing(&words, claim, "oidc_namespaces", "a namespace"))
    }

    /// The words follow on "the token ".
    fn wrong(&self, error: &jsonwebtoken::errors::Error) -> Refused {
        Refused::Wrong(match error.kind() {
            ErrorKind::ExpiredSignature => "has expired".to_owned(),
            ErrorKind::ImmatureSignature => "is not good yet".to_owned(),
            ErrorKind::InvalidIssuer => format!("is not of {}", self.config.issuer),
            ErrorKind::InvalidAudience => format!("is not for `{}`", self.config.audience),
            ErrorKind::InvalidSignature => format!("has a signature that is not of {}", self.config.issuer),
            ErrorKind::MissingRequiredClaim(claim) => format!("has no claim `{claim}`"),
            _ => format!("can't be read as one of {} ({error})", self.config.issuer),
        })
    }
}

/// Why these words of a claim come to nothing by a setting.
fn nothing(words: &[&str], claim: &str, setting: &str, what: &str) -> String {
    match words {
        [] => format!("has nothing in `{claim}`, and `{setting}` asks for one of its words"),
        some => format!("has {some:?} in `{claim}`, and `{setting}` has {what} for none of them"),
    }
}

/// The words of a claim: those of a list, or of a text with blanks between them, as `scope` has them (RFC 8693, section 4.2).
fn words<'a>(claims: &'a Map<String, Value>, path: &str) -> Vec<&'a str> {
    // A name with dots of its own, such as a URL, comes before a path.
    let claim = claims.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |within, name| within.get(name))
    });
    match claim {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => text.split_whitespace().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;

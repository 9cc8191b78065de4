//! Which components may be let in, if that is not left to whoever may deploy: those whose digests are listed, and those that
//! somebody has signed whose key is listed. It is asked at each push, before anything is compiled, and at each activation and
//! rollback. The files are read each time, so that what changes in them counts at once; nothing of it is stored.
//!
//! ```text
//!  push, activate, rollback ─▶ digest ─▶ listed? ────────────────────────────▶ goes on
//!                                          │ no
//!                                          └▶ signed by a key that is listed? ─▶ goes on
//!                                               │ no
//!                                               └▶ refused, with the fix
//! ```

use std::path::{Path, PathBuf};

use axum::http::HeaderMap;
use pawl_base::signature::{PublicKey, Signature};
use pawl_domain::id::Digest;

use super::problem::Result;
use super::state::AppState;
use super::types::Problem;

/// The header with a signature of a component.
pub const SIGNATURE: &str = "pawl-signature";

/// What is signed of a component.
///
/// ```
/// # use pawl_domain::id::Digest;
/// let text = pawl_api::trusted::message_of(Digest::of(b""));
/// assert!(text.starts_with("pawl component v1 af1349b9") && text.ends_with("41f3262\n"));
/// ```
#[must_use]
pub fn message_of(digest: Digest) -> String {
    format!("pawl component v1 {digest}\n")
}

/// The files that say what is trusted; without any, all is.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Digests of components, a line each; what follows on a blank is for people, and so are lines that begin with `#`.
    pub digests: Option<PathBuf>,
    /// Public keys of Ed25519, in PEM.
    pub keys: Option<PathBuf>,
}

/// What the files have said.
#[derive(Debug, Default)]
struct Trusted {
    digests: Vec<Digest>,
    keys: Vec<PublicKey>,
}

impl Policy {
    /// Whether the files can be read, and are what they should be.
    ///
    /// # Errors
    /// What is wrong, with the setting.
    pub fn check(&self) -> std::result::Result<(), String> {
        self.read().map(drop)
    }

    fn is_set(&self) -> bool {
        self.digests.is_some() || self.keys.is_some()
    }

    fn read(&self) -> std::result::Result<Trusted, String> {
        let mut trusted = Trusted::default();
        if let Some(file) = &self.digests {
            let wrong = |why: String| format!("trusted_digests: {}: {why}", file.display());
            let text = String::from_utf8(bytes_of("trusted_digests", file)?);
            let text = text.map_err(|_| wrong("it is no text in UTF-8".to_owned()))?;
            trusted.digests = digests_in(&text).map_err(wrong)?;
        }
        if let Some(file) = &self.keys {
            let keys = PublicKey::all_in(&bytes_of("trusted_keys", file)?);
            trusted.keys = keys.map_err(|why| format!("trusted_keys: {}: {why}", file.display()))?;
        }
        Ok(trusted)
    }
}

fn bytes_of(setting: &str, file: &Path) -> std::result::Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{setting}: can't read {}: {error}", file.display()))
}

fn digests_in(text: &str) -> std::result::Result<Vec<Digest>, String> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = |(place, line): (usize, &str)| {
        let word = line.split_whitespace().next().unwrap_or_default();
        let rule = "does not begin with a digest of 64 hexadecimal digits, as `pawl plugin list -o json` tells it";
        word.parse().map_err(|_| format!("line {} {rule}", place + 1))
    };
    lines.map(read).collect()
}

impl Trusted {
    /// Whether a component may be let in, or why not; `policy` names the files.
    fn judge(&self, policy: &Policy, digest: Digest, signature: Option<&Signature>) -> std::result::Result<(), String> {
        let is_signed = |signature: &Signature| {
            self.keys.iter().any(|key| key.has_signed(message_of(digest).as_bytes(), signature))
        };
        if self.digests.contains(&digest) || signature.is_some_and(is_signed) {
            return Ok(());
        }
        let name = |file: &Option<PathBuf>| file.as_ref().map(|file| file.display().to_string());
        let listed = name(&policy.digests).map(|file| format!("list its digest in {file} (`trusted_digests`)"));
        let signed = name(&policy.keys).map(|file| {
            let sign = "sign it with `pawl plugin sign`, and send that along with `--signature FILE`";
            format!("{sign}, by a key whose public half is in {file} (`trusted_keys`)")
        });
        let fix: Vec<String> = listed.into_iter().chain(signed).collect();
        let what = match (signature, &policy.keys) {
            (Some(_), Some(_)) => {
                "is not trusted here: its signature is of other bytes, or by a key that is not listed"
            }
            _ => "is not trusted here",
        };
        Err(format!("the component {digest} {what}; {}", fix.join("; or ")))
    }
}

/// Refuses a component that the policy does not let in; the request may have a signature of it.
pub(super) async fn check(state: &AppState, digest: Digest, headers: &HeaderMap) -> Result<()> {
    if !state.trusted.is_set() {
        return Ok(());
    }
    let signature = headers.get(SIGNATURE).map(|value| value.to_str().unwrap_or_default().parse::<Signature>());
    let signature =
        signature.transpose().map_err(|rule| Problem::bad_request(format!("the header `{SIGNATURE}`: {rule}")))?;
    let policy = state.trusted.clone();
    let judged = state.check(move || {
        let trusted = policy.read().inspect_err(|why| tracing::error!("nothing is let in: {why}"))?;
        trusted.judge(&policy, digest, signature.as_ref())
    });
    judged.await?.map_err(Problem::untrusted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_base::signature::PrivateKey;

    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    const OTHER_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAxKV1S6TNbFv0P8hsI7Y4dLxT+PwA/9hVmcPYD+4Q2SE=\n-----END PUBLIC KEY-----\n";

    fn policy(folder: &Path, digests: Option<&str>, keys: Option<&str>) -> Policy {
        let write = |name: &str, text: Option<&str>| {
            text.map(|text| {
                let file = folder.join(name);
                std::fs::write(&file, text).unwrap();
                file
            })
        };
        Policy { digests: write("digests", digests), keys: write("keys.pem", keys) }
    }

    #[test]
    fn what_is_listed_or_signed_is_trusted_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let (good, other) = (Digest::of(b"good"), Digest::of(b"other"));
        let sign = |digest| PrivateKey::read(PRIVATE.as_bytes()).unwrap().sign(message_of(digest).as_bytes());
        let listed = format!("# ours\n\n{good}  target/plugins/echo.wasm\n");
        let refused = |digests: Option<&str>, keys: Option<&str>, digest, signature: Option<Signature>| {
            let policy = policy(folder.path(), digests, keys);
            policy.read().unwrap().judge(&policy, digest, signature.as_ref()).err()
        };
        assert_eq!(refused(Some(&listed), None, good, None), None);
        assert_eq!(refused(None, Some(PUBLIC), good, Some(sign(good))), None);
        assert_eq!(refused(Some(&listed), Some(OTHER_PUBLIC), good, Some(sign(other))), None, "one of both is enough");
        assert_eq!(refused(None, Some(&format!("{OTHER_PUBLIC}{PUBLIC}")), good, Some(sign(good))), None);
        for (digests, keys, digest, signature, says) in [
            (Some(&*listed), None, other, None, "list its digest in "),
            (Some(&listed), None, other, Some(sign(other)), "list its digest in "),
            (None, Some(PUBLIC), good, None, "sign it with `pawl plugin sign`"),
            (None, Some(PUBLIC), good, Some(sign(other)), "its signature is of other bytes, or by a key"),
            (None, Some(OTHER_PUBLIC), good, Some(sign(good)), "its signature is of other bytes, or by a key"),
            (Some(""), Some(OTHER_PUBLIC), good, Some(sign(good)), "; or sign it with"),
        ] {
            let why = refused(digests, keys, digest, signature).expect(says);
            assert!(why.contains(says) && why.contains(&digest.to_string()), "{why}");
        }
    }

    #[test]
    fn a_file_that_is_none_is_told_with_its_setting_and_its_place() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Policy::default().check(), Ok(()));
        for (digests, keys, says) in [
            (Some("# one\nabc\n"), None, "line 2 does not begin with a digest"),
            (None, Some(""), "there is no public key in it"),
            (None, Some(PRIVATE), "there is no public key in it"),
        ] {
            let why = policy(folder.path(), digests, keys).check().unwrap_err();
            assert!(why.contains(says) && why.starts_with("trusted_"), "{why}");
        }
        let nowhere = Policy { digests: Some(folder.path().join("nowhere")), keys: None };
        assert!(nowhere.check().unwrap_err().starts_with("trusted_digests: can't read "));
    }
}

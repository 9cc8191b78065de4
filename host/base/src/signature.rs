//! Signatures of Ed25519: who has the private key makes them, who has the public one checks them. Keys are those that `openssl
//! genpkey -algorithm ed25519` makes, signatures are 128 hexadecimal digits. No message and no log line has a private key.

use std::fmt;
use std::str::FromStr;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

const SIGNATURE_BYTES: usize = 64;
const KEY_BYTES: usize = 32;

/// What stands before the bytes of a public key of this kind, as RFC 8410 has it.
const PUBLIC_KEY_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a text is no key, or no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// No public key.
    #[error(
        "there is no public key in it: `openssl pkey -in private.pem -pubout` writes one, which begins with \"-----BEGIN PUBLIC KEY\""
    )]
    NoPublicKey,
    /// One of another kind.
    #[error("public key {0} in it is not one of Ed25519: make keys with `openssl genpkey -algorithm ed25519`")]
    OtherKey(usize),
    /// No private key.
    #[error(
        "it is no private key of Ed25519 (PKCS #8, PEM or DER): make one with `openssl genpkey -algorithm ed25519`"
    )]
    NoPrivateKey,
    /// No signature.
    #[error("a signature is 128 hexadecimal digits, as `pawl plugin sign` writes it")]
    NoSignature,
}

/// A signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

/// Hexadecimal digits.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// As it is displayed; blanks and line breaks around it are none of it.
impl FromStr for Signature {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * SIGNATURE_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Bad::NoSignature);
        }
        let mut bytes = [0; SIGNATURE_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| Bad::NoSignature)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| Bad::NoSignature)?;
        }
        Ok(Self(bytes))
    }
}

/// What checks signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// All of a file, in PEM, one or more.
    ///
    /// # Errors
    /// [`Bad`], also if there is none.
    pub fn all_in(pem: &[u8]) -> Result<Vec<Self>, Bad> {
        let read = |(place, found): (usize, Result<SubjectPublicKeyInfoDer<'_>, _>)| {
            let other = Bad::OtherKey(place + 1);
            let der = found.map_err(|_| other)?;
            let bytes = der.strip_prefix(&PUBLIC_KEY_HEAD[..]).and_then(|bytes| bytes.try_into().ok());
            bytes.map(Self).ok_or(other)
        };
        let keys: Vec<Self> =
            SubjectPublicKeyInfoDer::pem_slice_iter(pem).enumerate().map(read).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(Bad::NoPublicKey) } else { Ok(keys) }
    }

    /// Whether whoever has the private key has signed that.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, &signature.0).is_ok()
    }
}

/// What makes signatures.
pub struct PrivateKey(Ed25519KeyPair);

/// It stands in no log.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PrivateKey {
    /// That of a file: PKCS #8, in PEM or DER.
    ///
    /// # Errors
    /// [`Bad::NoPrivateKey`].
    pub fn read(file: &[u8]) -> Result<Self, Bad> {
        let pem = PrivatePkcs8KeyDer::from_pem_slice(file).ok();
        let der = pem.as_ref().map_or(file, |der| der.secret_pkcs8_der());
        // What openssl writes has no public key along.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self).map_err(|_| Bad::NoPrivateKey)
    }

    /// What [`PublicKey::has_signed`] checks.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        Signature(bytes)
    }

    /// The other half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of RFC 8410; others, and the signature, are openssl's.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    const OTHER_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAxKV1S6TNbFv0P8hsI7Y4dLxT+PwA/9hVmcPYD+4Q2SE=\n-----END PUBLIC KEY-----\n";
    const OF_ANOTHER_KIND: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEANzWCdw/PgXEJSMbrCt3dzFYfdRGPXVAiB6x2vak/DX0=\n-----END PUBLIC KEY-----\n";
    const BY_OPENSSL: &str = "04716dc230d56dc35fa2c95a6645b287186dcf9d9dbddf3a0a7c58e30802c5d28a437a539882743b8aa20c5ea9c4a62992510b7f1e98af60c5c1e8a9c7764405";

    #[test]
    fn what_one_half_has_signed_the_other_half_knows_and_nothing_else() {
        let private = PrivateKey::read(PRIVATE.as_bytes()).unwrap();
        let [public] = PublicKey::all_in(PUBLIC.as_bytes()).unwrap()[..] else { panic!("there is one") };
        assert_eq!(private.public(), public);
        let signature = private.sign(b"a component");
        assert!(public.has_signed(b"a component", &signature));
        assert!(!public.has_signed(b"another component", &signature));
        assert_eq!(signature.to_string(), BY_OPENSSL, "as another program signs it");
        assert_eq!(format!(" {signature}\n").parse(), Ok(signature));
        let mut other = signature;
        other.0[7] ^= 1;
        assert!(!public.has_signed(b"a component", &other));
        let two = format!("{PUBLIC}{OTHER_PUBLIC}");
        let keys = PublicKey::all_in(two.as_bytes()).unwrap();
        assert_eq!(
            keys.iter().map(|key| key.has_signed(b"a component", &signature)).collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn what_is_no_key_or_no_signature_is_refused_with_the_way_to_one() {
        assert_eq!(PublicKey::all_in(b"").unwrap_err(), Bad::NoPublicKey);
        assert_eq!(PublicKey::all_in(PRIVATE.as_bytes()).unwrap_err(), Bad::NoPublicKey);
        let broken = format!("{PUBLIC}{OF_ANOTHER_KIND}");
        assert_eq!(PublicKey::all_in(broken.as_bytes()).unwrap_err(), Bad::OtherKey(2));
        for file in ["", PUBLIC, "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(PrivateKey::read(file.as_bytes()).unwrap_err(), Bad::NoPrivateKey);
        }
        assert_eq!(format!("{:?}", PrivateKey::read(PRIVATE.as_bytes()).unwrap()), "PrivateKey(…)");
        for text in ["", "00", &BY_OPENSSL[1..], &BY_OPENSSL.replace('a', "g"), &format!("{BY_OPENSSL}00")] {
            assert_eq!(text.parse::<Signature>(), Err(Bad::NoSignature), "{text:?}");
        }
    }
}

//! Envelope encryption: each text is sealed under a data key of its own, made of chance for it alone, and the data key is wrapped
//! under a master key, which stands elsewhere. A new master key costs a new wrapping of each data key, and no text is touched.
//!
//! ```text
//!  text ──sealed under──▶ data key (of chance, once) ──wrapped under──▶ the first master key
//!                                                    ◀─unwrapped by── whichever has the id that stands beside it
//! ```
//!
//! Both are AES-256-GCM. What they are about is bound in, and of a wrapping its key's id besides: bytes that were put in another
//! place do not open there. What is kept nowhere here is which settings keys come from, and what is sealed.

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Digits of a key's id.
const ID_DIGITS: usize = 16;

/// What ids are derived for, so that nothing else that is made of the key has the same digits.
const ID_CONTEXT: &str = "pawl 2026-11 the id of a master key";

/// The master keys of a process: the first seals, all open. None by default.
#[derive(Clone, Default)]
pub struct Keys(Arc<[Key]>);

struct Key {
    id: String,
    key: LessSafeKey,
}

/// Only the ids: no log has a key.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// A text under its data key, and that under a master key.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which master key.
    pub key_id: String,
    /// The data key, wrapped.
    pub wrapped: Vec<u8>,
    /// The text, sealed.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes under {}", self.bytes.len(), self.key_id)
    }
}

/// Why texts are no keys. None of them stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// There is nothing.
    #[error("there is no key in it: write one of 64 hexadecimal digits, for example from `openssl rand -hex 32`")]
    Empty,
    /// One is none.
    #[error("key {0} is not 64 hexadecimal digits: make one with `openssl rand -hex 32`")]
    Malformed(usize),
    /// One stands there twice.
    #[error("key {0} stands there twice")]
    Twice(usize),
}

/// Why something is not sealed, or does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// This process has no key at all.
    #[error("there is no master key here")]
    NoKey,
    /// It has others.
    #[error("it is sealed under the master key {0}, which is not here")]
    OtherKey(String),
    /// The key is right, and the bytes are others than were sealed, or were sealed for another place.
    #[error("its bytes are not those that were sealed")]
    Damaged,
    /// The system gives none.
    #[error("the system has no randomness for a key")]
    NoRandomness,
}

impl Keys {
    /// Reads keys: 64 hexadecimal digits each, with blanks, line breaks or commas between them. The first one seals.
    ///
    /// # Errors
    /// [`BadKeys`].
    pub fn read(text: &str) -> Result<Self, BadKeys> {
        let mut keys: Vec<Key> = Vec::new();
        let texts = text.split([',', ' ', '\t', '\r', '\n']).filter(|text| !text.is_empty());
        for (number, text) in (1..).zip(texts) {
            let key = Key::read(text).ok_or(BadKeys::Malformed(number))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(BadKeys::Twice(number));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(BadKeys::Empty) } else { Ok(Self(keys.into())) }
    }

    /// A key as it is written, made of the system's chance.
    ///
    /// # Errors
    /// [`Closed::NoRandomness`].
    pub fn random_text() -> Result<String, Closed> {
        Ok(random::<KEY_BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The id of the one that seals.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(|key| key.id.as_str())
    }

    /// Whether one has that id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    /// Seals a text that is about `about`.
    ///
    /// # Errors
    /// [`Closed::NoKey`], [`Closed::NoRandomness`].
    pub fn seal(&self, text: &[u8], about: &str) -> Result<Sealed, Closed> {
        let master = self.0.first().ok_or(Closed::NoKey)?;
        let data = random::<KEY_BYTES>()?;
        let bytes = seal(&key_of(&data).ok_or(Closed::Damaged)?, text, &about_text(about))?;
        let wrapped = seal(&master.key, &data, &about_key(about, &master.id))?;
        Ok(Sealed { key_id: master.id.clone(), wrapped, bytes })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn open(&self, sealed: &Sealed, about: &str) -> Result<Vec<u8>, Closed> {
        let data = self.unwrap(sealed, about)?;
        open(&key_of(&data).ok_or(Closed::Damaged)?, &sealed.bytes, &about_text(about))
    }

    /// The same under the first key; `None` if it is so already. The text is not opened.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn wrap_anew(&self, sealed: &Sealed, about: &str) -> Result<Option<Sealed>, Closed> {
        let master = self.0.first().ok_or(Closed::NoKey)?;
        if master.id == sealed.key_id {
            return Ok(None);
        }
        let data = self.unwrap(sealed, about)?;
        let wrapped = seal(&master.key, &data, &about_key(about, &master.id))?;
        Ok(Some(Sealed { key_id: master.id.clone(), wrapped, bytes: sealed.bytes.clone() }))
    }

    fn unwrap(&self, sealed: &Sealed, about: &str) -> Result<Vec<u8>, Closed> {
        if self.0.is_empty() {
            return Err(Closed::NoKey);
        }
        let master = self.0.iter().find(|key| key.id == sealed.key_id);
        let master = master.ok_or_else(|| Closed::OtherKey(sealed.key_id.clone()))?;
        open(&master.key, &sealed.wrapped, &about_key(about, &sealed.key_id))
    }
}

impl Key {
    fn read(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut bytes = [0; KEY_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        let id = blake3::Hash::from_bytes(blake3::derive_key(ID_CONTEXT, &bytes)).to_hex();
        Some(Self { id: id[..ID_DIGITS].to_owned(), key: key_of(&bytes)? })
    }
}

/// None of another length.
pub(crate) fn key_of(bytes: &[u8]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?))
}

fn about_text(about: &str) -> Vec<u8> {
    format!("text\n{about}").into_bytes()
}

fn about_key(about: &str, key_id: &str) -> Vec<u8> {
    format!("key\n{key_id}\n{about}").into_bytes()
}

/// The nonce, the text under it, and the tag. A data key seals once; a master key so few that nonces of chance don't meet.
pub(crate) fn seal(key: &LessSafeKey, text: &[u8], about: &[u8]) -> Result<Vec<u8>, Closed> {
    let nonce = random::<NONCE_LEN>()?;
    let mut sealed = text.to_vec();
    let under = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(under, Aad::from(about), &mut sealed).map_err(|_| Closed::Damaged)?;
    Ok([&nonce[..], &sealed[..]].concat())
}

pub(crate) fn open(key: &LessSafeKey, sealed: &[u8], about: &[u8]) -> Result<Vec<u8>, Closed> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Closed::Damaged)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Closed::Damaged)?;
    let mut text = text.to_vec();
    let length = key.open_in_place(nonce, Aad::from(about), &mut text).map_err(|_| Closed::Damaged)?.len();
    text.truncate(length);
    Ok(text)
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Closed> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Closed::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(digits: &str) -> Keys {
        let texts: Vec<String> = digits.chars().map(|digit| digit.to_string().repeat(2 * KEY_BYTES)).collect();
        Keys::read(&texts.join(",\n")).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_under_its_key_and_nowhere_else() {
        let old = keys("1");
        let sealed = old.seal(b"hunter2", "default/token/1").unwrap();
        assert_eq!(old.open(&sealed, "default/token/1"), Ok(b"hunter2".to_vec()));
        assert_eq!(keys("21").open(&sealed, "default/token/1"), Ok(b"hunter2".to_vec()), "whichever place its key has");
        assert_eq!(old.open(&sealed, "default/token/2"), Err(Closed::Damaged));
        assert_eq!(Keys::default().open(&sealed, "default/token/1"), Err(Closed::NoKey));
        assert_eq!(keys("2").open(&sealed, "default/token/1"), Err(Closed::OtherKey(sealed.key_id.clone())));
        let renamed = Sealed { key_id: keys("2").first().unwrap().to_owned(), ..sealed.clone() };
        assert_eq!(keys("21").open(&renamed, "default/token/1"), Err(Closed::Damaged), "the id is bound in");
        for cut in [0, 5, sealed.bytes.len() - 1] {
            let cut = Sealed { bytes: sealed.bytes[..cut].to_vec(), ..sealed.clone() };
            assert_eq!(old.open(&cut, "default/token/1"), Err(Closed::Damaged));
        }
        let again = old.seal(b"hunter2", "default/token/1").unwrap();
        assert!(again.bytes != sealed.bytes && again.wrapped != sealed.wrapped, "each has a key of its own");
        let mixed = Sealed { wrapped: again.wrapped, ..sealed };
        assert_eq!(old.open(&mixed, "default/token/1"), Err(Closed::Damaged));
    }

    #[test]
    fn a_new_master_key_wraps_the_data_key_anew_and_touches_no_text() {
        let sealed = keys("1").seal(b"hunter2", "x").unwrap();
        let both = keys("21");
        let anew = both.wrap_anew(&sealed, "x").unwrap().expect("it was under the other one");
        assert_eq!((anew.bytes.clone(), anew.key_id.as_str()), (sealed.bytes.clone(), both.first().unwrap()));
        assert_eq!(keys("2").open(&anew, "x"), Ok(b"hunter2".to_vec()), "the old one can go");
        assert_eq!(both.wrap_anew(&anew, "x"), Ok(None));
        assert_eq!(keys("3").wrap_anew(&sealed, "x"), Err(Closed::OtherKey(sealed.key_id)));
    }

    #[test]
    fn keys_are_hexadecimal_digits_and_neither_errors_nor_logs_have_them() {
        let text = Keys::random_text().unwrap();
        let read = Keys::read(&format!("  {text}\n")).unwrap();
        assert_eq!(read.first().unwrap().len(), ID_DIGITS);
        assert!(!text.contains(read.first().unwrap()) && !format!("{read:?}").contains(&text));
        assert_ne!(text, Keys::random_text().unwrap());
        for (wrong, why) in [
            (String::new(), BadKeys::Empty),
            (" ,\n".to_owned(), BadKeys::Empty),
            (format!("{text} {}", &text[1..]), BadKeys::Malformed(2)),
            ("g".repeat(64), BadKeys::Malformed(1)),
            (format!("{text},{}", text.to_uppercase()), BadKeys::Twice(2)),
        ] {
            let error = Keys::read(&wrong).unwrap_err();
            assert_eq!(error, why);
            assert!(!error.to_string().contains(&text[1..]));
        }
    }
}

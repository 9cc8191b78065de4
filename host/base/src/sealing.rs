//! Sealing of what is kept in many small pieces, so that one key makes all of them unreadable when it goes:
//!
//! ```text
//!  master keys ──wrap──▶ group key ──wraps──▶ key of one thing ──seals──▶ its pieces, each bound to its place
//!  (envelope)            few of them          one for each thing
//! ```
//!
//! AES-256-GCM throughout. A piece's nonce is made of the piece itself and its place, under a key for that alone (as in
//! synthetic-IV modes): the same piece at the same place has the same bytes, so that what is sent again after a lost answer is
//! known by its digest; whoever reads them learns that two pieces of one place are the same, and nothing else.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::envelope::{Closed, KEY_BYTES, Keys, Sealed, key_of, open, random, seal};

/// What a sealed piece begins with: a byte that no text in UTF-8 has.
const MARK: u8 = 0xf5;

/// Bytes that a piece has more than what was sealed.
pub const OVERHEAD: usize = 1 + NONCE_LEN + TAG;

const TAG: usize = 16;

/// What the parts of a key are derived for.
const SEALS: &str = "pawl 2026-11 the key that seals pieces";
const NONCES: &str = "pawl 2026-11 the key that nonces of pieces are made with";

/// Whether these bytes are a sealed piece, and no text.
#[must_use]
pub fn is_sealed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&MARK)
}

/// The key of a group of things.
pub struct GroupKey(LessSafeKey);

/// The key of one thing.
pub struct Key {
    seals: LessSafeKey,
    nonces: [u8; KEY_BYTES],
}

/// No log has a key.
impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey")
    }
}

/// No log has a key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl GroupKey {
    /// A new one of chance, as it is kept: under the first master key.
    ///
    /// # Errors
    /// [`Closed::NoKey`], [`Closed::NoRandomness`].
    pub fn make(keys: &Keys, about: &str) -> Result<Sealed, Closed> {
        keys.seal(&random::<KEY_BYTES>()?, about)
    }

    /// Opens one that is kept.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn open(keys: &Keys, kept: &Sealed, about: &str) -> Result<Self, Closed> {
        let bytes = keys.open(kept, about)?;
        key_of(&bytes).map(Self).ok_or(Closed::Damaged)
    }

    /// A new key for the thing called `about`, and how it is kept: under this one.
    ///
    /// # Errors
    /// [`Closed::NoRandomness`].
    pub fn new_key(&self, about: &str) -> Result<(Key, Vec<u8>), Closed> {
        let bytes = random::<KEY_BYTES>()?;
        let wrapped = seal(&self.0, &bytes, about.as_bytes())?;
        Ok((Key::of(&bytes)?, wrapped))
    }

    /// Opens one that is kept.
    ///
    /// # Errors
    /// [`Closed::Damaged`].
    pub fn key(&self, wrapped: &[u8], about: &str) -> Result<Key, Closed> {
        Key::of(&open(&self.0, wrapped, about.as_bytes())?)
    }
}

impl Key {
    fn of(bytes: &[u8]) -> Result<Self, Closed> {
        let seals = UnboundKey::new(&AES_256_GCM, &blake3::derive_key(SEALS, bytes)).map_err(|_| Closed::Damaged)?;
        Ok(Self { seals: LessSafeKey::new(seals), nonces: blake3::derive_key(NONCES, bytes) })
    }

    /// The piece, sealed for a place.
    ///
    /// # Panics
    /// Never: no piece has the 64 GiB that are too much.
    #[must_use]
    pub fn seal(&self, place: &str, piece: &[u8]) -> Vec<u8> {
        let nonce = self.nonce_of(place, piece);
        let mut sealed = Vec::with_capacity(piece.len() + OVERHEAD);
        sealed.push(MARK);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(piece);
        let (_, text) = sealed.split_at_mut(1 + NONCE_LEN);
        let under = Nonce::assume_unique_for_key(nonce);
        let tag = self.seals.seal_in_place_separate_tag(under, Aad::from(place.as_bytes()), text);
        sealed.extend_from_slice(tag.expect("no piece has 64 GiB").as_ref());
        sealed
    }

    /// What was sealed for that place.
    ///
    /// # Errors
    /// [`Closed::Damaged`].
    pub fn open(&self, place: &str, mut sealed: Vec<u8>) -> Result<Vec<u8>, Closed> {
        if sealed.len() < OVERHEAD || sealed[0] != MARK {
            return Err(Closed::Damaged);
        }
        let nonce = Nonce::try_assume_unique_for_key(&sealed[1..=NONCE_LEN]).map_err(|_| Closed::Damaged)?;
        let about = Aad::from(place.as_bytes());
        // To the front, where the answer begins: no second copy is held of what may be large.
        let length =
            self.seals.open_within(nonce, about, &mut sealed, 1 + NONCE_LEN..).map_err(|_| Closed::Damaged)?.len();
        sealed.truncate(length);
        Ok(sealed)
    }

    fn nonce_of(&self, place: &str, piece: &[u8]) -> [u8; NONCE_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        // The length says where the place ends.
        hasher.update(&(place.len() as u64).to_le_bytes()).update(place.as_bytes()).update(piece);
        let mut nonce = [0; NONCE_LEN];
        hasher.finalize_xof().fill(&mut nonce);
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(digit: &str) -> (Keys, Sealed, GroupKey) {
        let keys = Keys::read(&digit.repeat(2 * KEY_BYTES)).unwrap();
        let kept = GroupKey::make(&keys, "acme/1").unwrap();
        let group = GroupKey::open(&keys, &kept, "acme/1").unwrap();
        (keys, kept, group)
    }

    #[test]
    fn a_piece_opens_at_its_place_under_its_key_and_nowhere_else() {
        let (keys, kept, group) = group("1");
        assert!(matches!(GroupKey::open(&keys, &kept, "acme/2"), Err(Closed::Damaged)), "a key has its place, too");
        let (key, wrapped) = group.new_key("run 1").unwrap();
        let (other, _) = group.new_key("run 2").unwrap();
        for piece in [&b""[..], b"{}", &[7; 100_000]] {
            let sealed = key.seal("input", piece);
            assert!(is_sealed(&sealed) && sealed.len() == piece.len() + OVERHEAD);
            assert_eq!(key.open("input", sealed.clone()), Ok(piece.to_vec()));
            assert_eq!(group.key(&wrapped, "run 1").unwrap().open("input", sealed.clone()), Ok(piece.to_vec()));
            assert_eq!(key.open("output/0", sealed.clone()), Err(Closed::Damaged));
            assert_eq!(other.open("input", sealed.clone()), Err(Closed::Damaged));
            for at in [0, 1, 1 + NONCE_LEN, sealed.len() - 1] {
                let mut turned = sealed.clone();
                turned[at] ^= 1;
                assert_eq!(key.open("input", turned), Err(Closed::Damaged), "byte {at}");
                assert_eq!(key.open("input", sealed[..at].to_vec()), Err(Closed::Damaged), "cut at {at}");
            }
        }
        assert!(matches!(group.key(&wrapped, "run 2"), Err(Closed::Damaged)));
    }

    #[test]
    fn the_same_piece_of_a_place_has_the_same_bytes_and_any_other_none_in_common() {
        let (_, _, group) = group("1");
        let (key, _) = group.new_key("run 1").unwrap();
        let sealed = key.seal("input", b"hunter2");
        assert_eq!(key.seal("input", b"hunter2"), sealed);
        for other in [
            key.seal("input", b"hunter3"),
            key.seal("inpu", b"thunter2"),
            key.seal("signal", b"hunter2"),
            group.new_key("run 1").unwrap().0.seal("input", b"hunter2"),
        ] {
            assert_ne!(other[1..=NONCE_LEN], sealed[1..=NONCE_LEN], "no nonce is used for two texts");
        }
        assert!(!sealed.windows(4).any(|part| b"hunter2".windows(4).any(|text| text == part)));
    }

    #[test]
    fn no_log_has_a_key() {
        let (_, _, group) = group("1");
        assert_eq!(format!("{group:?} {:?}", group.new_key("run").unwrap().0), "GroupKey Key");
    }
}

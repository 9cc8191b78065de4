//! The way in that `pawl dev` prints: an address that opens the pages for whoever has it. Its key is exchanged for the
//! session once, and for some minutes: what stays in a terminal or a browser's history opens nothing.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::lock;

/// For how long the key is good.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// Bytes of the key.
const KEY: usize = 24;

/// A key that is good once, and the token that it stands for; cheap to clone.
#[derive(Clone)]
pub struct Entry {
    token: Arc<str>,
    key: Arc<Mutex<Option<Key>>>,
}

struct Key {
    digest: blake3::Hash,
    until: Instant,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry")
    }
}

impl Entry {
    /// An entry for the holder of that token, and the path, with its query, that opens the pages.
    ///
    /// # Errors
    /// If the system has no chance to give.
    pub fn new(token: &str) -> Result<(Self, String), getrandom::Error> {
        let mut bytes = [0; KEY];
        getrandom::fill(&mut bytes)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = Key { digest: blake3::hash(text.as_bytes()), until: Instant::now() + GOOD_FOR };
        let entry = Self { token: token.into(), key: Arc::new(Mutex::new(Some(key))) };
        Ok((entry, format!("/enter?key={text}")))
    }

    /// The token, for the first who has the key, in time.
    pub(super) fn exchange(&self, text: &str, now: Instant) -> Option<Arc<str>> {
        // Digests take the same time to compare wherever they differ.
        let digest = blake3::hash(text.as_bytes());
        let key = lock(&self.key).take_if(|key| key.digest == digest)?;
        (now < key.until).then(|| Arc::clone(&self.token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_once_and_not_for_long() {
        let (entry, path) = Entry::new("pawl_x").unwrap();
        let key = path.strip_prefix("/enter?key=").unwrap();
        let now = Instant::now();
        assert_eq!(entry.exchange("guess", now), None);
        assert_eq!(entry.clone().exchange(key, now).as_deref(), Some("pawl_x"), "a guess takes nothing away");
        assert_eq!(entry.exchange(key, now), None, "it was used");
        let (late, path) = Entry::new("pawl_x").unwrap();
        let key = path.strip_prefix("/enter?key=").unwrap();
        assert_eq!(late.exchange(key, now + GOOD_FOR + Duration::from_secs(1)), None);
    }
}

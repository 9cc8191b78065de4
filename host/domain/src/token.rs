//! The text of a token: `pawl_`, 40 hexadecimal digits of chance, and 8 that check them. The prefix is for those who look
//! through repositories and logs for secrets; by the check, they know one from a word that only looks like it, and the API
//! tells a token that was cut or mistyped from one that is not its own, without asking its store.
//!
//! ```text
//! pawl_ 3f0c…(40)…9ae1 5b20d1c7
//!       └── chance ──┘ └ check ┘    the first digits of the digest of all that stands before it
//! ```

use std::fmt;
use std::str::FromStr;

use crate::id::Digest;

/// What every token begins with.
pub const PREFIX: &str = "pawl_";

/// Bytes of chance: nobody guesses 160 bits.
pub const RANDOM_BYTES: usize = 20;

/// Digits that check.
const CHECK: usize = 8;

const LENGTH: usize = PREFIX.len() + 2 * RANDOM_BYTES + CHECK;

/// A token's text, which is shown once, and never in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// The token that is made of these bytes; nobody else may know them.
    #[must_use]
    pub fn of(random: [u8; RANDOM_BYTES]) -> Self {
        let mut text = PREFIX.to_owned();
        for byte in random {
            text.push_str(&format!("{byte:02x}"));
        }
        text.push_str(&check_of(&text));
        Self(text)
    }

    /// What a store keeps of it, and finds it by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// The text itself: for whoever it was made for, and for requests.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn check_of(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()[..CHECK].to_owned()
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}***")
    }
}

/// Why a text is no token. The text stays out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// It may be an older installation's, or a person's own.
    #[error("it does not begin with {PREFIX}")]
    Foreign,
    /// Too short, too long, or with other signs than it can have.
    #[error("it is cut, or has signs that no token has")]
    Cut,
    /// Its check does not fit.
    #[error("it is mistyped: its last {CHECK} digits do not fit the rest")]
    Mistyped,
}

impl FromStr for TokenText {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let digits = text.strip_prefix(PREFIX).ok_or(NoToken::Foreign)?;
        if text.len() != LENGTH || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NoToken::Cut);
        }
        let (body, check) = text.split_at(LENGTH - CHECK);
        if check_of(body) == check { Ok(Self(text.to_owned())) } else { Err(NoToken::Mistyped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_prefix_and_checks_itself() {
        let token = TokenText::of([7; RANDOM_BYTES]);
        let text = token.reveal().to_owned();
        assert!(text.starts_with("pawl_0707") && text.len() == LENGTH, "{text}");
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(token.digest(), Digest::of(text.as_bytes()));
        assert_ne!(TokenText::of([8; RANDOM_BYTES]).digest(), token.digest());
        assert_eq!(format!("{token:?}"), "pawl_***", "no log has it");
        let other = |place: usize| {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            String::from_utf8(bytes).unwrap()
        };
        for place in PREFIX.len()..LENGTH {
            assert_eq!(other(place).parse::<TokenText>(), Err(NoToken::Mistyped), "digit {place}");
        }
        for (wrong, why) in [
            ("s3cret", NoToken::Foreign),
            ("", NoToken::Foreign),
            ("pawl_", NoToken::Cut),
            (&text[..LENGTH - 1], NoToken::Cut),
            (&format!("{text}0"), NoToken::Cut),
            (&text.to_uppercase().replace("PAWL_", "pawl_").replace('0', "G"), NoToken::Cut),
        ] {
            assert_eq!(wrong.parse::<TokenText>(), Err(why), "{wrong}");
        }
    }
}

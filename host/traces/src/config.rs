//! How spans are sent: where to, and what is said of the process with them.

use pawl_domain::trace::Sampler;

/// How a process sends spans.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where they are sent: OTLP over HTTP, protobuf.
    pub url: String,
    /// Headers of these requests, for example a token: names and values.
    pub headers: Vec<(String, String)>,
    /// What the process is called.
    pub service: String,
    /// What else is said of it.
    pub resource: Vec<(String, String)>,
    /// Which traces are kept.
    pub sampler: Sampler,
}

/// Pairs that are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread(pub String);

impl std::fmt::Display for Misread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it looks like name=value,name=value, with %2C for a comma in a value")
    }
}

impl Config {
    /// Reads `name=value,name=value`, as the standard variables have it: a value's odd characters are written as in a URL.
    ///
    /// # Errors
    /// [`Misread`], with the pair that is none.
    pub fn pairs(text: &str) -> Result<Vec<(String, String)>, Misread> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let read = pair.split_once('=').and_then(|(name, value)| {
                    let (name, value) = (name.trim(), unescaped(value.trim())?);
                    (!name.is_empty()).then(|| (name.to_owned(), value))
                });
                read.ok_or_else(|| Misread(pair.to_owned()))
            })
            .collect()
    }
}

/// Without its escapes; none if one is broken, or makes no text.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_standard_variables_write_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = Config::pairs(" authorization=Bearer%20a%2Cb==, x-team = ops ,").unwrap();
        assert_eq!(read, [pair("authorization", "Bearer a,b=="), pair("x-team", "ops")]);
        assert_eq!(Config::pairs(""), Ok(Vec::new()));
        for wrong in ["a", "=b", "a=%2", "a=%zz", "a=%ff"] {
            assert_eq!(Config::pairs(wrong), Err(Misread(wrong.to_owned())));
        }
    }
}

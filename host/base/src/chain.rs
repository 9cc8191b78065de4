//! An error with its causes, for a log line. No error of ours repeats its source, so both are needed to know what happened;
//! some errors of others do, and what they have said is not said again.

use std::error::Error;

/// The error and its causes, outermost first, parted by colons.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Option<Box<Layer>> {
        let (text, causes) = texts.split_first()?;
        Some(Box::new(Layer { text, source: layers(causes) }))
    }

    #[test]
    fn every_cause_is_told_once() {
        let told = |texts: &[&'static str]| chain(&*layers(texts).expect("there is one"));
        assert_eq!(told(&["the store is not available"]), "the store is not available");
        assert_eq!(told(&["the store is not available", "i/o", "refused"]), "the store is not available: i/o: refused");
        assert_eq!(told(&["away", "i/o: refused", "refused"]), "away: i/o: refused");
    }
}

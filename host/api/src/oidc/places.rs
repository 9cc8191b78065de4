//! Where a provider's token counts: in the namespaces that one of its claims means by the settings, and nowhere else. Pure.

use std::collections::BTreeSet;

use pawl_domain::namespace::Namespace;

/// What a word of the claim means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Everywhere.
    All,
    /// In this namespace.
    In(Namespace),
}

/// Where a token counts: somewhere, in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Places {
    All,
    In(BTreeSet<Namespace>),
}

impl Places {
    /// Where a token with these words counts; `*` is for whoever has a good one. None: nowhere.
    pub(super) fn of(words: &[&str], meant: &[(String, Place)]) -> Option<Self> {
        let means = meant.iter().filter(|(word, _)| word == "*" || words.contains(&&**word));
        let mut places = BTreeSet::new();
        for (_, place) in means {
            match place {
                Place::All => return Some(Self::All),
                Place::In(namespace) => drop(places.insert(namespace.clone())),
            }
        }
        (!places.is_empty()).then_some(Self::In(places))
    }

    /// The one of them that a request is about which names this namespace, or none; `None`: all of them.
    ///
    /// # Errors
    /// There are several, and it does not say which. The words follow on "the token `x` ".
    pub(crate) fn one(self, named: Option<&Namespace>) -> Result<Option<Namespace>, String> {
        let Self::In(places) = self else { return Ok(None) };
        if let Some(named) = named.filter(|named| places.contains(named)) {
            return Ok(Some(named.clone()));
        }
        let mut several = places.into_iter();
        match (several.next(), several.next()) {
            (Some(one), None) => Ok(Some(one)),
            (one, other) => {
                let all: Vec<_> = one.into_iter().chain(other).chain(several).map(|it| it.to_string()).collect();
                Err(format!(
                    "counts in the namespaces {}: name the one that is meant, with `pawl-namespace` (--namespace, PAWL_NAMESPACE)",
                    all.join(", ")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place::In(name.parse().unwrap())
    }

    #[test]
    fn a_token_counts_where_its_words_mean_and_of_several_in_the_one_that_is_named() {
        let meant = [("a", place("team-a")), ("b", place("team-b")), ("b", place("shared")), ("platform", Place::All)];
        let meant = meant.map(|(word, place)| (word.to_owned(), place));
        for (words, named, expected) in [
            (&["a"][..], None, Some(Ok(Some("team-a")))),
            // What it may not is refused where that is said to all.
            (&["a"], Some("team-b"), Some(Ok(Some("team-a")))),
            (&["b"], Some("shared"), Some(Ok(Some("shared")))),
            (&["b"], None, Some(Err("shared, team-b"))),
            (&["b"], Some("team-a"), Some(Err("shared, team-b"))),
            (&["a", "platform"], None, Some(Ok(None))),
            (&["c"], Some("team-a"), None),
            (&[], None, None),
        ] {
            let named: Option<Namespace> = named.map(|name| name.parse().unwrap());
            let found = Places::of(words, &meant).map(|places| places.one(named.as_ref()));
            match (&found, expected) {
                (Some(Err(why)), Some(Err(names))) => assert!(why.contains(names), "{why}"),
                (found, expected) => {
                    let found = found.clone().map(|one| one.map(|name| name.map(|name| name.to_string())));
                    let expected = expected.map(|one| one.map(|name| name.map(str::to_owned)).map_err(str::to_owned));
                    assert_eq!(found, expected, "{words:?} {named:?}");
                }
            }
        }
        let everybody = [("*".to_owned(), place("default"))];
        assert_eq!(Places::of(&["c"], &everybody).map(|places| places.one(None)), Some(Ok(Some(Namespace::default()))));
    }
}

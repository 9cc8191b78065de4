//! The secrets of a step: given to its guest or put into its requests, and kept out of what people read of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use pawl_domain::journal::HttpAnswer;
use pawl_domain::reach::{Grant, Target};
use pawl_domain::secret::redaction::Redaction;
use pawl_domain::secret::{nowhere, placeholder, variable_of};

/// What a step has of one that its pipeline names.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The value, for the guest itself and for its requests.
    Given(String),
    /// The value, for its requests to these hosts, put in by the host. The guest is not given it.
    InRequests {
        /// The value.
        value: String,
        /// To whom.
        hosts: Vec<Grant>,
    },
    /// No value here; why, and what gives one.
    Lacking(String),
    /// It is not granted to the step; how it would be.
    Withheld(String),
}

/// The secrets that the pipeline names for a step.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    named: BTreeMap<String, Secret>,
    /// Of all values.
    redaction: Redaction,
    /// Of those that the guest is not given.
    scrubbing: Redaction,
}

/// Only the names: values must reach no log.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.named.keys()).finish()
    }
}

impl Secrets {
    /// These, by name.
    #[must_use]
    pub fn of(named: impl IntoIterator<Item = (String, Secret)>) -> Self {
        let named: BTreeMap<_, _> = named.into_iter().collect();
        let of = |value: fn(&Secret) -> Option<&str>| {
            Redaction::of(named.iter().filter_map(|(name, secret)| Some((name.as_str(), value(secret)?))))
        };
        let (redaction, scrubbing) = (of(Secret::value), of(Secret::unseen));
        Self { named, redaction, scrubbing }
    }

    /// These, with the values of this process's environment.
    #[must_use]
    pub fn of_environment(names: &[String]) -> Self {
        let found = |name: &String| match Self::value_of(name) {
            Some(value) => Secret::Given(value),
            None => Secret::Lacking(nowhere(name)),
        };
        Self::of(names.iter().map(|name| (name.clone(), found(name))))
    }

    /// What this process's environment has for one.
    #[must_use]
    pub fn value_of(name: &str) -> Option<String> {
        std::env::var(variable_of(name)).ok()
    }

    /// What the step has of one; `None`: its pipeline does not name it.
    pub(super) fn get(&self, name: &str) -> Option<&Secret> {
        self.named.get(name)
    }

    /// The text with every value in it replaced by its name. A guest that takes a value apart can tell it all
    /// the same: this is against carelessness.
    pub(super) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.redaction.apply(text, |name| format!("[secret {name}]"))
    }

    /// Whether a value is part of this.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        self.redaction.is_in(bytes)
    }

    /// The same of values that the guest is not given.
    pub(super) fn unseen_are_in(&self, bytes: &[u8]) -> bool {
        self.scrubbing.is_in(bytes)
    }

    /// The answer with placeholders for values that the guest is not given: whoever was sent one may tell it.
    pub(super) fn scrub(&self, answer: HttpAnswer) -> HttpAnswer {
        if self.scrubbing.is_empty() {
            return answer;
        }
        let text = |text: String| self.scrubbing.apply(&text, placeholder::of).into_owned();
        match answer {
            HttpAnswer::Response { status, headers, body } => HttpAnswer::Response {
                status,
                headers: headers.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
                body: self.scrubbing.apply_to_bytes(&body, placeholder::of).unwrap_or(body),
            },
            HttpAnswer::Connect(why) => HttpAnswer::Connect(text(why)),
            HttpAnswer::Broken(why) => HttpAnswer::Broken(text(why)),
            HttpAnswer::Invalid(why) => HttpAnswer::Invalid(text(why)),
            answer @ (HttpAnswer::Timeout | HttpAnswer::TooLarge(_)) => answer,
        }
    }
}

impl Secret {
    fn value(&self) -> Option<&str> {
        match self {
            Self::Given(value) | Self::InRequests { value, .. } => Some(value),
            Self::Lacking(_) | Self::Withheld(_) => None,
        }
    }

    fn unseen(&self) -> Option<&str> {
        match self {
            Self::InRequests { value, .. } => Some(value),
            Self::Given(_) | Self::Lacking(_) | Self::Withheld(_) => None,
        }
    }

    /// The value, if a request to that host may have it.
    pub(super) fn value_for(&self, target: &Target) -> Option<&str> {
        match self {
            Self::InRequests { hosts, .. } if !hosts.iter().any(|host| host.names(target)) => None,
            other => other.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let hosts = vec!["https://pay.example.org".parse().unwrap()];
        Secrets::of([
            ("token".to_owned(), Secret::Given("abc123".to_owned())),
            ("unseen".to_owned(), Secret::InRequests { value: "hunter2hunter2".to_owned(), hosts }),
            ("empty".to_owned(), Secret::Given(String::new())),
            ("none".to_owned(), Secret::Lacking("why".to_owned())),
        ])
    }

    #[test]
    fn values_are_replaced_by_names_and_never_shown() {
        let secrets = secrets();
        assert_eq!(secrets.redact("abc123 and xabc123x"), "[secret token] and x[secret token]x");
        assert_eq!(secrets.redact("hunter2\\nhunter2"), "[secret unseen]");
        assert!(matches!(secrets.redact("nothing here"), Cow::Borrowed(_)));
        assert!(secrets.are_in(b"Bearer abc123") && !secrets.are_in(b"Bearer abc12") && !secrets.are_in(b""));
        assert_eq!(format!("{secrets:?}"), r#"{"empty", "none", "token", "unseen"}"#);
    }

    #[test]
    fn of_an_answer_only_what_the_guest_does_not_know_is_left_out() {
        let said = "abc123 aHVudGVyMmh1bnRlcjI= hunter2hunter2";
        let headers = vec![("x-echo".to_owned(), "Bearer hunter2hunter2".to_owned())];
        let answer = HttpAnswer::Response { status: 200, headers, body: said.into() };
        let HttpAnswer::Response { headers, body, .. } = secrets().scrub(answer) else { panic!("it is a response") };
        assert_eq!(headers[0].1, "Bearer {{secret:unseen}}");
        let body = String::from_utf8(body).unwrap();
        assert!(body.starts_with("abc123 {{secret:unseen}}") && body.ends_with(" {{secret:unseen}}"), "{body}");
        let broken = secrets().scrub(HttpAnswer::Broken("at https://a.example/?k=hunter2hunter2".to_owned()));
        assert_eq!(broken, HttpAnswer::Broken("at https://a.example/?k={{secret:unseen}}".to_owned()));
    }
}

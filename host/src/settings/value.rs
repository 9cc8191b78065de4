//! The types that settings have in Rust: how each is read from text and shown.

use std::path::PathBuf;
use std::time::Duration;

use pawl_domain::pipeline_file::check_name;
use pawl_domain::proxies::Proxies;
use pawl_domain::reach::Grant;
use pawl_domain::retention::Term;

use super::kind::Kind;

/// A place that a setting fills.
pub(super) trait Value {
    /// Takes in what somebody wrote; the error is the rule that it breaks.
    fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String>;
    /// As somebody would write it.
    fn show(&self, kind: &Kind) -> Option<String>;
}

macro_rules! amounts {
    ($($number:ty)*) => {$(
        impl Value for $number {
            fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
                let amount = kind.amount(text)?;
                *self = amount.try_into().map_err(|_| "that is more than there can be".to_owned())?;
                Ok(())
            }

            fn show(&self, kind: &Kind) -> Option<String> {
                Some(kind.tell(*self as u64))
            }
        }
    )*};
}

amounts! { u32 u64 usize }

impl Value for Duration {
    fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
        *self = Self::from_millis(kind.amount(text)?);
        Ok(())
    }

    fn show(&self, kind: &Kind) -> Option<String> {
        Some(kind.tell(u64::try_from(self.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Value for Term {
    fn read(&mut self, text: &str, _: &Kind) -> Result<(), String> {
        *self = text.parse()?;
        Ok(())
    }

    fn show(&self, _: &Kind) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for bool {
    fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
        *self = text.parse().map_err(|_| format!("write {}", kind.values()))?;
        Ok(())
    }

    fn show(&self, _: &Kind) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
        match kind {
            Kind::Choice(words) if !words.contains(&text) => Err(format!("write {}", kind.values())),
            _ if text.is_empty() => Err(format!("it is empty; write {}", kind.values())),
            _ => {
                text.clone_into(self);
                Ok(())
            }
        }
    }

    fn show(&self, _: &Kind) -> Option<String> {
        Some(self.clone())
    }
}

/// Empty text is none: what a template leaves of a variable that is not set. Not so a token's: who has set it counts on it.
impl Value for Option<String> {
    fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
        if matches!(kind, Kind::Token) {
            check_token(text)?;
        }
        *self = Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(())
    }

    fn show(&self, _: &Kind) -> Option<String> {
        self.clone()
    }
}

impl Value for PathBuf {
    fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
        if text.is_empty() {
            return Err(format!("it is empty; write {}", kind.values()));
        }
        *self = Self::from(text);
        Ok(())
    }

    fn show(&self, _: &Kind) -> Option<String> {
        Some(self.display().to_string())
    }
}

/// Empty text leaves the default, as above.
impl Value for Option<PathBuf> {
    fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
        if text.is_empty() { Ok(()) } else { self.get_or_insert_default().read(text, kind) }
    }

    fn show(&self, kind: &Kind) -> Option<String> {
        self.as_ref()?.show(kind)
    }
}

/// What a header can carry, and something.
pub(super) fn check_token(text: &str) -> Result<(), String> {
    match text.chars().find(|sign| !sign.is_ascii_graphic()) {
        None if text.is_empty() => {
            Err("it is empty; leave it out if there is to be none, or write the token".to_owned())
        }
        None => Ok(()),
        Some(_) => Err("a token has letters, digits and other signs of ASCII, and no blanks".to_owned()),
    }
}

/// Names of queues, or of hosts. Spaces around commas are nobody's intention; a name that is no queue's would never be served.
impl Value for Vec<String> {
    fn read(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
        if matches!(kind, Kind::Hosts) {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            *self = names.map(|name| check_host(name).map(|()| name.to_owned())).collect::<Result<_, _>>()?;
            return Ok(());
        }
        let mut names: Vec<String> = Vec::new();
        for name in text.split(',').map(str::trim) {
            check_name(name).map_err(|rule| format!("the name of a queue {rule}"))?;
            if names.iter().any(|known| known == name) {
                return Err(format!("it names `{name}` twice"));
            }
            names.push(name.to_owned());
        }
        *self = names;
        Ok(())
    }

    fn show(&self, _: &Kind) -> Option<String> {
        Some(self.join(",")).filter(|names| !names.is_empty())
    }
}

/// Grants. Empty text is none: then nothing is granted.
impl Value for Vec<Grant> {
    fn read(&mut self, text: &str, _: &Kind) -> Result<(), String> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        let read = |text: &str| text.parse::<Grant>().map_err(|rule| format!("{text:?} {rule}"));
        *self = texts.map(read).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn show(&self, _: &Kind) -> Option<String> {
        let told: Vec<_> = self.iter().map(ToString::to_string).collect();
        Some(told.join(",")).filter(|told| !told.is_empty())
    }
}

/// Empty text is none.
impl Value for Proxies {
    fn read(&mut self, text: &str, _: &Kind) -> Result<(), String> {
        *self = Self::read(text)?;
        Ok(())
    }

    fn show(&self, _: &Kind) -> Option<String> {
        (!self.are_none()).then(|| self.to_string())
    }
}

/// A name or an address, without what else stands in URLs.
fn check_host(host: &str) -> Result<(), String> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, b'-' | b'_'))
    };
    if host.parse::<std::net::IpAddr>().is_ok() || name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "{host:?} is no host: write names without scheme and port, for example pawl.example.org, or *.example.org for all below"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_names_without_spaces_gaps_or_repeats() {
        let read = |text: &str| {
            let mut queues = vec!["default".to_owned()];
            queues.read(text, &Kind::Names).map(|()| queues)
        };
        assert_eq!(read("default, gpu ,low-cost"), Ok(["default", "gpu", "low-cost"].map(str::to_owned).to_vec()));
        for (text, rule) in [
            ("", "the name of a queue is empty"),
            ("default,", "the name of a queue is empty"),
            ("default gpu", "not ' '"),
            ("gpu,gpu", "twice"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(rule), "{text:?}: {error}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_and_nothing_else_of_a_url() {
        let read = |text: &str| {
            let mut hosts = Vec::new();
            hosts.read(text, &Kind::Hosts).map(|()| hosts)
        };
        let several = ["pawl.example.org", "*.pawl.svc", "192.0.2.1", "2001:db8::1"];
        assert_eq!(read(&several.join(", ")), Ok(several.map(str::to_owned).to_vec()));
        assert_eq!(read(""), Ok(Vec::new()), "what a template leaves of a variable that is not set");
        for wrong in ["http://pawl", "pawl:7340", "*", "*.*", "a..b", "a b", "[::1]", "pawl/x", "ä.example"] {
            let error = read(wrong).expect_err(wrong);
            assert!(error.contains("without scheme and port"), "{wrong}: {error}");
        }
    }

    #[test]
    fn grants_are_read_one_by_one_and_a_wrong_one_is_named() {
        let read = |text: &str| {
            let mut grants: Vec<Grant> = vec!["https://*".parse().unwrap()];
            grants.read(text, &Kind::Grants).map(|()| grants)
        };
        let told = |text: &str| read(text).unwrap().show(&Kind::Grants);
        assert_eq!(
            told("https://*.example.org, http://10.0.0.0/8:*"),
            Some("https://*.example.org,http://10.0.0.0/8:*".into())
        );
        assert_eq!(told(""), None, "nothing is granted");
        let error = read("https://*,api.example.org").unwrap_err();
        assert!(error.starts_with("\"api.example.org\" has no scheme"), "{error}");
    }

    #[test]
    fn a_token_is_something_that_a_header_can_carry() {
        let read = |text: &str, kind: &Kind| {
            let mut token = None::<String>;
            token.read(text, kind).map(|()| token)
        };
        assert_eq!(read("s3cret", &Kind::Token), Ok(Some("s3cret".to_owned())));
        for (wrong, rule) in
            [("", "it is empty"), ("a b", "no blanks"), ("a\n", "no blanks"), ("\u{fffd}x", "of ASCII")]
        {
            let error = read(wrong, &Kind::Token).expect_err(wrong);
            assert!(error.contains(rule), "{wrong:?}: {error}");
        }
        assert_eq!(read("", &Kind::Secret), Ok(None), "other texts may be left empty by a template");
    }

    #[test]
    fn a_choice_is_one_of_its_words() {
        let kind = Kind::Choice(&["text", "json"]);
        let mut format = "text".to_owned();
        assert_eq!(format.read("json", &kind), Ok(()));
        assert_eq!(format.read("xml", &kind), Err("write text or json".to_owned()));
        assert_eq!(format, "json", "what is refused changes nothing");
    }
}

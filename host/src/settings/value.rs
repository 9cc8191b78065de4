//! The types that settings have in Rust: how each is read from text and shown.

use std::path::PathBuf;
use std::time::Duration;

use pawl_domain::pipeline_file::check_name;
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

/// Empty text is none: what a template leaves of a variable that is not set.
impl Value for Option<String> {
    fn read(&mut self, text: &str, _: &Kind) -> Result<(), String> {
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

/// Names of queues. Spaces around commas are nobody's intention; a name that is no queue's would never be served.
impl Value for Vec<String> {
    fn read(&mut self, text: &str, _: &Kind) -> Result<(), String> {
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
        Some(self.join(","))
    }
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
    fn a_choice_is_one_of_its_words() {
        let kind = Kind::Choice(&["text", "json"]);
        let mut format = "text".to_owned();
        assert_eq!(format.read("json", &kind), Ok(()));
        assert_eq!(format.read("xml", &kind), Err("write text or json".to_owned()));
        assert_eq!(format, "json", "what is refused changes nothing");
    }
}

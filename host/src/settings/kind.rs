//! Which values a setting may have: how they are written, and their bounds.

use pawl_domain::pipeline_file::parse_duration_ms;

/// The values of a setting. Bounds are inclusive.
#[derive(Debug)]
pub(super) enum Kind {
    /// A whole number.
    Count(u64, u64),
    /// Milliseconds; written with a unit.
    Time(u64, u64),
    /// How long something is kept: a time with a unit, or `keep`.
    Term,
    /// Bytes; written with a unit or without.
    Size(u64, u64),
    /// True or false.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Names of queues, between commas.
    Names,
    /// What its reader checks.
    Text,
    /// Host and port.
    Address,
    /// A file.
    File,
    /// A folder.
    Folder,
    /// An address that may hold a password.
    Url,
    /// Names of hosts, between commas.
    Hosts,
    /// Addresses and networks, between commas.
    Networks,
    /// What steps may reach, between commas.
    Grants,
    /// What nobody may see; there is no flag for it, because command lines can be read by others.
    Secret,
    /// The same, for a header of requests.
    Token,
}

/// Names of units with what they count in the smallest, the largest first.
type Units = &'static [(&'static str, u64)];

const COUNTS: Units = &[("", 1)];
const TIMES: Units = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: Units = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Kind {
    /// Whether its values are hidden.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self, Self::Secret | Self::Token)
    }

    /// Reads a number of the kind's smallest unit.
    pub(super) fn amount(&self, text: &str) -> Result<u64, String> {
        let amount = match self {
            Self::Time(..) => parse_duration_ms(text)?,
            Self::Size(..) => {
                size(text).ok_or("write a whole number and one of B, KiB, MiB, GiB, for example 64MiB")?
            }
            _ => text.parse().map_err(|_| format!("write a whole number {}", self.values()))?,
        };
        match self {
            Self::Count(least, most) | Self::Time(least, most) | Self::Size(least, most)
                if !(*least..=*most).contains(&amount) =>
            {
                Err(format!("it must be {}", self.values()))
            }
            _ => Ok(amount),
        }
    }

    /// Writes a number, in the largest unit that has it whole.
    pub(super) fn tell(&self, amount: u64) -> String {
        let units = match self {
            Self::Time(..) => TIMES,
            Self::Size(..) => SIZES,
            _ => COUNTS,
        };
        let fits = |(_, size): &&(&str, u64)| amount > 0 && amount.is_multiple_of(*size);
        let smallest = ("", 1);
        let (unit, size) = units.iter().find(fits).or(units.last()).unwrap_or(&smallest);
        format!("{}{unit}", amount / size)
    }

    /// The values there are, in words.
    pub(super) fn values(&self) -> String {
        match self {
            Self::Count(least, most) | Self::Time(least, most) | Self::Size(least, most) => {
                format!("from {} to {}", self.tell(*least), self.tell(*most))
            }
            Self::Term => "a time with a unit, for example 7d, or `keep`".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Choice(words) => words.join(" or "),
            Self::Names => "names, with commas between them".to_owned(),
            Self::Address => "host and port".to_owned(),
            Self::File => "a file".to_owned(),
            Self::Folder => "a folder".to_owned(),
            Self::Text | Self::Secret => "text".to_owned(),
            Self::Hosts => "names of hosts, with commas between them".to_owned(),
            Self::Networks => "addresses and networks, with commas between them".to_owned(),
            Self::Grants => "scheme, host and port of each, with commas between them".to_owned(),
            Self::Token => "text without blanks".to_owned(),
            Self::Url => "a URL".to_owned(),
        }
    }

    /// The placeholder in help.
    pub(super) const fn placeholder(&self) -> &'static str {
        match self {
            Self::Count(..) => "N",
            Self::Time(..) => "TIME",
            Self::Term => "TIME|keep",
            Self::Size(..) => "SIZE",
            Self::Switch => "BOOL",
            Self::Choice(_) => "WORD",
            Self::Names => "NAME",
            Self::Address => "ADDRESS",
            Self::File => "FILE",
            Self::Folder => "DIR",
            Self::Url => "URL",
            Self::Hosts => "HOST",
            Self::Networks => "NETWORK",
            Self::Grants => "GRANT",
            Self::Text | Self::Secret | Self::Token => "TEXT",
        }
    }
}

/// Bytes that somebody names elsewhere than in a setting, written as there.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    Kind::Size(0, 1 << 50).amount(text)
}

fn size(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "B" } else { unit.trim() };
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Kind = Kind::Time(500, 600_000);
    const INPUT: Kind = Kind::Size(1 << 10, 16 << 20);

    #[test]
    fn amounts_are_read_and_told_in_the_units_of_people() {
        for (kind, text, amount, told) in [
            (LEASE, "5s", 5_000, "5s"),
            (LEASE, "1500ms", 1_500, "1500ms"),
            (LEASE, "2m", 120_000, "2m"),
            (INPUT, "2MiB", 2 << 20, "2MiB"),
            (INPUT, "1500", 1_500, "1500B"),
            (INPUT, "16 KiB", 16 << 10, "16KiB"),
            (Kind::Count(0, 9), "0", 0, "0"),
            (Kind::Time(0, 9), "0s", 0, "0ms"),
        ] {
            assert_eq!(kind.amount(text), Ok(amount), "{text}");
            assert_eq!(kind.tell(amount), told);
        }
    }

    #[test]
    fn amounts_out_of_bounds_are_refused_with_the_bounds() {
        for (kind, text, rule) in [
            (LEASE, "499ms", "it must be from 500ms to 10m"),
            (LEASE, "11m", "it must be from 500ms to 10m"),
            (LEASE, "5", "say the unit"),
            (INPUT, "17MiB", "it must be from 1KiB to 16MiB"),
            (INPUT, "2MB", "one of B, KiB, MiB, GiB"),
            (INPUT, "99999999999GiB", "write a whole number"),
            (Kind::Count(1, 16), "many", "write a whole number from 1 to 16"),
            (Kind::Count(1, 16), "-1", "write a whole number from 1 to 16"),
            (Kind::Count(1, 16), "", "write a whole number from 1 to 16"),
        ] {
            let error = kind.amount(text).expect_err(text);
            assert!(error.contains(rule), "{text}: {error}");
        }
    }
}

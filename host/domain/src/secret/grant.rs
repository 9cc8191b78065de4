//! Who is given a secret of the store: a decision without I/O. A grant names a pipeline, and perhaps a step of it and the plugin
//! that it executes. If it names hosts, the step is not given the value: the host puts it into requests to those
//! ([placeholders](super::placeholder)). Without a grant, nobody has anything of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::reach::{self, Target};

/// Grants of one secret, and hosts of one grant.
pub const MOST_GRANTS: usize = 100;

/// Lets steps have a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Steps of this pipeline, in whatever version.
    pub pipeline: Name,
    /// The one of this name; `None`: each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Name>,
    /// Only if it executes this plugin, in whatever version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Name>,
    /// Only in requests to these; none: the step is given the value itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<reach::Grant>,
}

/// The grant as the flags of `pawl secret` write it.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--pipeline {}", self.pipeline)?;
        for (flag, name) in [("step", &self.step), ("plugin", &self.plugin)] {
            if let Some(name) = name {
                write!(f, " --{flag} {name}")?;
            }
        }
        // As a shell takes it: `*` and brackets are its own.
        self.hosts.iter().try_for_each(|host| write!(f, " --host '{host}'"))
    }
}

/// The step that asks for a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker<'a> {
    /// Its pipeline's name.
    pub pipeline: &'a str,
    /// Its own.
    pub step: &'a str,
    /// The plugin that it executes.
    pub plugin: &'a str,
}

impl Asker<'_> {
    /// The command that grants the secret of this name to the step, in requests to a host if one is named.
    #[must_use]
    pub fn command(&self, name: &str, host: Option<&Target>) -> String {
        let host = host.map(|host| format!(" --host '{host}'")).unwrap_or_default();
        format!("pawl secret grant {name} --pipeline {} --step {}{host}", self.pipeline, self.step)
    }
}

/// What a step is given of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// Nothing.
    Nothing,
    /// The value.
    Value,
    /// The value, put into requests to these hosts, and to no others.
    InRequestsTo(Vec<reach::Grant>),
}

/// What these grants give to `asker`. One that gives the value gives it, whatever the others say.
#[must_use]
pub fn given(grants: &[Grant], asker: Asker<'_>) -> Given {
    let mut hosts: Vec<reach::Grant> = Vec::new();
    for grant in grants.iter().filter(|grant| grant.is_for(asker)) {
        if grant.hosts.is_empty() {
            return Given::Value;
        }
        let new = grant.hosts.iter().filter(|host| !hosts.contains(host)).cloned().collect::<Vec<_>>();
        hosts.extend(new);
    }
    if hosts.is_empty() { Given::Nothing } else { Given::InRequestsTo(hosts) }
}

impl Grant {
    fn is_for(&self, asker: Asker<'_>) -> bool {
        let is_any_or = |name: &Option<Name>, own: &str| name.as_ref().is_none_or(|name| name.as_str() == own);
        self.pipeline.as_str() == asker.pipeline
            && is_any_or(&self.step, asker.step)
            && is_any_or(&self.plugin, asker.plugin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(pipeline: &str, step: &str, plugin: &str, hosts: &[&str]) -> Grant {
        let name = |text: &str| (text != "*").then(|| text.parse().unwrap());
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Grant { pipeline: pipeline.parse().unwrap(), step: name(step), plugin: name(plugin), hosts }
    }

    #[test]
    fn only_who_is_named_is_given_a_secret_and_hosts_keep_it_from_the_step_itself() {
        const PAY: &str = "https://pay.example.org";
        const BANK: &str = "https://bank.example.org";
        let to = |hosts: &[&str]| Given::InRequestsTo(hosts.iter().map(|host| host.parse().unwrap()).collect());
        let asker = Asker { pipeline: "orders", step: "pay", plugin: "payer" };
        for (grants, expected) in [
            (vec![], Given::Nothing),
            (vec![grant("orders", "*", "*", &[])], Given::Value),
            (vec![grant("orders", "pay", "payer", &[])], Given::Value),
            (vec![grant("others", "*", "*", &[])], Given::Nothing),
            (vec![grant("orders", "ship", "*", &[])], Given::Nothing),
            (vec![grant("orders", "*", "shipper", &[])], Given::Nothing),
            (vec![grant("orders", "pay", "shipper", &[])], Given::Nothing),
            (vec![grant("Orders", "*", "*", &[])], Given::Nothing),
            (vec![grant("orders", "*", "*", &[PAY])], to(&[PAY])),
            (vec![grant("orders", "*", "*", &[PAY]), grant("orders", "pay", "*", &[BANK, PAY])], to(&[PAY, BANK])),
            (vec![grant("orders", "*", "*", &[PAY]), grant("orders", "ship", "*", &[BANK])], to(&[PAY])),
            (vec![grant("orders", "*", "*", &[PAY]), grant("orders", "pay", "*", &[])], Given::Value),
            (vec![grant("orders", "ship", "*", &[]), grant("orders", "pay", "*", &[PAY])], to(&[PAY])),
        ] {
            assert_eq!(given(&grants, asker), expected, "{grants:?}");
        }
    }

    #[test]
    fn a_grant_is_told_as_it_is_written() {
        let whole = grant("orders", "pay", "payer", &["https://*.example.org", "http://localhost:*"]);
        let told =
            "--pipeline orders --step pay --plugin payer --host 'https://*.example.org' --host 'http://localhost:*'";
        assert_eq!(whole.to_string(), told);
        assert_eq!(grant("orders", "*", "*", &[]).to_string(), "--pipeline orders");
        let written = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Grant>(&written).unwrap(), whole, "{written}");
        assert!(serde_json::from_str::<Grant>(r#"{"pipeline": "a", "steps": ["b"]}"#).is_err());
    }
}

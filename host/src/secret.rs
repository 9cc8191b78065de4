//! `pawl secret`: secrets that the store keeps sealed, and whom they are granted to. A value is read from standard input alone: a
//! command line can be read by others, and stays in a shell's history.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pawl_api::client::Client;
use pawl_api::types::{RemovedSecret, RotatedSecrets, SecretGrant, SecretList, StoredSecret};
use pawl_base::envelope::Keys;
use pawl_base::tell;
use pawl_domain::name::Name;
use pawl_domain::reach;
use pawl_domain::secret::{VALUE_BYTES, check_secret_name, check_value};

use super::exit::{End, usage};
use super::output::{Answer, Output, Table, ago, counted, or_dash, print_exactly};
use super::settings::Settings;

/// Verbs of `pawl secret`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Give a secret a value, which is read from standard input; with --pipeline, grant it, too
    #[command(
        after_help = "Nobody is told the value again. A line break at its end is left out; grants that there are\n\
                            stay.\n\n\
                            Examples:\n  pawl secret set shop_token < token.txt\n  \
                            pawl secret set token --pipeline orders --host https://pay.example.org < token.txt"
    )]
    Set {
        /// What it is called, as in `secrets = ["..."]` of a pipeline
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Secrets that the store keeps: versions, since when, by whom, and whom they are granted to; never values
    List,
    /// Grant a secret to steps of a pipeline; with --host, to be put into their requests alone
    #[command(after_help = "Examples:\n  pawl secret grant shop_token --pipeline orders --step pay\n  \
                            pawl secret grant shop_token --pipeline orders --host 'https://*.example.org'")]
    Grant {
        /// As it is called
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Take a grant back, as `pawl secret list` tells it
    Revoke {
        /// As it is called
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Remove a secret's value, and its grants
    Remove {
        /// As it is called
        #[arg(value_parser = name)]
        name: String,
    },
    /// Put all secrets under the first master key of the API: then the others can go
    Rotate,
    /// Print a new master key, for the setting secrets_key_file
    #[command(after_help = "Example:\n  (umask 077; pawl secret key > secrets.key)")]
    Key,
}

/// Whom a grant is for.
#[derive(Debug, Args)]
pub(super) struct Whom {
    /// Steps of this pipeline
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<Name>,
    /// Only the step of this name
    #[arg(long, value_name = "STEP", requires = "pipeline")]
    step: Option<Name>,
    /// Only if it executes this plugin
    #[arg(long, value_name = "PLUGIN", requires = "pipeline")]
    plugin: Option<Name>,
    /// Only in requests to this host, written as in `allow`; may be given several times
    #[arg(long = "host", value_name = "HOST", requires = "pipeline")]
    hosts: Vec<reach::Grant>,
}

impl Whom {
    /// The parameters of a request.
    fn query(&self) -> Vec<(&'static str, String)> {
        let named = [("pipeline", &self.pipeline), ("step", &self.step), ("plugin", &self.plugin)];
        let named = named.into_iter().filter_map(|(what, name)| Some((what, name.as_ref()?.to_string())));
        let hosts = self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        named.chain((!hosts.is_empty()).then_some(("hosts", hosts))).collect()
    }

    /// The same where somebody must be named.
    fn wanted(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        if self.pipeline.is_none() {
            return Err(usage("say whom it is about: --pipeline PIPELINE, and perhaps --step, --plugin and --host"));
        }
        Ok(self.query())
    }
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, settings: &Settings, output: Output) -> anyhow::Result<()> {
    let client = || settings.client();
    match verb {
        Verb::Set { name, whom } => {
            let value = value()?;
            let set = client()?.set_secret(&name, &borrowed(&whom.query()), value).await?;
            if set.grants.is_empty() {
                tell!("nobody is given it: `pawl secret grant {name} --pipeline PIPELINE` grants it");
            }
            output.print(&set)?;
        }
        Verb::List => {
            let (client, mut all, mut after) = (client()?, Vec::new(), None::<String>);
            loop {
                let query: Vec<_> = after.iter().map(|after| ("after", after.as_str())).collect();
                let list: SecretList = client.get(&["v1", "secrets"], &query).await?;
                all.extend(list.secrets);
                after = list.next;
                if after.is_none() {
                    break;
                }
            }
            output.print(&SecretList { secrets: all, next: None })?;
        }
        Verb::Grant { name, whom } => {
            let path = ["v1", "secrets", &name, "grants"];
            output.print(&client()?.post_asking::<StoredSecret>(&path, &borrowed(&whom.wanted()?)).await?)?;
        }
        Verb::Revoke { name, whom } => {
            output.print(&client()?.revoke_secret(&name, &borrowed(&whom.wanted()?)).await?)?;
        }
        Verb::Remove { name } => {
            output.print(&client()?.delete::<RemovedSecret>(&["v1", "secrets", &name]).await?)?;
        }
        Verb::Rotate => {
            let rotated = rotate(&client()?).await?;
            output.print(&rotated)?;
            if !rotated.stuck.is_empty() {
                return Err(End::Said.into());
            }
        }
        Verb::Key => print_exactly(&format!("{}\n", Keys::random_text()?))?,
    }
    Ok(())
}

/// All of it, a piece after the other.
async fn rotate(client: &Client) -> anyhow::Result<RotatedSecrets> {
    let mut all = RotatedSecrets { rotated: 0, stuck: Vec::new(), next: None };
    loop {
        let query: Vec<_> = all.next.iter().map(|after| ("after", after.as_str())).collect();
        let piece: RotatedSecrets = client.post_asking(&["admin", "rotate_secrets"], &query).await?;
        all.rotated += piece.rotated;
        all.stuck.extend(piece.stuck);
        all.next = piece.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

/// What stands on standard input.
fn value() -> anyhow::Result<Vec<u8>> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        return Err(usage(
            "a secret's value is read from standard input, and not from a terminal, which would show it: for example \
             `pawl secret set NAME < FILE`",
        ));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(VALUE_BYTES.end() + 3)?;
    input.by_ref().take(most).read_to_end(&mut bytes).context("can't read standard input")?;
    without_line_break(&mut bytes);
    check_value(&bytes).map_err(usage)?;
    Ok(bytes)
}

fn without_line_break(bytes: &mut Vec<u8>) {
    if bytes.pop_if(|last| *last == b'\n').is_some() {
        bytes.pop_if(|last| *last == b'\r');
    }
}

/// A secret's name.
fn name(text: &str) -> Result<String, String> {
    check_secret_name(text).map_err(|rule| format!("the name of a secret {rule}"))?;
    Ok(text.to_owned())
}

fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    query.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// As the flags of `pawl secret` write it.
fn told(grant: &SecretGrant) -> String {
    let mut told = format!("--pipeline {}", grant.pipeline);
    for (flag, name) in [("step", &grant.step), ("plugin", &grant.plugin)] {
        told.extend(name.as_ref().map(|name| format!(" --{flag} {name}")));
    }
    told.extend(grant.hosts.iter().map(|host| format!(" --host '{host}'")));
    told
}

impl Answer for StoredSecret {
    fn ids(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn text(&self) -> String {
        let grants: Vec<String> = self.grants.iter().map(|grant| format!("\n  {}", told(grant))).collect();
        let to =
            if grants.is_empty() { "granted to nobody".to_owned() } else { format!("granted to{}", grants.concat()) };
        format!("secret {} has version {}, {to}", self.name, self.version)
    }
}

impl Answer for SecretList {
    fn ids(&self) -> Vec<String> {
        self.secrets.iter().map(|secret| secret.name.clone()).collect()
    }

    fn text(&self) -> String {
        if self.secrets.is_empty() {
            return "the store keeps no secret; `pawl secret set NAME` reads one from standard input".to_owned();
        }
        let mut table = Table::with_text(["NAME", "VERSION", "SET", "BY", "KEY", "GRANTED TO"]);
        for secret in &self.secrets {
            let grants: Vec<String> = secret.grants.iter().map(told).collect();
            table.row([
                secret.name.clone(),
                secret.version.to_string(),
                ago(secret.set_at_ms),
                or_dash(secret.set_by.as_ref()),
                secret.key_id.clone(),
                if grants.is_empty() { "nobody".to_owned() } else { grants.join("; ") },
            ]);
        }
        table.to_string()
    }
}

impl Answer for RemovedSecret {
    fn ids(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn text(&self) -> String {
        format!("secret {} is removed, with its grants: attempts that begin from now on have nothing of it", self.name)
    }
}

impl Answer for RotatedSecrets {
    fn ids(&self) -> Vec<String> {
        self.stuck.iter().map(|stuck| stuck.name.clone()).collect()
    }

    fn text(&self) -> String {
        let done =
            format!("{} put under the first master key; the others were so", counted(self.rotated.into(), "secret"));
        let stuck = self.stuck.iter().map(|stuck| format!("\n{} stays as it is: {}", stuck.name, stuck.reason));
        std::iter::once(done).chain(stuck).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_value_one_line_break_at_the_end_is_left_out() {
        for (given, kept) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", ""), ("a\r", "a\r")] {
            let mut bytes = given.as_bytes().to_vec();
            without_line_break(&mut bytes);
            assert_eq!(bytes, kept.as_bytes(), "{given:?}");
        }
    }

    #[test]
    fn whom_a_secret_is_granted_to_is_told_as_it_is_written() {
        let words = [
            "pawl",
            "secret",
            "grant",
            "t",
            "--pipeline",
            "p",
            "--step",
            "s",
            "--host",
            "https://*",
            "--host",
            "http://a",
        ];
        crate::command_line().try_get_matches_from(words).unwrap();
        for wrong in [&["pawl", "secret", "set", "t", "--step", "s"][..], &["pawl", "secret", "set", "a-b"]] {
            crate::command_line().try_get_matches_from(wrong).unwrap_err();
        }
        let grant = SecretGrant {
            pipeline: "p".parse().unwrap(),
            step: Some("s".parse().unwrap()),
            plugin: None,
            hosts: vec!["https://*".to_owned()],
        };
        assert_eq!(told(&grant), "--pipeline p --step s --host 'https://*'");
    }
}

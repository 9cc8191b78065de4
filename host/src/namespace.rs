//! `pawl namespace`: whose names there are. All other commands are about one of them: `--namespace`, or the token's own.

use clap::{Subcommand, ValueEnum};
use pawl_api::client::Client;
use pawl_api::types::{
    ErasedKeys, MadeNamespace, NamespaceKeys, NamespaceList, NamespaceQuota, QuotaSet, SealNamespace, SealingState,
    WantedSealing,
};
use pawl_domain::namespace::Namespace;

use super::exit::usage;
use super::output::{Answer, Output, Table, ago, counted, or_dash, size};
use super::settings::bytes;

/// Verbs of `pawl namespace`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a namespace: pipelines, plugins, secrets, keys and runs of its own, which no other one sees
    #[command(after_help = "Its people get tokens of it, with which their commands need no --namespace.\n\n\
                            Examples:\n  pawl namespace create team-a\n  \
                            pawl token create ada --role admin --namespace team-a")]
    Create {
        /// What it is called
        name: Namespace,
    },
    /// Namespaces: all, or the token's own, and what each may take
    List,
    /// Say what a namespace may take of what all share; what is left out is not bounded
    #[command(after_help = "What is over a quota is refused with 429 and Retry-After.\n\n\
                            Examples:\n  pawl namespace quota team-a --runs 1000 --submissions 50 --stored-bytes 20GiB\n  \
                            pawl namespace quota team-a    # none any more")]
    Quota {
        /// Which one
        name: Namespace,
        /// Runs that have not ended
        #[arg(long, value_name = "N")]
        runs: Option<u32>,
        /// Submissions in a second, to each API
        #[arg(long, value_name = "N")]
        submissions: Option<u32>,
        /// Components, of all versions of its plugins
        #[arg(long, value_name = "N")]
        components: Option<u32>,
        /// Bytes that its runs and components hold, for example 20GiB
        #[arg(long, value_name = "SIZE", value_parser = bytes)]
        stored_bytes: Option<u64>,
    },
    /// Have payloads of a namespace's new runs kept sealed, or in the clear
    #[command(
        after_help = "Inputs, outputs, journals, checkpoints and signals are sealed, under a key for each run. Master keys are those\n\
                            of secrets: the API and all workers need them. Runs that are there stay as they are.\n\n\
                            Examples:\n  pawl namespace seal team-a on\n  pawl namespace seal team-a on --new-key"
    )]
    Seal {
        /// Which one
        name: Namespace,
        /// What is to be done from now on
        sealing: Sealing,
        /// Seal what comes from now on under a new key; the older ones go on opening what they have sealed
        #[arg(long)]
        new_key: bool,
    },
    /// The keys of a namespace, without the keys
    Keys {
        /// Which one
        name: Namespace,
    },
    /// Erase the keys of a namespace: all that was sealed under them is unreadable for good
    #[command(
        after_help = "Runs, their states and histories stay, payloads can't be read any more, wherever copies of the keys are gone as\n\
                            well (backups). Runs that have not ended are in the way.\n\nExample:\n  pawl namespace erase team-a --yes"
    )]
    Erase {
        /// Which one
        name: Namespace,
        /// Without it nothing is done
        #[arg(long)]
        yes: bool,
    },
}

/// What becomes of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Sealing {
    /// They are sealed
    On,
    /// They are in the clear
    Off,
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client, output: Output) -> anyhow::Result<()> {
    match verb {
        Verb::Create { name } => {
            output.print(&client.put::<MadeNamespace>(&["v1", "namespaces", name.as_str()], &()).await?)?;
        }
        Verb::Quota { name, runs, submissions, components, stored_bytes } => {
            let quota = NamespaceQuota { runs, submissions, components, stored_bytes };
            let path = ["v1", "namespaces", name.as_str(), "quota"];
            output.print(&client.put::<QuotaSet>(&path, &quota).await?)?;
        }
        Verb::Seal { sealing: Sealing::Off, new_key: true, .. } => {
            return Err(usage("--new-key goes with `on`: what is in the clear has none"));
        }
        Verb::Seal { name, sealing, new_key } => {
            let path = ["v1", "namespaces", name.as_str(), "sealing"];
            let sealing = match (sealing, new_key) {
                (Sealing::Off, _) => WantedSealing::Off,
                (Sealing::On, false) => WantedSealing::On,
                (Sealing::On, true) => WantedSealing::NewKey,
            };
            let wanted = SealNamespace { sealing };
            output.print(&client.put::<NamespaceKeys>(&path, &wanted).await?)?;
        }
        Verb::Keys { name } => {
            output.print(&client.get::<NamespaceKeys>(&["v1", "namespaces", name.as_str(), "keys"], &[]).await?)?;
        }
        Verb::Erase { name, yes: false } => {
            return Err(usage(format!(
                "all sealed payloads of the namespace {name} would be unreadable for good: add --yes, if that is meant"
            )));
        }
        Verb::Erase { name, yes: true } => {
            let path = ["v1", "namespaces", name.as_str(), "keys"];
            output.print(&client.delete::<ErasedKeys>(&path).await?)?;
        }
        Verb::List => output.print(&client.get::<NamespaceList>(&["v1", "namespaces"], &[]).await?)?,
    }
    Ok(())
}

impl Answer for MadeNamespace {
    fn ids(&self) -> Vec<String> {
        vec![self.name.to_string()]
    }

    fn text(&self) -> String {
        match self.created {
            true => format!("namespace {} is there", self.name),
            false => format!("namespace {} was there", self.name),
        }
    }
}

impl Answer for QuotaSet {
    fn ids(&self) -> Vec<String> {
        vec![self.name.to_string()]
    }

    fn text(&self) -> String {
        let so = if self.changed { "" } else { ", as before" };
        format!("namespace {}: quota {}{so}", self.name, self.quota)
    }
}

impl Answer for NamespaceKeys {
    fn ids(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.version.to_string()).collect()
    }

    fn text(&self) -> String {
        let name = &self.name;
        let said = match self.sealing {
            SealingState::On => format!("namespace {name}: payloads of new runs are sealed"),
            SealingState::Off => format!("namespace {name}: payloads of new runs are in the clear"),
            SealingState::Erased => format!(
                "namespace {name}: its keys were erased, and it takes no runs until somebody says `pawl namespace seal {name} on` or `off`"
            ),
        };
        if self.keys.is_empty() {
            return said;
        }
        let mut table = Table::new(["KEY", "UNDER", "MADE", "BY", "NOTE"]);
        for key in &self.keys {
            let note = match (key.erased_at_ms, key.retired_at_ms) {
                (Some(at_ms), _) => format!("erased {}", ago(at_ms)),
                (None, Some(at_ms)) => format!("new runs in the clear since {}", ago(at_ms)),
                (None, None) => "-".to_owned(),
            };
            table.row([
                key.version.to_string(),
                or_dash(key.key_id.as_ref()),
                ago(key.created_at_ms),
                or_dash(key.created_by.as_ref()),
                note,
            ]);
        }
        format!("{said}\n\n{table}")
    }
}

impl Answer for ErasedKeys {
    fn ids(&self) -> Vec<String> {
        vec![self.name.to_string()]
    }

    fn text(&self) -> String {
        match self.erased {
            0 => format!("namespace {}: there was no key to erase", self.name),
            erased => format!(
                "namespace {}: {} erased; what was sealed under them is unreadable for good",
                self.name,
                counted(erased.into(), "key")
            ),
        }
    }
}

impl Answer for NamespaceList {
    fn ids(&self) -> Vec<String> {
        self.namespaces.iter().map(|namespace| namespace.name.to_string()).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["NAME", "MADE", "BY", "HOLDS", "QUOTA"]);
        for namespace in &self.namespaces {
            table.row([
                namespace.name.to_string(),
                namespace.created_at_ms.map_or_else(|| "from the start".to_owned(), ago),
                or_dash(namespace.created_by.as_ref()),
                or_dash(namespace.stored_bytes.map(size)),
                namespace.quota.to_string(),
            ]);
        }
        table.to_string()
    }
}

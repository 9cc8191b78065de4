//! `pawl namespace`: whose names there are. All other commands are about one of them: `--namespace`, or the token's own.

use clap::Subcommand;
use pawl_api::client::Client;
use pawl_api::types::{MadeNamespace, NamespaceList, NamespaceQuota, QuotaSet};
use pawl_domain::namespace::Namespace;

use super::output::{Answer, Output, Table, ago, or_dash, size};
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

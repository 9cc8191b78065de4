//! `pawl token`: who may ask the API for what. And the first token of an installation, which `pawl migrate` makes, because
//! whoever has the database needs to ask nobody.

use clap::Subcommand;
use pawl_api::client::Client;
use pawl_api::new_token;
use pawl_api::types::{CreateToken, CreatedToken, RevokedToken, Role, TokenList, TokenState};
use pawl_base::tell;
use pawl_domain::name::Name;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline_file::parse_duration_ms;
use pawl_store::audit::{Asked, Audits as _};
use pawl_store::tokens::Tokens as _;
use pawl_store::{self as store, Postgres};

use super::exit::usage;
use super::output::{Answer, Output, Table, ago, or_dash, print_exactly, utc};

/// Verbs of `pawl token`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a token; it is printed this once
    #[command(after_help = "Each role may do what those before it may: read, submit, operate, deploy, admin.\n\n\
                            Examples:\n  pawl token create grafana --role read\n  \
                            pawl token create ada --role admin --namespace team-a    # there alone\n  \
                            PAWL_API_TOKEN=$(pawl token create ci --role deploy --expires 30d)")]
    Create {
        /// What it is called, in lists and in the record of changes
        name: Name,
        /// What it may do: read, submit, operate, deploy or admin
        #[arg(long)]
        role: Role,
        /// How long it is good for, for example 30d [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
        expires: Option<u64>,
    },
    /// Tokens: what each may do, until when, and who made it
    List,
    /// Revoke a token: within a second it lets nobody in any more
    Revoke {
        /// As it is called
        name: Name,
    },
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client, output: Output) -> anyhow::Result<()> {
    match verb {
        Verb::Create { name, role, expires } => {
            let namespace = client.namespace().cloned();
            let request = CreateToken { name, role, namespace, expires_in_ms: expires };
            let made: CreatedToken = client.post(&["v1", "tokens"], &request).await?;
            say(&made.about.name, role, made.about.namespace.as_ref(), made.about.expires_at_ms);
            output.print(&made)?;
        }
        Verb::List => output.print(&client.get::<TokenList>(&["v1", "tokens"], &[]).await?)?,
        Verb::Revoke { name } => {
            output.print(&client.delete::<RevokedToken>(&["v1", "tokens", name.as_str()]).await?)?;
        }
    }
    Ok(())
}

fn say(name: &str, role: Role, namespace: Option<&Namespace>, expires_at_ms: Option<i64>) {
    let place = namespace.map(|namespace| format!(" in the namespace `{namespace}`")).unwrap_or_default();
    let until = expires_at_ms.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {} UTC", utc(at)));
    tell!("token `{name}` has the role `{role}`{place}, {until}; it is shown this once");
}

/// Makes a token of an admin in the database itself, and prints it.
pub(super) async fn make_first(store: &Postgres, name: &Name) -> anyhow::Result<()> {
    let (text, token) = new_token(name, Role::Admin, None, None).map_err(usage)?;
    let asked = Asked {
        who: None,
        source: "the database".to_owned(),
        what: "createToken".to_owned(),
        target: "pawl migrate --admin-token".to_owned(),
        run: None,
        namespace: None,
    };
    let line = store.ask(&asked).await?;
    let made = store.create_token(&token).await;
    let status = match &made {
        Ok(()) => 201,
        Err(store::Error::Conflict(_)) => 409,
        Err(_) => 500,
    };
    store.answered(line, status, Some(&format!("{name}: {}", Role::Admin))).await?;
    made?;
    say(name.as_str(), Role::Admin, None, None);
    Ok(print_exactly(text.reveal())?)
}

impl Answer for CreatedToken {
    fn ids(&self) -> Vec<String> {
        vec![self.token.clone()]
    }

    fn text(&self) -> String {
        self.token.clone()
    }
}

impl Answer for TokenList {
    fn ids(&self) -> Vec<String> {
        let good = self.tokens.iter().filter(|token| token.state == TokenState::Good);
        good.map(|token| token.name.clone()).collect()
    }

    fn text(&self) -> String {
        if self.tokens.is_empty() {
            return "there is no token; `pawl token create NAME --role ROLE` makes one".to_owned();
        }
        let mut table = Table::new(["NAME", "ROLE", "NAMESPACE", "STATE", "MADE", "BY", "UNTIL"]);
        for token in &self.tokens {
            let state = match token.state {
                TokenState::Good => "good",
                TokenState::Expired => "expired",
                TokenState::Revoked => "revoked",
            };
            table.row([
                token.name.clone(),
                token.role.to_string(),
                token.namespace.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string),
                state.to_owned(),
                ago(token.created_at_ms),
                or_dash(token.created_by.as_ref()),
                or_dash(token.revoked_at_ms.or(token.expires_at_ms).map(utc)),
            ]);
        }
        table.to_string()
    }
}

impl Answer for RevokedToken {
    fn ids(&self) -> Vec<String> {
        vec![self.name.to_string()]
    }

    fn text(&self) -> String {
        format!("token {} is revoked: within a second it lets nobody in any more", self.name)
    }
}

//! `pawl circuits`: outside hosts that are down, secrets that workers lack, and a person's word that one is back.

use clap::Subcommand;
use pawl_api::client::Client;
use pawl_api::types::{CircuitClosed, CircuitList, CircuitState, CloseCircuit};

use super::output::{Answer, Output, Table, ago, duration, now_ms};

/// Verbs of `pawl circuits`; without one, they are listed.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Outside hosts that are down, and secrets that workers lack: since when, why, and how many steps wait for each
    List,
    /// Let steps call a host again at once, instead of when a probe is answered
    #[command(after_help = "Its circuit opens again if the next calls fail.\n\n\
                            Examples:\n  pawl circuits close https://pay.example.org:443")]
    Close {
        /// Scheme, name and port of the host, or secret:NAME, as the list tells it
        origin: String,
    },
}

/// Carries out a verb.
pub(super) async fn run(verb: Option<Verb>, client: &Client, output: Output) -> anyhow::Result<()> {
    match verb {
        None | Some(Verb::List) => output.print(&client.get::<CircuitList>(&["v1", "circuits"], &[]).await?)?,
        Some(Verb::Close { origin }) => {
            output
                .print(&client.post::<CircuitClosed>(&["v1", "circuits", "close"], &CloseCircuit { origin }).await?)?;
        }
    }
    Ok(())
}

impl Answer for CircuitList {
    fn ids(&self) -> Vec<String> {
        self.circuits.iter().map(|circuit| circuit.origin.clone()).collect()
    }

    fn text(&self) -> String {
        if self.circuits.is_empty() {
            return "no circuit is open: every outside host is called that steps ask for, and no worker lacks a secret"
                .to_owned();
        }
        let mut table = Table::with_text(["ORIGIN", "STATE", "SINCE", "FAILURES", "NEXT PROBE", "DEFERRED", "REASON"]);
        for circuit in &self.circuits {
            let left_ms = circuit.retry_at_ms - now_ms();
            let (state, next) = match (circuit.state, left_ms) {
                (CircuitState::HalfOpen, _) => ("half-open", "under way".to_owned()),
                (CircuitState::Open, 1..) => ("open", format!("in {}", duration(left_ms))),
                (CircuitState::Open, _) => ("open", "when a step calls".to_owned()),
            };
            table.row([
                circuit.origin.clone(),
                state.to_owned(),
                ago(circuit.since_ms),
                circuit.failures.to_string(),
                next,
                circuit.deferred.to_string(),
                circuit.reason.clone(),
            ]);
        }
        table.to_string()
    }
}

impl Answer for CircuitClosed {
    fn ids(&self) -> Vec<String> {
        vec![self.origin.clone()]
    }

    fn text(&self) -> String {
        format!("{} is called again, and what was deferred goes on", self.origin)
    }
}

//! `auto_recover`: the start of a role lets interrupted runs go on. Workers take over by themselves what dead ones leave; this
//! is for what they do not come to, and tells what a start has found.

use std::time::Duration;

use pawl_dispatch::Ports;
use pawl_dispatch::recovery::{Options, Summary, recover_all};

use super::settings::Settings;

/// How long a run must stand: longer than workers need, where there are some.
const STANDS: Duration = Duration::from_secs(5);

/// How long what comes of it is waited for, and between two attempts.
const WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

/// Does it beside the start of a role of production, if the settings say so, as soon as the store is there.
pub(super) fn beside_the_start(settings: &Settings, ports: &Ports) {
    if !settings.auto_recover() {
        return;
    }
    let (ports, options) = (ports.clone(), options(settings, STANDS, WAIT));
    tokio::spawn(async move {
        loop {
            match once(&ports, &options).await {
                Ok(found) => return found.iter().for_each(tell),
                // It may be starting beside this process, or be migrated.
                Err(error) => tracing::warn!(error = error.chain(), "interrupted runs are not recovered yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
}

/// Does it at the start of `pawl dev`, if the settings say so: nobody else is there, whatever leases say. What comes of it
/// is in the records, since its worker starts later.
pub(super) async fn at_home(settings: &Settings, ports: &Ports) -> pawl_dispatch::Result<()> {
    if settings.auto_recover() {
        once(ports, &options(settings, Duration::ZERO, Duration::ZERO)).await?.iter().for_each(tell);
    }
    Ok(())
}

fn options(settings: &Settings, threshold: Duration, wait: Duration) -> Options {
    Options { threshold, resume: true, wait, suspicion: settings.suspicion() }
}

/// What came of it in each namespace.
async fn once(ports: &Ports, options: &Options) -> pawl_dispatch::Result<Vec<Summary>> {
    pawl_store::check(&*ports.store).await?;
    let mut found = Vec::new();
    for row in ports.store.namespaces().await? {
        found.push(recover_all(ports, &row.name, options).await?);
    }
    Ok(found)
}

fn tell(found: &Summary) {
    let judged = &found.judged;
    tracing::info!(
        detected = found.detected.len(),
        recovered = judged.recovered.len(),
        failed = judged.failed.len(),
        pending = judged.pending.len(),
        steps_again = judged.steps_again,
        mean_ms = judged.mean.map(|mean| u64::try_from(mean.as_millis()).unwrap_or(u64::MAX)),
        "interrupted runs were resumed"
    );
    for run in &found.failed {
        tracing::warn!(run.id = %run.id, "a step of it has failed, and it is not resumed: see `pawl run explain {}`", run.id);
    }
}

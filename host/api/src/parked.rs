//! What a person can do about a step that is parked or has failed, as commands. Pure.

use pawl_domain::attempt::Divergence;
use pawl_domain::id::RunId;

use super::types::WayOut;

/// The ways out of what `error` says.
pub(super) fn ways_out(run: RunId, step: &str, error: Option<&[u8]>) -> Vec<WayOut> {
    let way = |options: &str, what: &str| WayOut {
        command: format!("pawl run resume {run} {step}{options}"),
        what: what.to_owned(),
    };
    let divergence = error.and_then(|error| serde_json::from_slice::<Divergence>(error).ok());
    let Some(divergence) = divergence else {
        return vec![way("", "let it go on as it is"), skipped(run, step)];
    };
    let pin = divergence.recorded_by.map(|digest| format!(" --pin {}", digest.short())).unwrap_or_default();
    vec![
        way(&pin, "go on with the component that made the journal"),
        way(" --latest", "go on with the active version of its plugin, if that makes the same calls"),
        way(
            " --from-checkpoint",
            "forget what it did after its last checkpoint; add --latest or --pin for another component",
        ),
        WayOut {
            command: format!("pawl run replay {run} {step}"),
            what: "see where it goes another way, without any effect".to_owned(),
        },
    ]
}

/// The way out of what can't be mended.
fn skipped(run: RunId, step: &str) -> WayOut {
    WayOut {
        command: format!("pawl run skip {run} {step} --with JSON"),
        what: "give its output by hand: what needs it goes on with that".to_owned(),
    }
}

/// The way out of a failure for good.
pub(super) fn again(run: RunId, step: &str) -> Vec<WayOut> {
    let way =
        |options: &str, what: &str| WayOut { command: format!("pawl run retry {run}{options}"), what: what.to_owned() };
    vec![
        way(
            &format!(" --step {step}"),
            "try it again from its last checkpoint, once what it failed by is mended; without --step all that has failed",
        ),
        way(" --latest", "the same on the versions that are active now, if a version was to blame"),
        skipped(run, step),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::Digest;

    #[test]
    fn a_divergence_has_three_ways_out_and_names_the_component_that_made_the_journal() {
        let divergence = Divergence {
            position: 4,
            expected: None,
            actual: "durable.now()".into(),
            difference: None,
            component: Some(Digest::of(b"b")),
            recorded_by: Some(Digest::of(b"a")),
            backtrace: None,
        };
        let run = RunId(uuid::Uuid::nil());
        let error = serde_json::to_vec(&divergence).unwrap();
        let commands: Vec<String> = ways_out(run, "load", Some(&error)).into_iter().map(|way| way.command).collect();
        let resume = format!("pawl run resume {run} load");
        assert_eq!(
            commands,
            [
                format!("{resume} --pin {}", Digest::of(b"a").short()),
                format!("{resume} --latest"),
                format!("{resume} --from-checkpoint"),
                format!("pawl run replay {run} load"),
            ]
        );
    }

    #[test]
    fn another_reason_has_two() {
        let ways = ways_out(RunId(uuid::Uuid::nil()), "load", Some(br#"{"message":"it took 3 workers down"}"#));
        assert_eq!(ways.len(), 2, "{ways:?}");
    }
}

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
        return vec![way("", "let it go on as it is"), skipped(run, step), anew(run, step)];
    };
    // Only where that is another one: the component that has left its own journal would leave it again.
    let pin = divergence
        .by_another()
        .map(|made_by| way(&format!(" --pin {}", made_by.short()), "go on with the component that made the journal"));
    let others = [
        way(" --latest", "go on with the active version of its plugin, if that makes the same calls"),
        way(
            " --from-checkpoint",
            "forget what it did after its last checkpoint; add --latest or --pin for another component",
        ),
        anew(run, step),
        WayOut {
            command: format!("pawl run replay {run} {step}"),
            what: "see where it goes another way, without any effect".to_owned(),
        },
    ];
    pin.into_iter().chain(others).collect()
}

/// The way out of a checkpoint that can't be gone on from.
fn anew(run: RunId, step: &str) -> WayOut {
    WayOut {
        command: format!("pawl run retry {run} --from {step} --latest"),
        what:
            "forget its checkpoint, too, and begin anew: it and all that follow it are done again, and effects leave \
               again, under other keys"
                .to_owned(),
    }
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
            &format!(" {step}"),
            "try it again from its last checkpoint, once what it failed by is mended; without the step, all that has failed",
        ),
        way(" --latest", "the same on the versions that are active now, if a version was to blame"),
        anew(run, step),
        skipped(run, step),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::Digest;

    const RUN: RunId = RunId(uuid::Uuid::nil());

    fn diverged(recorded_by: Digest) -> Vec<String> {
        let divergence = Divergence {
            position: 4,
            expected: None,
            actual: "durable.now()".into(),
            difference: None,
            component: Some(Digest::of(b"b")),
            recorded_by: Some(recorded_by),
            backtrace: None,
            restored: None,
        };
        let error = serde_json::to_vec(&divergence).unwrap();
        commands(&ways_out(RUN, "load", Some(&error)))
    }

    fn commands(ways: &[WayOut]) -> Vec<String> {
        ways.iter().map(|way| way.command.clone()).collect()
    }

    #[test]
    fn a_divergence_names_the_component_that_made_the_journal_unless_that_has_left_it_itself() {
        let resume = format!("pawl run resume {RUN} load");
        let others = [
            format!("{resume} --latest"),
            format!("{resume} --from-checkpoint"),
            format!("pawl run retry {RUN} --from load --latest"),
            format!("pawl run replay {RUN} load"),
        ];
        let pin = format!("{resume} --pin {}", Digest::of(b"a").short());
        assert_eq!(diverged(Digest::of(b"a")), [&[pin][..], &others].concat());
        assert_eq!(diverged(Digest::of(b"b")), others, "on that one it would only leave it again");
    }

    #[test]
    fn whatever_a_step_stands_by_it_can_forget_its_checkpoint_and_begin_anew() {
        let parked = ways_out(RUN, "load", Some(br#"{"message":"it took 3 workers down"}"#));
        let anew = format!("pawl run retry {RUN} --from load --latest");
        for ways in [parked, again(RUN, "load")] {
            assert!(commands(&ways).contains(&anew), "{ways:?}");
        }
    }
}

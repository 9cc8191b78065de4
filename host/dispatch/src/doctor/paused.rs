//! What a person has paused stands still until somebody unpauses it, and somebody may have forgotten.

use pawl_base::{counted, duration};
use pawl_domain::namespace::Namespace;
use pawl_store::live::PausedCount;
use pawl_store::pauses::{Pausable, Shelf};

use super::check::Check;

/// Pipelines and queues that are named, and letters of a reason.
const NAMED: usize = 3;
const REASON: usize = 120;

/// `shelves` are the pauses of pipelines and queues, oldest first, with what waits for their ends.
pub(super) fn judge(count: PausedCount, shelves: &[Shelf], now_ms: i64) -> Check {
    let PausedCount { runs, pipelines, queues } = count;
    let mut said: Vec<String> = (runs > 0).then(|| counted(runs.into(), "run")).into_iter().collect();
    said.extend(shelves.iter().take(NAMED).map(|shelf| told(shelf, now_ms)));
    if shelves.len() > NAMED {
        said.push(format!("and {} more", shelves.len() - NAMED));
    }
    let check = match said.as_slice() {
        [] => Check::ok("paused", "nothing is paused"),
        said => {
            Check::warn("paused", format!("paused: {}; nothing of theirs starts", said.join(", ")), fix(runs, shelves))
        }
    };
    let check = match shelves {
        [only] if runs == 0 => check.of(subject(&only.pause.what)),
        _ => check,
    };
    let waiting: u64 = shelves.iter().map(|shelf| u64::from(shelf.steps)).sum();
    check.figure("runs", runs).figure("pipelines", pipelines).figure("queues", queues).figure("waiting_steps", waiting)
}

/// `the queue gpu (for 5 min: new drivers; 37 steps wait)`
fn told(shelf: &Shelf, now_ms: i64) -> String {
    let since = duration((now_ms - shelf.pause.paused_at_ms).max(0));
    let why = shelf.pause.reason.as_ref().map(|reason| format!(": {}", cut(reason))).unwrap_or_default();
    let waits = match (shelf.steps, shelf.more) {
        (steps, true) => format!("{steps} steps or more wait"),
        (0, false) => "no step waits".to_owned(),
        (1, false) => "one step waits".to_owned(),
        (steps, false) => format!("{steps} steps wait"),
    };
    format!("the {} (for {since}{why}; {waits})", subject(&shelf.pause.what))
}

fn cut(reason: &str) -> String {
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// `queue gpu`, `pipeline orders`, and of another namespace than `default` `pipeline team-a/orders`.
fn subject(what: &Pausable) -> String {
    match what {
        Pausable::Queue(queue) => format!("queue {queue}"),
        Pausable::Pipeline(namespace, name) if *namespace == Namespace::default() => format!("pipeline {name}"),
        Pausable::Pipeline(namespace, name) => format!("pipeline {namespace}/{name}"),
    }
}

fn command(what: &Pausable) -> String {
    match what {
        Pausable::Queue(queue) => format!("`pawl queue unpause {queue}`"),
        Pausable::Pipeline(namespace, name) if *namespace == Namespace::default() => {
            format!("`pawl pipeline unpause {name}`")
        }
        Pausable::Pipeline(namespace, name) => format!("`pawl pipeline unpause {name} --namespace {namespace}`"),
    }
}

fn fix(runs: u32, shelves: &[Shelf]) -> String {
    match shelves {
        [] => "`pawl run list --status paused` tells since when and why; each goes on by the button Unpause of its page, or by \
               `pawl run unpause`"
            .to_owned(),
        [only] if runs == 0 => {
            format!("it goes on by the button Unpause of its page, or by {}", command(&only.pause.what))
        }
        [first, ..] => format!(
            "each goes on by the button Unpause of its page, or by a command such as {}; `pawl queue list`, \
             `pawl pipeline list` and `pawl run list --status paused` tell since when and why",
            command(&first.pause.what)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use pawl_store::pauses::Pause;

    fn shelf(what: Pausable, steps: u32) -> Shelf {
        let pause = Pause { what, reason: Some("new drivers".into()), paused_at_ms: 1_000 };
        Shelf { pause, steps, more: false, oldest_ms: (steps > 0).then_some(2_000) }
    }

    #[test]
    fn what_is_paused_is_a_warning_that_names_where_to_look() {
        assert_eq!(judge(PausedCount::default(), &[], 0).status, Status::Ok);
        let runs = judge(PausedCount { runs: 2, pipelines: 0, queues: 0 }, &[], 0);
        assert_eq!((runs.status, runs.found.as_str()), (Status::Warn, "paused: 2 runs; nothing of theirs starts"));
        assert!(runs.subject.is_none() && runs.fix.is_some_and(|fix| fix.contains("--status paused")));

        let gpu = shelf(Pausable::Queue("gpu".into()), 37);
        let check = judge(PausedCount { queues: 1, ..Default::default() }, std::slice::from_ref(&gpu), 3_000);
        assert_eq!(
            check.found,
            "paused: the queue gpu (for 2.0 s: new drivers; 37 steps wait); nothing of theirs starts"
        );
        assert_eq!((check.figures["queues"], check.figures["waiting_steps"]), (1, 37));
        assert_eq!(check.subject.as_deref(), Some("queue gpu"));
        assert!(
            check.fix.is_some_and(|fix| fix.contains("button Unpause") && fix.contains("`pawl queue unpause gpu`"))
        );
    }

    #[test]
    fn of_many_pauses_some_are_named() {
        let here = Namespace::default();
        let there: Namespace = "team-a".parse().unwrap();
        let mut all = vec![
            shelf(Pausable::Pipeline(here, "orders".into()), 1),
            shelf(Pausable::Pipeline(there, "mails".into()), 0),
        ];
        all.extend((0..4).map(|number| shelf(Pausable::Queue(format!("queue-{number}")), 2)));
        let check = judge(PausedCount { runs: 1, pipelines: 2, queues: 4 }, &all, 1_000);
        let parts =
            ["1 run, the pipeline orders (", "the pipeline team-a/mails (", "the queue queue-0 (", "and 3 more"];
        for part in parts {
            assert!(check.found.contains(part), "{part} is not in {}", check.found);
        }
        assert!(check.subject.is_none() && !check.found.contains("queue-1"), "{check:?}");
    }
}

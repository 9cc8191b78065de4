//! What a store holds of a run, to be compared with what the other holds.

use pawl_domain::attempt::Claim;
use pawl_domain::event::EventKind;
use pawl_domain::id::{Fence, RunId, StepId};
use pawl_domain::journal::History;
use pawl_domain::namespace::Namespace;
use pawl_store::SharedStore;
use pawl_store::events::EventRow;
use pawl_store::inbox::SignalRow;
use pawl_store::recoveries::{RecoveryFilter, RecoveryRow};
use pawl_store::runs::{RunRow, StepRow};
use pawl_store::seal::Seal;

/// All that a store holds of a run, but for times.
#[derive(Debug, PartialEq)]
pub struct Held {
    run: RunRow,
    steps: Vec<StepRow>,
    outputs: Vec<Option<Vec<u8>>>,
    pub histories: Vec<History>,
    /// With what each carries.
    inbox: Vec<(SignalRow, Vec<u8>)>,
    /// By step, the oldest first.
    recoveries: Vec<RecoveryRow>,
    /// Those of one commit come in any order.
    events: Vec<EventRow>,
}

impl Held {
    pub async fn read(store: &SharedStore, id: RunId) -> Self {
        let (run, steps) = store.run(id, None).await.expect("the run");
        let mut events = store.events(id, 0, 10_000).await.expect("the events");
        assert!(events.iter().zip(1..).all(|(event, number)| event.number == number), "{events:?}");
        for event in &mut events {
            (event.number, event.at_ms) = (0, 0);
            if event.kind == EventKind::StepReadyForDispatch {
                event.note =
                    event.note.take().map(|note| note.trim_start_matches(|it: char| it.is_ascii_digit()).to_owned());
            }
        }
        events.sort_by_key(|event| format!("{event:?}"));
        let (mut outputs, mut histories) = (Vec::new(), Vec::new());
        for step in &steps {
            if step.status.is_met() {
                outputs.push(store.step_output(id, step.no).await.expect("the output"));
            }
            let claim = Claim {
                journal_length: step.journal_length,
                checkpoint_position: step.checkpoint_position,
                ..Claim::bare(StepId { run: id, step: step.no }, Fence(0))
            };
            histories.push(
                store.history(&claim, usize::MAX, &Seal::CLEAR).await.expect("the history").expect("it is not limited"),
            );
        }
        let mut inbox = Vec::new();
        for signal in store.inbox(id, 0, 1_000).await.expect("the inbox") {
            let (signal, payload) = store.inbox_signal(id, signal.number).await.expect("a signal of it");
            inbox.push((SignalRow { sent_at_ms: 0, ..signal }, payload));
        }
        let namespace = Namespace::default();
        let filter = RecoveryFilter { namespace: &namespace, run: Some(id), before: None, limit: 10_000 };
        let recoveries = store.recoveries(&filter).await.expect("the recoveries");
        let mut recoveries: Vec<RecoveryRow> = recoveries.into_iter().map(timeless_recovery).collect();
        recoveries.sort_by_key(|recovery| (recovery.id.step, recovery.id.fence));
        Self {
            inbox,
            recoveries,
            run: timeless_run(run),
            steps: steps.into_iter().map(timeless_step).collect(),
            outputs,
            histories,
            events,
        }
    }
}

fn timeless_run(run: RunRow) -> RunRow {
    let there = |time: Option<i64>| time.map(|_| 0);
    RunRow {
        created_at_ms: 0,
        started_at_ms: there(run.started_at_ms),
        ended_at_ms: there(run.ended_at_ms),
        paused_at_ms: there(run.paused_at_ms),
        ..run
    }
}

fn timeless_recovery(recovery: RecoveryRow) -> RecoveryRow {
    let there = |time: Option<i64>| time.map(|_| 0);
    RecoveryRow {
        lease_ended_ms: there(recovery.lease_ended_ms),
        taken_over_ms: 0,
        claimed_ms: there(recovery.claimed_ms),
        reloaded_ms: there(recovery.reloaded_ms),
        replayed_ms: there(recovery.replayed_ms),
        ready_ms: there(recovery.ready_ms),
        ..recovery
    }
}

fn timeless_step(step: StepRow) -> StepRow {
    let there = |time: Option<i64>| time.map(|_| 0);
    StepRow {
        ready_at_ms: there(step.ready_at_ms),
        due_at_ms: there(step.due_at_ms),
        claimed_at_ms: there(step.claimed_at_ms),
        started_at_ms: there(step.started_at_ms),
        ended_at_ms: there(step.ended_at_ms),
        ..step
    }
}

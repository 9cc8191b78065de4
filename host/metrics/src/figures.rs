//! All figures: the one place where their names, words, labels and bounds stand. `/metrics`, `docs/metrics.md` and the
//! check of what dashboards and alerts name are made of it. A comment of a figure is its `# HELP`.

use prometheus::Registry;

use crate::definition::{Definition, Role};
use crate::figure::{Count, Counts, Figure, Level, Levels, Spread, Spreads};
use crate::pipeline::Pipelines;

const ALL: &[Role] = &[Role::Api, Role::Worker, Role::Dev];
const SERVING: &[Role] = &[Role::Api, Role::Dev];
const EXECUTING: &[Role] = &[Role::Worker, Role::Dev];
/// Those with servers outside of the process.
const PRODUCTION: &[Role] = &[Role::Api, Role::Worker];

/// Seconds: what takes moments, and what people wait for.
const MOMENTS: &[f64] = &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.1, 1.0];
const SHORT: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const LONG: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 86_400.0];
/// How many.
const NUMBERS: &[f64] = &[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0];
/// Bytes: from a KiB to 64 MiB.
const SIZES: &[f64] =
    &[1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];

macro_rules! figures {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident = $definition:expr,)*) => {
        /// The figures of a process; whoever counts takes a field, or a handle of it, and keeps it.
        #[derive(Debug)]
        pub struct Figures {
            pub(crate) registry: Registry,
            pub(crate) pipelines: Pipelines,
            $($(#[doc = $help])+ pub $field: $kind,)*
        }

        /// Every figure, in the order in which it is told.
        pub static DEFINITIONS: &[Definition] =
            &[$($definition.told_as(<$kind as Figure>::KIND, concat!($($help),+))),*];

        impl Default for Figures {
            fn default() -> Self {
                let registry = Registry::new();
                let mut definitions = DEFINITIONS.iter();
                let mut next = || definitions.next().expect("one for each field");
                let figures = Self { $($field: <$kind>::new(next(), &registry),)* pipelines: Pipelines::default(), registry };
                figures.build_info.of(&[env!("CARGO_PKG_VERSION")]).set(1.0);
                figures.begin();
                figures
            }
        }
    };
}

impl Figures {
    /// Whatever may happen once begins at 0: Prometheus sees no growth of what was not there before.
    fn begin(&self) {
        for reason in ["lease_lost", "gap", "content"] {
            let _ = self.refused_writes.of(&[reason]);
        }
        for reason in ["busy", "too_much"] {
            let _ = self.writes_aside.of(&[reason]);
        }
        for outcome in ["recovered", "failed"] {
            let _ = self.recoveries.of(&[outcome]);
        }
        for stage in ["checkpoint_reload", "replay", "ready_for_dispatch"] {
            let _ = self.recovery_seconds.of(&[stage]);
        }
        for what in ["run", "pipeline_version", "plugin_version", "component", "audit_line"] {
            let _ = self.retention_deleted.of(&[what]);
        }
        for reason in ["limit", "room", "content"] {
            let _ = self.log_lines_dropped.of(&[reason]);
        }
        for reason in ["room", "away", "refused"] {
            let _ = self.spans_dropped.of(&[reason]);
        }
        for kind in ["request", "once"] {
            for sending in ["first", "again"] {
                let _ = self.effects.of(&[kind, sending]);
            }
        }
    }
}

const fn named(name: &'static str, roles: &'static [Role]) -> Definition {
    Definition::named(name, roles)
}

figures! {
    /// Always 1; the label is the version of the program.
    build_info: Levels = named("pawl_build_info", ALL).by(&["version"]),

    /// Runs that submissions have created.
    runs_submitted: Counts = named("pawl_runs_submitted_total", SERVING).by(&["pipeline"]),
    /// Runs that a worker's commit or a person's word has ended, by how; a run that failed and whose last worker died is
    /// missing.
    runs_ended: Counts = named("pawl_runs_ended_total", ALL).by(&["pipeline", "outcome"]),
    /// From the submission of a run to its end; of more than a thousand ends in a second only some are looked at.
    run_seconds: Spreads = named("pawl_run_duration_seconds", EXECUTING).by(&["pipeline"]).within(LONG),
    /// Attempts that were begun under a claim; `first` are those of steps that nobody had claimed before.
    attempts_started: Counts = named("pawl_attempts_started_total", EXECUTING).by(&["pipeline", "attempt"]),
    /// Attempts that have ended, by what was committed: `retried` are failures that another attempt follows, `waiting`
    /// sleeps or awaits a signal, `handed_back` is no fault of the step, `deferred` waits for an outside host that is down, or
    /// for a secret that workers lack.
    attempts_ended: Counts = named("pawl_attempts_ended_total", EXECUTING).by(&["pipeline", "outcome"]),
    /// Time that an attempt was executed, whatever came of it.
    attempt_seconds: Spreads = named("pawl_attempt_duration_seconds", EXECUTING).by(&["pipeline"]).within(LONG),
    /// From when a step became ready to when a worker read its message; what a worker hands on to itself waits for nothing
    /// and is not counted.
    queue_wait_seconds: Spreads = named("pawl_queue_wait_seconds", EXECUTING).by(&["queue", "priority"]).within(LONG),
    /// Journal entries that answered a call again instead of the world.
    replayed_entries: Count = named("pawl_replayed_entries_total", EXECUTING),

    /// Steps that the worker executes now.
    slots_used: Level = named("pawl_slots_used", EXECUTING),
    /// Steps that it would take on now; none in a drain.
    slots_free: Level = named("pawl_slots_free", EXECUTING),
    /// Steps that were taken over from workers whose lease has ended, and are ready again.
    takeovers: Count = named("pawl_takeovers_total", ALL),
    /// Recoveries that have ended in this process, by how: `recovered` steps went on, `failed` ones were parked or failed in
    /// their replay. One that ends with the takeover itself is in `pawl recoveries` alone.
    recoveries: Counts = named("pawl_recoveries_total", EXECUTING).by(&["outcome"]),
    /// Stages of these, each from the one before: `checkpoint_reload` from the begin of the attempt, then `replay`, then
    /// `ready_for_dispatch`, the first new call.
    recovery_seconds: Spreads = named("pawl_recovery_stage_seconds", EXECUTING).by(&["stage"]).within(SHORT),
    /// Leases that this process has lost: it went on under a new id.
    leases_lost: Count = named("pawl_leases_lost_total", EXECUTING),
    /// Ready steps whose message was gone, delivered again.
    lost_messages: Count = named("pawl_lost_messages_total", EXECUTING),

    /// Steps that write in one commit of a worker.
    batch_steps: Spread = named("pawl_batch_steps", EXECUTING).within(NUMBERS),
    /// Claims that are asked for in one commit of a worker.
    batch_claims: Spread = named("pawl_batch_claims", EXECUTING).within(NUMBERS),
    /// From the sending of a worker's commit, with its claims and outcomes, to the answer.
    batch_seconds: Spread = named("pawl_batch_commit_seconds", EXECUTING).within(SHORT),
    /// Writes that were refused: the lease was lost, the journal had a gap, or the store can't take the content.
    refused_writes: Counts = named("pawl_refused_writes_total", EXECUTING).by(&["reason"]),
    /// Writes that were set aside to be sent again by themselves: somebody else held the run, or they took too long.
    writes_aside: Counts = named("pawl_writes_set_aside_total", EXECUTING).by(&["reason"]),
    /// Packed journal entries that were committed.
    journal_bytes: Count = named("pawl_journal_bytes_total", EXECUTING),
    /// States of checkpoints that were committed.
    checkpoint_bytes: Spread = named("pawl_checkpoint_size_bytes", EXECUTING).within(SIZES),
    /// Lines of steps' logs that were stored.
    log_lines: Count = named("pawl_log_lines_total", EXECUTING),
    /// Lines of steps' logs that were dropped: the attempt had logged as much as it may, the worker held as many as it may
    /// while the store did not take them, or the store can't take them.
    log_lines_dropped: Counts = named("pawl_log_lines_dropped_total", EXECUTING).by(&["reason"]),
    /// Runs that are submitted in one commit.
    submission_runs: Spread = named("pawl_submission_batch_runs", SERVING).within(NUMBERS),
    /// From the sending of a commit of submissions to the answer, with what was sent again.
    submission_seconds: Spread = named("pawl_submission_commit_seconds", SERVING).within(SHORT),

    /// Components that were compiled, or loaded from the folder of compiled ones, and how long that took.
    compile_seconds: Spread = named("pawl_compile_seconds", ALL).within(SHORT),
    /// To make an instance of a component for one attempt.
    instantiate_seconds: Spread = named("pawl_instantiate_seconds", EXECUTING).within(MOMENTS),
    /// What all guests together make the process hold.
    guest_memory: Level = named("pawl_guest_memory_bytes", EXECUTING),
    /// What all guests together may make the process hold; beyond it they wait.
    guest_memory_budget: Level = named("pawl_guest_memory_budget_bytes", EXECUTING),
    /// Guests that wait for memory.
    guests_waiting: Level = named("pawl_guests_waiting_for_memory", EXECUTING),
    /// Effects that left: requests with an unsafe method that were answered or may have been, and own effects (`once`) that
    /// were begun; `again` are those that had left before, under the same key.
    effects: Counts = named("pawl_effects_total", EXECUTING).by(&["kind", "sending"]),

    /// Whether the store answered the last question, and takes writes: 1 or 0.
    store_up: Level = named("pawl_store_up", ALL),
    /// Whether the queue answered the last question: 1 or 0.
    queue_up: Level = named("pawl_queue_up", ALL),
    /// Waits for a connection of the pool to the store.
    pool_wait_seconds: Spread = named("pawl_store_pool_wait_seconds", PRODUCTION).within(SHORT),
    /// Connections to the store that broke, did not answer in time, or were given up after a statement that failed.
    store_connections_lost: Count = named("pawl_store_connections_lost_total", PRODUCTION),
    /// Connections to the queue that broke, or did not answer in time.
    queue_connections_lost: Count = named("pawl_queue_connections_lost_total", PRODUCTION),
    /// How often the queue had lost all that it held: its server was emptied, or came back empty.
    queue_losses: Count = named("pawl_queue_losses_total", EXECUTING),

    /// Spans that a collector has taken.
    spans_sent: Count = named("pawl_spans_sent_total", ALL),
    /// Spans that were dropped: the process held as many as it may, the collector was away for too long, or it refused them.
    spans_dropped: Counts = named("pawl_spans_dropped_total", ALL).by(&["reason"]),

    /// What is gone because its retention or grace has ended: a `run`, a `pipeline_version`, a `plugin_version`, a `component`, a line of the audit (`audit_line`).
    retention_deleted: Counts = named("pawl_retention_deleted_total", ALL).by(&["what"]),
    /// For how long the run that is deleted now has been due; 0 while none is, and at workers that do not delete.
    retention_lag: Level = named("pawl_retention_lag_seconds", ALL),

    /// Messages of a stream, read or not.
    queue_messages: Levels = named("pawl_queue_messages", SERVING).by(&["queue", "priority"]),
    /// Messages that a worker has read and whose consequence is not committed.
    queue_pending: Levels = named("pawl_queue_pending_messages", SERVING).by(&["queue", "priority"]),
    /// Steps of a queue that wait for a worker or are executed by one: what autoscaling goes by, and `/v1/scale` tells.
    queue_steps: Levels = named("pawl_queue_steps", SERVING).by(&["queue"]),
    /// How long the oldest ready step of a stream has been ready.
    queue_oldest_seconds: Levels = named("pawl_queue_oldest_ready_seconds", SERVING).by(&["queue", "priority"]),
    /// Steps that wait for a person; of more than ten thousand that ever did, the first ten thousand are counted.
    parked_steps: Level = named("pawl_parked_steps", SERVING),
    /// Steps that have failed for good or are parked and that nobody has looked after, of the first ten thousand.
    dead_letters: Levels = named("pawl_dead_letters", SERVING).by(&["state"]),
    /// What a person has paused: each `run` that has not ended (of the first ten thousand), `pipeline` and `queue`.
    paused: Levels = named("pawl_paused", SERVING).by(&["what"]),
    /// Outside hosts that are down, so that attempts which would call them are deferred: `open` ones nobody calls, of
    /// `half_open` ones an attempt finds out whether they are back.
    circuits: Levels = named("pawl_circuits", SERVING).by(&["state"]),
    /// Worker processes that the store knows: `alive`, `draining`, or `expired` and not yet swept.
    workers: Levels = named("pawl_workers", SERVING).by(&["state"]),
}

//! Which table and column of the embedded store becomes which of Postgres. A test reads the columns of both stores from the
//! stores themselves, and holds this list, and what it has carried, against them: a table or column that a migration adds
//! belongs here, in the same commit.

/// A table of Postgres, and where its rows come from.
#[derive(Debug)]
pub(crate) struct Table {
    /// In Postgres.
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    pub(super) rows: Rows,
    /// They come into a temporary table `restored_…` first: what is there may be in their way.
    pub(crate) is_staged: bool,
    /// What is done when its rows are there.
    pub(crate) then: &'static str,
}

/// Where rows are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows {
    /// In a table of the embedded store.
    Of(&'static str),
    /// By `derived`.
    Events,
    /// By `derived`.
    PipelineSteps,
}

/// A column of Postgres.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(super) kind: Kind,
    /// What is read for it in the embedded store.
    pub(super) from: &'static str,
}

/// How a value stands in the two stores.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Uuid,
    Bytes,
    Text,
    /// A JSON array of texts; an array of texts.
    Texts,
    /// 0 or 1.
    Bool,
    Small,
    Int,
    Big,
    Real,
    /// Since 1970; a time.
    Ms,
    /// The same in µs.
    Us,
    /// Written with its whole row.
    Derived,
}

use Kind::{Big, Bool, Bytes, Derived, Int, Ms, Real, Small, Text, Texts, Us, Uuid};

/// The column has the same name in both.
const fn col(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, from: name }
}

/// It is read otherwise.
const fn read(name: &'static str, kind: Kind, from: &'static str) -> Column {
    Column { name, kind, from }
}

const fn table(name: &'static str, rows: Rows, columns: &'static [Column]) -> Table {
    Table { name, columns, rows, is_staged: false, then: "" }
}

impl Table {
    const fn staged(self) -> Self {
        Self { is_staged: true, ..self }
    }

    const fn then(self, then: &'static str) -> Self {
        Self { then, ..self }
    }
}

/// All that is carried, in an order in which nothing is named before it is there.
pub(crate) static TABLES: [Table; 24] = [
    table("component", Rows::Of("component"), &[col("digest", Bytes), col("bytes", Bytes), col("created_at", Ms)]),
    // A plugin names its versions, and they name it.
    table("plugin", Rows::Of("plugin"), PLUGIN)
        .staged()
        .then("insert into plugin (namespace, name) select namespace, name from restored_plugin"),
    table("plugin_version", Rows::Of("plugin_version"), PLUGIN_VERSION).then(
        "update plugin p set active_version = r.active_version, previous_version = r.previous_version,
                             earlier_versions = r.earlier_versions
         from restored_plugin r where r.namespace = p.namespace and r.name = p.name",
    ),
    table("pipeline_version", Rows::Of("pipeline_version"), PIPELINE_VERSION),
    table("pipeline_step", Rows::PipelineSteps, PIPELINE_STEP),
    table("pipeline", Rows::Of("pipeline"), PIPELINE),
    table("run", Rows::Of("run"), RUN),
    table("step", Rows::Of("step s"), STEP),
    table("journal", Rows::Of("journal"), JOURNAL),
    table("checkpoint", Rows::Of("checkpoint"), CHECKPOINT),
    table("signal", Rows::Of("signal"), SIGNAL),
    table("event", Rows::Events, EVENT),
    table("recovery", Rows::Of("recovery"), RECOVERY),
    table("step_log", Rows::Of("step_log"), STEP_LOG),
    table("dead_letter", Rows::Of("dead_letter"), DEAD_LETTER),
    table("remains", Rows::Of("remains"), &[col("run_id", Uuid), col("at", Ms)]),
    table("namespace", Rows::Of("namespace"), &[col("name", Text), col("created_at", Ms), col("created_by", Text)]),
    table("namespace_key", Rows::Of("namespace_key"), NAMESPACE_KEY),
    table("run_key", Rows::Of("run_key"), &[col("run_id", Uuid), col("version", Int), col("wrapped", Bytes), col("erased_at", Ms)]),
    table("quota", Rows::Of("quota"), &[col("namespace", Text), col("runs", Int), col("submissions", Int), col("components", Int), col("stored_bytes", Big)]),
    // The next one's number comes after those that steps name.
    table("pause", Rows::Of("pause"), PAUSE).then(
        "select setval(pg_get_serial_sequence('pause', 'id'),
                       1 + greatest(0, (select max(p.id) from pause p),
                                    (select max(s.shelved_by) from step s where s.shelved_by is not null)), false)",
    ),
    // Before the circuits, which would open theirs. Processes of the database may have seen some already.
    table("incident", Rows::Of("incident"), INCIDENT).staged().then(
        "insert into incident (id, kind, namespace, subject, detail, steps, began_at, seen_at, ended_at)
         overriding system value
         select r.id + (select coalesce(max(i.id), 0) from incident i), r.kind, r.namespace, r.subject, r.detail, r.steps,
                r.began_at, r.seen_at, r.ended_at
         from restored_incident r order by r.id
         on conflict do nothing;
         select setval(pg_get_serial_sequence('incident', 'id'), 1 + (select coalesce(max(i.id), 0) from incident i), false)",
    ),
    table("circuit", Rows::Of("circuit"), CIRCUIT).then(
        "select setval(pg_get_serial_sequence('circuit', 'id'),
                       1 + greatest(0, (select max(c.id) from circuit c),
                                    (select max(s.deferred_by) from step s where s.deferred_by is not null)), false)",
    ),
    // A worker that is there already has its own settings, and the turn.
    table("retention", Rows::Of("retention"), RETENTION).staged().then(
        "insert into retention (is_this, holder_id, until, succeeded_ms, failed_ms, cancelled_ms, grace_ms, audit_ms)
         select is_this, holder_id, until, succeeded_ms, failed_ms, cancelled_ms, grace_ms, audit_ms from restored_retention
         on conflict do nothing",
    ),
];

const PLUGIN: &[Column] = &[
    col("namespace", Text),
    col("name", Text),
    col("active_version", Text),
    col("previous_version", Text),
    col("earlier_versions", Texts),
];

const PLUGIN_VERSION: &[Column] = &[
    col("namespace", Text),
    col("name", Text),
    col("version", Text),
    col("digest", Bytes),
    col("manifest", Bytes),
    col("created_at", Ms),
    col("wanted_at", Us),
    col("last_named_at", Ms),
];

const PIPELINE_VERSION: &[Column] = &[
    col("digest", Bytes),
    col("name", Text),
    col("spec", Bytes),
    col("steps", Int),
    read("versions", Text, "coalesce(json_extract(cast(spec as text), '$.versions'), 'submission')"),
    col("created_at", Ms),
    col("retention", Text),
    col("last_named_at", Ms),
];

const PIPELINE_STEP: &[Column] = &[
    col("digest", Derived),
    col("step_no", Derived),
    col("plugin", Derived),
    col("version", Derived),
    col("needs", Derived),
    col("successors", Derived),
    col("queue", Derived),
    col("priority", Derived),
];

const PIPELINE: &[Column] = &[
    col("namespace", Text),
    col("name", Text),
    col("digest", Bytes),
    col("updated_at", Ms),
    col("earlier_versions", Texts),
];

const RUN: &[Column] = &[
    col("id", Uuid),
    col("namespace", Text),
    col("pipeline_digest", Bytes),
    col("status", Text),
    col("input", Bytes),
    col("idempotency_key", Text),
    col("request_digest", Bytes),
    col("steps", Int),
    col("live", Int),
    col("running", Int),
    col("failing", Bool),
    col("event_count", Int),
    col("signal_count", Int),
    col("created_at", Ms),
    col("started_at", Ms),
    col("ended_at", Ms),
    col("pipeline", Text),
    col("kept", Bool),
    col("paused_at", Ms),
    col("pause_reason", Text),
    col("trace", Text),
];

const STEP: &[Column] = &[
    col("run_id", Uuid),
    col("step_no", Int),
    col("queue", Text),
    col("priority", Text),
    col("status", Text),
    col("unmet", Int),
    col("fence", Big),
    col("worker_id", Uuid),
    col("component", Bytes),
    col("recorded_by", Bytes),
    col("attempts", Int),
    col("failures", Int),
    col("crashes", Int),
    col("alone", Bool),
    col("crash_mark", Big),
    col("journal_length", Int),
    col("checkpoint_position", Int),
    col("checkpoint_ordinal", Int),
    col("ready_at", Ms),
    col("shelved_by", Big),
    col("due_at", Ms),
    col("deferred_by", Big),
    col("awaits_position", Int),
    col("awaits_until", Ms),
    col("awaits", Text),
    col("claimed_at", Ms),
    col("started_at", Ms),
    col("ended_at", Ms),
    col("output", Bytes),
    col("output_digest", Bytes),
    col("error", Bytes),
    col("progress", Real),
    col("progress_message", Text),
    // Known to the embedded store by its dead letter.
    read(
        "parked_at",
        Ms,
        "iif(s.status = 'parked', coalesce((select d.at from dead_letter d where d.run_id = s.run_id and d.step_no = s.step_no),
                                           s.claimed_at, 0), null)",
    ),
];

const JOURNAL: &[Column] = &[
    col("run_id", Uuid),
    col("step_no", Int),
    col("first", Int),
    col("length", Int),
    col("digest", Bytes),
    col("bytes", Bytes),
];

const CHECKPOINT: &[Column] = &[
    col("run_id", Uuid),
    col("step_no", Int),
    col("ordinal", Int),
    col("position", Int),
    col("random_position", Big),
    col("effect_ordinal", Int),
    col("prelude", Int),
    col("digest", Bytes),
    col("state", Bytes),
    col("created_at", Ms),
];

const SIGNAL: &[Column] = &[
    col("run_id", Uuid),
    col("id", Int),
    col("name", Text),
    col("key", Text),
    col("payload", Bytes),
    col("digest", Bytes),
    col("created_at", Ms),
    col("step_no", Int),
    col("position", Int),
    col("rejection", Bytes),
    col("sent_digest", Bytes),
    col("changes", Int),
];

const EVENT: &[Column] = &[
    col("run_id", Derived),
    col("first", Derived),
    col("at", Derived),
    col("kinds", Derived),
    col("steps", Derived),
    col("fences", Derived),
    col("workers", Derived),
    col("notes", Derived),
];

const RECOVERY: &[Column] = &[
    col("run_id", Uuid),
    col("step_no", Int),
    col("fence", Big),
    col("worker_id", Uuid),
    col("lease_ended_at", Ms),
    col("taken_over_at", Ms),
    col("checkpoint_position", Int),
    col("to_replay", Int),
    col("replacement_id", Uuid),
    col("claimed_at", Ms),
    col("reloaded_at", Ms),
    col("replayed_at", Ms),
    col("ready_at", Ms),
    col("replayed", Int),
    col("outcome", Text),
];

const STEP_LOG: &[Column] = &[
    col("run_id", Uuid),
    col("first", Big),
    col("step_no", Int),
    col("fence", Big),
    col("worker_id", Uuid),
    col("attempt", Int),
    col("place", Int),
    col("length", Int),
    col("level", Small),
    col("last_ms", Big),
    col("lines_until", Big),
    col("bytes_until", Big),
    col("bytes", Bytes),
];

const DEAD_LETTER: &[Column] = &[
    col("run_id", Uuid),
    col("step_no", Int),
    col("namespace", Text),
    col("pipeline", Text),
    col("pipeline_digest", Bytes),
    col("state", Text),
    col("at", Ms),
    col("cause", Text),
    col("run_created_at", Ms),
    // To nobody: whoever listens to the new installation has just begun.
    read("told", Bool, "true"),
];

const NAMESPACE_KEY: &[Column] = &[
    col("namespace", Text),
    col("version", Int),
    col("key_id", Text),
    col("wrapped", Bytes),
    col("sealed", Bytes),
    col("created_at", Ms),
    col("created_by", Text),
    col("retired_at", Ms),
    col("erased_at", Ms),
];

const PAUSE: &[Column] = &[
    col("id", Big),
    col("kind", Text),
    col("namespace", Text),
    col("name", Text),
    col("reason", Text),
    col("paused_at", Ms),
    col("ended_at", Ms),
];

const INCIDENT: &[Column] = &[
    col("id", Big),
    col("kind", Text),
    col("namespace", Text),
    col("subject", Text),
    col("detail", Text),
    col("steps", Int),
    col("began_at", Ms),
    col("seen_at", Ms),
    col("ended_at", Ms),
];

const CIRCUIT: &[Column] = &[
    col("id", Big),
    col("namespace", Text),
    col("origin", Text),
    col("reason", Text),
    col("failures", Int),
    col("opened_at", Ms),
    col("opened_by", Uuid),
    col("open_ms", Big),
    col("retry_at", Ms),
    col("probe", Int),
    col("probed_by", Uuid),
    col("probe_until", Ms),
    col("pulled_at", Ms),
    col("closed_at", Ms),
];

const RETENTION: &[Column] = &[
    col("is_this", Bool),
    col("holder_id", Uuid),
    col("until", Ms),
    col("succeeded_ms", Big),
    col("failed_ms", Big),
    col("cancelled_ms", Big),
    col("grace_ms", Big),
    col("audit_ms", Big),
];

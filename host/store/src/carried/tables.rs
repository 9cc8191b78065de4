//! Which table and column of the embedded store becomes which of Postgres. A test reads the columns of both stores from the
//! stores themselves, and holds this list, and what it has carried, against them: a table or column that a migration adds
//! belongs here, in the same commit.

use Kind::{Big, Bytes, Int, Ms, Text, Uuid};
use columns::{
    CHECKPOINT, CIRCUIT, DEAD_LETTER, EVENT, INCIDENT, JOURNAL, NAMESPACE_KEY, PAUSE, PIPELINE, PIPELINE_STEP,
    PIPELINE_VERSION, PLUGIN, PLUGIN_VERSION, RECOVERY, RETENTION, RUN, SIGNAL, STEP, STEP_LOG,
};

mod columns;

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

//! The columns of each table that has more than a few.

use super::Kind::{Big, Bool, Bytes, Derived, Int, Ms, Real, Small, Text, Texts, Us, Uuid};
use super::{Column, col, read};

pub(super) const PLUGIN: &[Column] = &[
    col("namespace", Text),
    col("name", Text),
    col("active_version", Text),
    col("previous_version", Text),
    col("earlier_versions", Texts),
];

pub(super) const PLUGIN_VERSION: &[Column] = &[
    col("namespace", Text),
    col("name", Text),
    col("version", Text),
    col("digest", Bytes),
    col("manifest", Bytes),
    col("created_at", Ms),
    col("wanted_at", Us),
    col("last_named_at", Ms),
];

pub(super) const PIPELINE_VERSION: &[Column] = &[
    col("digest", Bytes),
    col("name", Text),
    col("spec", Bytes),
    col("steps", Int),
    read("versions", Text, "coalesce(json_extract(cast(spec as text), '$.versions'), 'submission')"),
    col("created_at", Ms),
    col("retention", Text),
    col("last_named_at", Ms),
];

pub(super) const PIPELINE_STEP: &[Column] = &[
    col("digest", Derived),
    col("step_no", Derived),
    col("plugin", Derived),
    col("version", Derived),
    col("needs", Derived),
    col("successors", Derived),
    col("queue", Derived),
    col("priority", Derived),
];

pub(super) const PIPELINE: &[Column] = &[
    col("namespace", Text),
    col("name", Text),
    col("digest", Bytes),
    col("updated_at", Ms),
    col("earlier_versions", Texts),
];

pub(super) const RUN: &[Column] = &[
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

pub(super) const STEP: &[Column] = &[
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

pub(super) const JOURNAL: &[Column] = &[
    col("run_id", Uuid),
    col("step_no", Int),
    col("first", Int),
    col("length", Int),
    col("digest", Bytes),
    col("bytes", Bytes),
];

pub(super) const CHECKPOINT: &[Column] = &[
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

pub(super) const SIGNAL: &[Column] = &[
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

pub(super) const EVENT: &[Column] = &[
    col("run_id", Derived),
    col("first", Derived),
    col("at", Derived),
    col("kinds", Derived),
    col("steps", Derived),
    col("fences", Derived),
    col("workers", Derived),
    col("notes", Derived),
];

pub(super) const RECOVERY: &[Column] = &[
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

pub(super) const STEP_LOG: &[Column] = &[
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

pub(super) const DEAD_LETTER: &[Column] = &[
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

pub(super) const NAMESPACE_KEY: &[Column] = &[
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

pub(super) const PAUSE: &[Column] = &[
    col("id", Big),
    col("kind", Text),
    col("namespace", Text),
    col("name", Text),
    col("reason", Text),
    col("paused_at", Ms),
    col("ended_at", Ms),
];

pub(super) const INCIDENT: &[Column] = &[
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

pub(super) const CIRCUIT: &[Column] = &[
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

pub(super) const RETENTION: &[Column] = &[
    col("is_this", Bool),
    col("holder_id", Uuid),
    col("until", Ms),
    col("succeeded_ms", Big),
    col("failed_ms", Big),
    col("cancelled_ms", Big),
    col("grace_ms", Big),
    col("audit_ms", Big),
];

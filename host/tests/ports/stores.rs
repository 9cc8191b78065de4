//! What a store does besides the state machines, on both of them: the parts of it, in the order in which they build on each
//! other, and what they share.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pawl_domain::id::{Digest, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, StepSpec, Versions};
use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::leases::Heartbeat;
use pawl_store::plugins::NewVersion;
use pawl_store::{Link, Postgres, SharedStore, Sqlite};

use crate::circuits::{
    one_probes_and_only_the_newest_probe_counts, what_is_deferred_comes_back_one_to_probe_and_all_in_pieces,
};
use crate::dead_letters::{
    a_step_that_is_skipped_has_the_output_that_a_person_gives, dead_letters_come_and_go_with_their_steps,
    dead_letters_of_one_cause_stand_together, what_is_done_again_begins_with_nothing_but_its_round,
};
use crate::incidents::{
    a_circuit_is_an_incident_from_its_opening_to_its_end, a_queue_with_work_that_nobody_serves_is_found,
    a_sighting_that_is_told_twice_is_one_and_one_that_nobody_sees_any_more_ends,
    a_worker_that_dies_with_steps_is_one_incident_unless_it_is_back,
    only_the_newest_incidents_are_kept_and_they_are_read_page_by_page,
    what_several_processes_see_becomes_one_as_it_was_decided,
};
use crate::leases::{a_lease_that_has_ended_cannot_be_renewed, ready_steps_are_found_again};
use crate::logs::{
    a_log_is_read_page_by_page_and_from_its_end, lines_are_numbered_as_they_come_and_kept_once,
    lines_of_a_claim_that_is_over_are_kept_as_its_own, of_a_step_the_newest_lines_are_kept,
};
use crate::namespaces::{
    a_namespace_is_made_once_and_a_run_is_of_one, names_of_tokens_are_each_namespaces_own,
    what_a_namespace_holds_is_measured_and_goes_with_its_runs,
};
use crate::operators::{a_worker_is_asked_to_drain_once_and_hears_of_it, what_an_operator_looks_at_is_told};
use crate::pauses::{
    runs_that_are_paused_are_listed_and_there_is_an_end_to_pauses,
    what_is_paused_is_told_and_its_steps_come_back_in_pieces,
};
use crate::plugins::{
    a_rollback_goes_back_in_history, nothing_crosses_a_namespace, pipelines_have_a_current_version,
    versions_of_plugins_never_change, workers_say_what_they_can_load,
};
use crate::recoveries::{
    a_persons_retry_is_no_recovery, takeovers_leave_records, what_nobody_moves_is_found_and_goes_on,
};
use crate::retention::{
    a_large_run_is_gone_at_once_and_goes_in_pieces, one_at_a_time_has_its_turn_and_its_settings_are_told,
    versions_that_nothing_names_go, what_has_ended_goes_and_what_is_kept_stays,
};
use crate::runs::{
    a_run_of_ten_thousand_steps_is_stopped_and_opened_again, a_run_that_never_stands_still_can_be_stopped,
    an_inbox_has_a_limit, outputs_are_there_when_a_run_has_succeeded, runs_are_listed_newest_first,
    submissions_are_the_same_under_one_key, what_waits_can_be_named,
};
use crate::sealing::{
    a_namespaces_keys_are_numbered_and_what_is_erased_leaves_its_row,
    a_runs_key_comes_with_its_submission_and_is_erased_after_its_end,
};
use crate::secrets::a_secret_is_kept_sealed_and_of_two_changes_at_once_one_is_refused;
use crate::seen::{an_inbox_is_seen_and_changed, queues_that_are_named_or_unserved_are_told};
use crate::tokens::{
    a_token_is_found_by_its_digest_until_it_is_over, changes_are_found_by_time,
    changes_are_recorded_before_they_are_made_and_completed_after, changes_go_oldest_first_when_their_term_has_ended,
};
use crate::traces::{a_run_keeps_the_trace_of_its_first_submission, the_claim_before_is_known_over_takeovers};
use crate::waits::what_waits_is_listed_by_signal_and_by_time;

pub static HERE: LazyLock<Namespace> = LazyLock::new(Namespace::default);

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    conforms(&(Arc::new(Sqlite::open(folder.path()).expect("a store")) as SharedStore)).await;
}

#[tokio::test]
async fn postgres_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = PrivatePostgres::start(folder.path()).expect("a private Postgres");
    let store = Postgres::new(&postgres.url(), 4, Duration::from_secs(30)).expect("a store");
    conforms(&(Arc::new(store) as SharedStore)).await;
}

pub async fn conforms(store: &SharedStore) {
    store.migrate().await.expect("migrations");
    store.check_schema().await.expect("the schema of this build");
    versions_of_plugins_never_change(store).await;
    a_rollback_goes_back_in_history(store).await;
    workers_say_what_they_can_load(store).await;
    pipelines_have_a_current_version(store).await;
    let runs = submissions_are_the_same_under_one_key(store).await;
    runs_are_listed_newest_first(store, &runs).await;
    nothing_crosses_a_namespace(store, runs[0]).await;
    a_namespace_is_made_once_and_a_run_is_of_one(store, runs[0]).await;
    outputs_are_there_when_a_run_has_succeeded(store, runs[0]).await;
    a_lease_that_has_ended_cannot_be_renewed(store).await;
    ready_steps_are_found_again(store).await;
    what_waits_can_be_named(store, runs[1]).await;
    a_run_that_never_stands_still_can_be_stopped(store).await;
    an_inbox_has_a_limit(store).await;
    an_inbox_is_seen_and_changed(store).await;
    queues_that_are_named_or_unserved_are_told(store).await;
    a_run_of_ten_thousand_steps_is_stopped_and_opened_again(store).await;
    takeovers_leave_records(store).await;
    a_persons_retry_is_no_recovery(store).await;
    what_nobody_moves_is_found_and_goes_on(store).await;
    a_run_keeps_the_trace_of_its_first_submission(store).await;
    the_claim_before_is_known_over_takeovers(store).await;
    what_has_ended_goes_and_what_is_kept_stays(store).await;
    a_large_run_is_gone_at_once_and_goes_in_pieces(store).await;
    one_at_a_time_has_its_turn_and_its_settings_are_told(store).await;
    versions_that_nothing_names_go(store).await;
    what_a_namespace_holds_is_measured_and_goes_with_its_runs(store).await;
    lines_are_numbered_as_they_come_and_kept_once(store).await;
    lines_of_a_claim_that_is_over_are_kept_as_its_own(store).await;
    a_log_is_read_page_by_page_and_from_its_end(store).await;
    of_a_step_the_newest_lines_are_kept(store).await;
    dead_letters_come_and_go_with_their_steps(store).await;
    dead_letters_of_one_cause_stand_together(store).await;
    a_step_that_is_skipped_has_the_output_that_a_person_gives(store).await;
    what_is_done_again_begins_with_nothing_but_its_round(store).await;
    a_worker_is_asked_to_drain_once_and_hears_of_it(store).await;
    what_an_operator_looks_at_is_told(store).await;
    what_waits_is_listed_by_signal_and_by_time(store).await;
    what_is_paused_is_told_and_its_steps_come_back_in_pieces(store).await;
    runs_that_are_paused_are_listed_and_there_is_an_end_to_pauses(store).await;
    one_probes_and_only_the_newest_probe_counts(store).await;
    what_is_deferred_comes_back_one_to_probe_and_all_in_pieces(store).await;
    what_several_processes_see_becomes_one_as_it_was_decided(store).await;
    a_sighting_that_is_told_twice_is_one_and_one_that_nobody_sees_any_more_ends(store).await;
    a_worker_that_dies_with_steps_is_one_incident_unless_it_is_back(store).await;
    a_circuit_is_an_incident_from_its_opening_to_its_end(store).await;
    a_queue_with_work_that_nobody_serves_is_found(store).await;
    only_the_newest_incidents_are_kept_and_they_are_read_page_by_page(store).await;
    a_token_is_found_by_its_digest_until_it_is_over(store).await;
    names_of_tokens_are_each_namespaces_own(store).await;
    changes_are_recorded_before_they_are_made_and_completed_after(store).await;
    changes_are_found_by_time(store).await;
    changes_go_oldest_first_when_their_term_has_ended(store).await;
    a_secret_is_kept_sealed_and_of_two_changes_at_once_one_is_refused(store).await;
    a_namespaces_keys_are_numbered_and_what_is_erased_leaves_its_row(store).await;
    a_runs_key_comes_with_its_submission_and_is_erased_after_its_end(store, "pair").await;
    let violations = store.doctor(Duration::from_secs(60), false).await.expect("checked");
    assert_eq!(violations, []);
}

/// A store with a pipeline of two steps that need nothing, and one that needs both.
pub async fn prepared(store: &SharedStore) {
    store.migrate().await.expect("migrations");
    store.push_version(version("1", b"one", true)).await.expect("pushed");
    store.apply_pipeline(&HERE, &pipeline("two")).await.expect("applied");
}

pub fn version<'a>(version: &'a str, bytes: &'a [u8], activate: bool) -> NewVersion<'a> {
    NewVersion {
        namespace: &HERE,
        name: "plugin",
        version,
        digest: Digest::of(bytes),
        bytes,
        manifest: b"{\"name\":\"plugin\"}",
        activate,
    }
}

/// `a` and `b` need nothing, `c` needs both.
pub fn pipeline(queue: &str) -> Pipeline {
    let step = |name: &str, needs: &[i32]| {
        let spec = serde_json::json!({"name": name, "plugin": "plugin", "needs": needs, "queue": queue});
        serde_json::from_value::<StepSpec>(spec).expect("a step")
    };
    Pipeline {
        name: "pair".into(),
        versions: Versions::default(),
        retention: Default::default(),
        steps: vec![step("a", &[]), step("b", &[]), step("c", &[0, 1])],
    }
}

pub fn beat(worker: WorkerId, begin: bool) -> Heartbeat<'static> {
    Heartbeat {
        worker,
        lease_ms: 60_000,
        begin,
        host: "here",
        pid: 7,
        slots: 3,
        queues: &[],
        running: 0,
        draining: false,
        version: "test",
        clock_ms: 0,
    }
}

pub async fn worker(store: &SharedStore, link: &mut dyn Link, lease_ms: u32) -> WorkerId {
    let worker = WorkerId::new();
    let queues = ["two".to_owned()];
    let begin = Heartbeat { lease_ms, queues: &queues, ..beat(worker, true) };
    assert!(link.heartbeat(&begin).await.expect("a heartbeat").alive);
    let row = store.workers().await.expect("workers").into_iter().find(|row| row.id == worker).expect("the worker");
    assert_eq!((row.host.as_str(), row.pid, row.slots, row.queues), ("here", 7, 3, queues.to_vec()));
    worker
}

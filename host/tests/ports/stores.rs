//! What a store does besides the state machines: plugins, pipelines, what people read, leases, refusals.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pawl_domain::attempt::{ClaimedInput, Ingredients};
use pawl_domain::id::{Digest, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, Priority, StepSpec, Versions};
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_domain::succession::Plan;
use pawl_domain::suspicion::Suspicion;
use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::control::Signal;
use pawl_store::leases::{Heartbeat, Look, ReadyFrom};
use pawl_store::plugins::NewVersion;
use pawl_store::readiness::Report;
use pawl_store::runs::RunFilter;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::write::{Batch, Member, Settlement};
use pawl_store::{Error, Link, Postgres, SharedStore, Sqlite};

use crate::dead_letters::{
    a_step_that_is_skipped_has_the_output_that_a_person_gives, dead_letters_come_and_go_with_their_steps,
    dead_letters_of_one_cause_stand_together, what_is_done_again_begins_with_nothing_but_its_round,
};
use crate::logs::{
    a_log_is_read_page_by_page_and_from_its_end, lines_are_numbered_as_they_come_and_kept_once,
    lines_of_a_claim_that_is_over_are_kept_as_its_own, of_a_step_the_newest_lines_are_kept,
};
use crate::operators::{a_worker_is_asked_to_drain_once_and_hears_of_it, what_an_operator_looks_at_is_told};
use crate::recoveries::{takeovers_leave_records, what_nobody_moves_is_found_and_goes_on};
use crate::retention::{
    a_large_run_is_gone_at_once_and_goes_in_pieces, one_at_a_time_has_its_turn_and_its_settings_are_told,
    versions_that_nothing_names_go, what_has_ended_goes_and_what_is_kept_stays,
};
use crate::seen::{an_inbox_is_seen_and_changed, queues_that_are_named_or_unserved_are_told};

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

async fn conforms(store: &SharedStore) {
    store.migrate().await.expect("migrations");
    store.check_schema().await.expect("the schema of this build");
    versions_of_plugins_never_change(store).await;
    a_rollback_goes_back_in_history(store).await;
    workers_say_what_they_can_load(store).await;
    pipelines_have_a_current_version(store).await;
    let runs = submissions_are_the_same_under_one_key(store).await;
    runs_are_listed_newest_first(store, &runs).await;
    nothing_crosses_a_namespace(store, runs[0]).await;
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
    what_nobody_moves_is_found_and_goes_on(store).await;
    what_has_ended_goes_and_what_is_kept_stays(store).await;
    a_large_run_is_gone_at_once_and_goes_in_pieces(store).await;
    one_at_a_time_has_its_turn_and_its_settings_are_told(store).await;
    versions_that_nothing_names_go(store).await;
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
    let violations = store.doctor(Duration::from_secs(60), false).await.expect("checked");
    assert_eq!(violations, []);
}

fn version<'a>(version: &'a str, bytes: &'a [u8], activate: bool) -> NewVersion<'a> {
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

async fn versions_of_plugins_never_change(store: &SharedStore) {
    let pushed = store.push_version(version("1", b"one", true)).await.expect("pushed");
    assert!(pushed.created && pushed.active);
    let again = store.push_version(version("1", b"one", false)).await.expect("pushed again");
    assert!(!again.created && again.active);
    let refused = store.push_version(version("1", b"other", true)).await.expect_err("a version has its bytes");
    assert!(matches!(&refused, Error::Conflict(why) if why.contains("push it as another version")), "{refused}");
    let second = store.push_version(version("2", b"two", false)).await.expect("pushed");
    assert!(second.created && !second.active);
    assert_eq!(store.component_of(&HERE, "plugin", None).await.expect("the active one"), Digest::of(b"one"));
    assert_eq!(store.activate(&HERE, "plugin", "2").await.expect("activated"), Some("1".to_owned()));
    assert_eq!(store.component_of(&HERE, "plugin", None).await.expect("the active one"), Digest::of(b"two"));
    assert_eq!(store.component_of(&HERE, "plugin", Some("1")).await.expect("the first"), Digest::of(b"one"));
    assert_eq!(store.component(Digest::of(b"one")).await.expect("its bytes"), b"one");
    assert!(!store.has_component(Digest::of(b"other")).await.expect("an answer"), "a refused push leaves nothing");
    for (name, asked, hint) in [("plugin", "3", "it has 1, 2"), ("plugni", "1", "did you mean `plugin`?")] {
        let missing = store.activate(&HERE, name, asked).await.expect_err("it is not there");
        assert!(matches!(&missing, Error::NotFound(why) if why.contains(hint)), "{missing}");
    }
    let plugins = store.plugins(&HERE).await.expect("plugins");
    assert_eq!(plugins[0].active_version.as_deref(), Some("2"));
    assert_eq!(plugins[0].previous_version.as_deref(), Some("1"));
    assert_eq!(plugins[0].versions.iter().map(|version| version.size_bytes).collect::<Vec<_>>(), [3, 3]);
    let known = store.known_plugins(&HERE).await.expect("plugins");
    assert!(known.0["plugin"].has_active && known.0["plugin"].versions.len() == 2);
}

/// Version 2 is active, and 1 was before.
async fn a_rollback_goes_back_in_history(store: &SharedStore) {
    store.activate(&HERE, "plugin", "2").await.expect("it is active already");
    for version in ["1", "2", "2", "1"] {
        store.activate(&HERE, "plugin", version).await.expect("it is there");
    }
    // 1, 2, 1, 2, 1: what it goes back from never comes again.
    for (now, before) in [("2", "1"), ("1", "2"), ("2", "1"), ("1", "2")] {
        let gone_back = store.rollback(&HERE, "plugin").await.expect("there is one before");
        assert_eq!(gone_back, (now.to_owned(), before.to_owned()));
    }
    let error = store.rollback(&HERE, "plugin").await.expect_err("it is at the beginning");
    assert!(matches!(&error, Error::Conflict(why) if why.contains("use `activate`")), "{error}");
    // However long a history is, a rollback goes back.
    for round in 0..300 {
        store.activate(&HERE, "plugin", if round % 2 == 0 { "2" } else { "1" }).await.expect("it is there");
    }
    for _ in 0..100 {
        store.rollback(&HERE, "plugin").await.expect("as many are kept");
    }
    store.activate(&HERE, "plugin", "2").await.expect("it is there");
    let alone = NewVersion { name: "alone", ..version("1", b"alone", true) };
    store.push_version(alone).await.expect("pushed");
    assert!(
        matches!(store.rollback(&HERE, "alone").await, Err(Error::Conflict(why)) if why.contains("use `activate`"))
    );
    assert!(matches!(store.rollback(&HERE, "plugni").await, Err(Error::NotFound(why)) if why.contains("`plugin`?")));
}

async fn workers_say_what_they_can_load(store: &SharedStore) {
    let mut link = store.link();
    let (one, other) = (worker(store, &mut *link, 60_000).await, worker(store, &mut *link, 60_000).await);
    let mut wanted = store.wanted_components(one).await.expect("an answer");
    wanted.sort_by_key(|digest| digest.0);
    let mut pushed = [&b"one"[..], b"two", b"alone"].map(Digest::of);
    pushed.sort_by_key(|digest| digest.0);
    assert_eq!(wanted, pushed, "all that were pushed just now");
    let [good, bad, silent] = pushed;
    let reports = [Report { digest: good, refusal: None }, Report { digest: bad, refusal: Some("too large".into()) }];
    store.report_components(one, &reports).await.expect("reported");
    store.report_components(WorkerId::new(), &reports).await.expect("one that is not there is dropped");
    assert_eq!(store.wanted_components(one).await.expect("an answer"), [silent]);
    let said = async |digest| -> Vec<_> {
        let workers = store.live_workers_and(digest).await.expect("workers");
        [one, other].map(|id| workers.iter().find(|worker| worker.id == id).expect("it lives").report.clone()).to_vec()
    };
    assert_eq!(said(good).await, [Some(None), None]);
    assert_eq!(said(bad).await, [Some(Some("too large".to_owned())), None]);
    assert_eq!(said(silent).await, [None, None]);
    let look = Look { worker: one, due_from_ms: None, horizon_ms: 0, ready: Vec::new(), margin_ms: 0 };
    let seen = store.look(&look).await.expect("a look").newest_wanted_us;
    store.want(good).await.expect("wanted");
    let now = store.look(&look).await.expect("a look").newest_wanted_us;
    assert!(now > seen, "the pulse tells that something is wanted: {seen:?}, {now:?}");
    for worker in [one, other] {
        store.forget_worker(worker).await.expect("forgotten, with what it said");
    }
}

/// `a` and `b` need nothing, `c` needs both.
fn pipeline(queue: &str) -> Pipeline {
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

async fn pipelines_have_a_current_version(store: &SharedStore) {
    let (first, second) = (pipeline("one"), pipeline("two"));
    assert!(store.apply_pipeline(&HERE, &first).await.expect("applied"));
    assert!(!store.apply_pipeline(&HERE, &first).await.expect("applied again"), "nothing has changed");
    assert!(store.apply_pipeline(&HERE, &second).await.expect("applied"));
    let (row, current) = store.pipeline(&HERE, "pair").await.expect("the current one");
    assert_eq!((row.digest, row.step_count, &current), (second.digest(), 3, &second));
    assert_eq!(store.pipeline_version(first.digest()).await.expect("the first"), first);
    assert_eq!(store.pipelines(&HERE).await.expect("pipelines").len(), 1);
    let missing = store.pipeline(&HERE, "pairs").await.expect_err("it is not there");
    assert!(matches!(&missing, Error::NotFound(why) if why.contains("did you mean `pair`?")), "{missing}");
    assert!(matches!(store.pipeline_version(Digest::of(b"?")).await, Err(Error::NotFound(_))));
}

async fn submissions_are_the_same_under_one_key(store: &SharedStore) -> Vec<RunId> {
    let mut link = store.link();
    let keyed = |input: &str| NewRun::new(HERE.clone(), "pair".into(), input.into(), Some("key".into()));
    let (first, other) = (keyed("1"), keyed("2"));
    let unknown = NewRun::new(HERE.clone(), "piar".into(), b"1".to_vec(), None);
    let free = NewRun::new(HERE.clone(), "pair".into(), b"{\"free\":true}".to_vec(), None);
    let batch = [first.clone(), first.clone(), other, unknown, free.clone()];
    let (answers, ready) = link.submit(&batch).await.expect("submitted");
    use Submission::{Created, KeyReused, Same, UnknownPipeline};
    assert_eq!(answers, [Created, Same, KeyReused, UnknownPipeline, Created]);
    let mut steps: Vec<StepId> = ready.iter().map(|ready| ready.id).collect();
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), 4, "two steps of each run need nothing");
    assert!(ready.iter().all(|ready| ready.queue == "two" && ready.priority == Priority::Normal));
    vec![first.id, free.id]
}

async fn runs_are_listed_newest_first(store: &SharedStore, runs: &[RunId]) {
    let list =
        |filter| async move { store.runs(&filter).await.expect("runs").iter().map(|run| run.id).collect::<Vec<_>>() };
    let all = RunFilter::newest(&HERE, 10);
    let listed = list(all.clone()).await;
    assert_eq!(listed.len(), 2);
    assert_eq!(list(RunFilter { before: Some(listed[0]), ..all.clone() }).await, listed[1..], "page by page");
    assert_eq!(list(RunFilter { limit: 1, ..all.clone() }).await, listed[..1]);
    assert_eq!(list(RunFilter { status: Some(RunStatus::Failed), ..all.clone() }).await, []);
    assert_eq!(list(RunFilter { pipeline: Some("pair"), ..all.clone() }).await.len(), 2);
    assert_eq!(list(RunFilter { pipeline: Some("other"), ..all }).await, []);
    let alone = store.run_alone(runs[0]).await.expect("the run");
    assert_eq!((alone.status, alone.idempotency_key.as_deref()), (RunStatus::Pending, Some("key")));
    assert!(matches!(store.run_alone(RunId::new()).await, Err(Error::NotFound(_))));
    assert!(matches!(store.run(RunId::new(), None).await, Err(Error::NotFound(_))));
    assert_eq!(store.pipeline_of_run(runs[0]).await.expect("its version"), pipeline("two").digest());
    assert_eq!(store.run_marks(&[runs[0], RunId::new()]).await.expect("marks").len(), 1, "those that there are");
}

/// `here` is the run of the key in the namespace of the other tests.
async fn nothing_crosses_a_namespace(store: &SharedStore, here: RunId) {
    let there: Namespace = "there".parse().expect("a name");
    assert_eq!(store.plugins(&there).await.expect("plugins"), []);
    assert_eq!(store.pipelines(&there).await.expect("pipelines"), []);
    let nothing = |error| matches!(error, Error::NotFound(why) if !why.contains("did you mean"));
    assert!(nothing(store.pipeline(&there, "pair").await.expect_err("it is not there")));
    assert!(nothing(store.activate(&there, "plugin", "1").await.expect_err("it is not there")));
    assert!(nothing(store.rollback(&there, "plugin").await.expect_err("it is not there")));
    assert!(nothing(store.component_of(&there, "plugin", None).await.expect_err("it is not there")));
    assert_eq!(store.first_steps(&there, "pair").await.expect("an answer"), None);
    // The same pipeline version, with a plugin of the same name and other bytes.
    let version_of_pair = pipeline("two");
    let refused = store.apply_pipeline(&there, &version_of_pair).await.expect_err("its plugin is not there");
    assert!(matches!(&refused, Error::Conflict(why) if why.contains("`plugin`, which is gone")), "{refused}");
    let pushed = store.push_version(NewVersion { namespace: &there, ..version("1", b"three", true) }).await;
    assert!(pushed.expect("pushed").created, "a name that is taken elsewhere is free here");
    assert!(store.apply_pipeline(&there, &version_of_pair).await.expect("applied"));
    let first = store.first_steps(&there, "pair").await.expect("an answer").expect("a pipeline");
    assert_eq!(first.pipeline, version_of_pair.digest());
    assert!(first.components.iter().all(|(_, component)| *component == Digest::of(b"three")));
    // The same key and request.
    let run = NewRun::new(there.clone(), "pair".into(), b"1".to_vec(), Some("key".into()));
    assert_ne!(run.id, here);
    let (answers, ready) = store.link().submit(std::slice::from_ref(&run)).await.expect("submitted");
    assert_eq!((answers, ready.len()), (vec![Submission::Created], 2));
    let (row, steps) = store.run(run.id, None).await.expect("the run");
    assert_eq!(row.pipeline_digest, version_of_pair.digest());
    assert!(steps.iter().all(|step| step.component == Some(Digest::of(b"three"))), "the plugins of its namespace");
    let listed = store.runs(&RunFilter::newest(&there, 10)).await.expect("runs");
    assert_eq!(listed.iter().map(|run| run.id).collect::<Vec<_>>(), [run.id]);
    assert_eq!(store.runs(&RunFilter::newest(&HERE, 10)).await.expect("runs").len(), 2);
    let (_, here) = store.run(here, None).await.expect("the run");
    assert!(here.iter().all(|step| step.component == Some(Digest::of(b"two"))));
    // A version that is chosen at a step's start.
    let late = Pipeline { name: "late".into(), versions: Versions::Start, ..pipeline("two") };
    assert!(store.apply_pipeline(&there, &late).await.expect("applied"));
    let late = NewRun::new(there, "late".into(), b"1".to_vec(), None);
    let claims = Batch { claims: vec![StepId { run: late.id, step: StepNo(0) }], ..Batch::default() };
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    link.submit(std::slice::from_ref(&late)).await.expect("submitted");
    let written = link.write(worker, &claims).await.expect("a claim");
    assert_eq!(written.claimed[0].component, Digest::of(b"three"));
    for run in [run.id, late.id] {
        store.cancel(run).await.expect("cancelled");
    }
    store.forget_worker(worker).await.expect("forgotten");
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

async fn outputs_are_there_when_a_run_has_succeeded(store: &SharedStore, run: RunId) {
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    let version = pipeline("two");
    let plan = Plan::new(version.digest(), version.clone());
    let early = store.run_output(run, &version).await.expect_err("it has not begun");
    assert!(matches!(&early, Error::Conflict(why) if why.contains("pending")), "{early}");
    let ids = [0, 1].map(|step| StepId { run, step: StepNo(step) });
    let claimed =
        link.write(worker, &Batch { claims: ids.to_vec(), members: Vec::new() }).await.expect("claimed").claimed;
    let input = ClaimedInput::Whole(Ingredients::Run(b"1".to_vec()));
    assert!(claimed.iter().all(|claim| claim.input == input), "{claimed:?}");
    assert_eq!(store.running_of(worker).await.expect("its steps").len(), 2);
    let succeed = |claim: &pawl_domain::attempt::Claim, output: &str| Member {
        settlement: Some(Settlement::Succeeded {
            output: output.into(),
            then: plan.after(claim.id.step, &["two".into()], true),
        }),
        ..Member::bare(claim.id, claim.fence)
    };
    let members = claimed.iter().map(|claim| succeed(claim, &claim.id.step.0.to_string())).collect();
    let written = link.write(worker, &Batch { members, claims: Vec::new() }).await.expect("written");
    let [join] = &written.claimed[..] else { panic!("the join is claimed with the outcomes: {written:?}") };
    let outputs = ClaimedInput::Whole(Ingredients::Outputs(vec![b"0".to_vec(), b"1".to_vec()]));
    assert_eq!(join.input, outputs, "in the order of its needs");
    let members = vec![succeed(join, "\"end\"")];
    let written = link.write(worker, &Batch { members, claims: Vec::new() }).await.expect("written");
    assert_eq!(written.ended, [run]);
    assert_eq!(store.run_output(run, &version).await.expect("the output"), b"\"end\"");
    assert_eq!(store.step_output(run, StepNo(1)).await.expect("the output").as_deref(), Some(&b"1"[..]));
    assert!(matches!(store.step_output(run, StepNo(9)).await, Err(Error::NotFound(_))));
    let (_, steps) = store.run(run, Some(StepNo(2))).await.expect("one step");
    assert_eq!(
        steps.iter().map(|step| (step.no, step.status)).collect::<Vec<_>>(),
        [(StepNo(2), StepStatus::Succeeded)]
    );
    let events = store.events(run, 2, 3).await.expect("events");
    assert_eq!(events[0].number, 3, "after the second");
    assert!(matches!(store.cancel(run).await, Err(Error::Conflict(_))), "it has ended");
    assert!(matches!(store.retry(run, None, BTreeMap::new()).await, Err(Error::Conflict(_))), "nothing failed");
    assert!(matches!(store.cancel(RunId::new()).await, Err(Error::NotFound(_))));
    store.forget_worker(worker).await.expect("forgotten");
    assert!(!store.live_workers().await.expect("workers").contains(&worker));
}

async fn a_lease_that_has_ended_cannot_be_renewed(store: &SharedStore) {
    let mut link = store.link();
    let worker = worker(store, &mut *link, 0).await;
    assert!(!link.heartbeat(&beat(worker, false)).await.expect("an answer").alive, "it takes a new id");
    store.take_over(10, false, Suspicion::default()).await.expect("a sweep");
    let left = store.workers().await.expect("workers");
    assert!(left.iter().all(|row| row.id != worker), "a worker without steps is forgotten");

    let in_peace = self::worker(store, &mut *link, 60_000).await;
    store.forget_worker(in_peace).await.expect("forgotten");
    let gone = store.gone_workers(2).await.expect("workers");
    let told: Vec<_> = gone.iter().map(|gone| (gone.id, gone.said_goodbye)).collect();
    assert_eq!(told, [(in_peace, true), (worker, false)], "people find when and how, the latest first");
    assert!(gone.iter().all(|gone| gone.started_at_ms <= gone.gone_at_ms && gone.slots > 0), "{gone:?}");
}

async fn ready_steps_are_found_again(store: &SharedStore) {
    let future_ms = i64::from(u32::MAX) * 1_000;
    let of = |queue: &'static str, priority| ReadyFrom { queue, priority, from_ms: None };
    let two = of("two", Priority::Normal);
    let look = Look {
        worker: WorkerId::new(),
        due_from_ms: None,
        horizon_ms: 0,
        ready: vec![of("one", Priority::Normal), two, ReadyFrom { from_ms: Some(future_ms), ..two }],
        margin_ms: 0,
    };
    let pulse = store.look(&look).await.expect("a look");
    let [None, Some(oldest_ms), _] = pulse.oldest_ready_ms[..] else { panic!("two of that stream: {pulse:?}") };
    let from = ReadyFrom { from_ms: Some(oldest_ms), ..two };
    assert_eq!(store.lost(from, future_ms, 1).await.expect("a search").len(), 1, "at most so many");
    assert_eq!(
        store.lost(of("two", Priority::High), future_ms, 10).await.expect("a search"),
        [],
        "of that stream only"
    );
    assert_eq!(store.lost(of("one", Priority::Normal), future_ms, 10).await.expect("a search"), []);
    assert_eq!(store.lost(two, 0, 10).await.expect("a search"), [], "older ones only");
    assert_eq!(store.redeliver_ready(10).await.expect("all of them").len(), 2);
}

async fn what_waits_can_be_named(store: &SharedStore, run: RunId) {
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    let id = StepId { run, step: StepNo(0) };
    link.write(worker, &Batch { claims: vec![id], members: Vec::new() }).await.expect("claimed");
    let live = store.live_steps(run, 10).await.expect("live steps");
    let found: Vec<_> = live.iter().map(|step| (step.no.0, step.status, step.worker, step.queue_workers)).collect();
    assert_eq!(found, [(0, StepStatus::Running, Some(worker), 1), (1, StepStatus::Ready, None, 1)]);
    assert!(live[0].lease_end_ms > Some(live[0].now_ms) && live[1].ready_at_ms.is_some());
    assert_eq!(store.live_steps(run, 1).await.expect("live steps").len(), 1);
    store.cancel(run).await.expect("cancelled");
    assert_eq!(store.live_steps(run, 10).await.expect("live steps"), []);
}

/// Each signal moves the run, often between the reading of it and the decision on it.
async fn a_run_that_never_stands_still_can_be_stopped(store: &SharedStore) {
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    let (counter, senders) = (Arc::new(AtomicU32::new(0)), 3);
    let sender = async |store: SharedStore, sent: Arc<AtomicU32>| loop {
        let signal = Signal { name: "go".into(), payload: b"1".to_vec(), key: None, room: 1_000_000 };
        match store.signal(id, signal).await {
            Ok(_) => sent.fetch_add(1, Ordering::Relaxed),
            Err(Error::Conflict(why)) if why.contains("has ended") => break,
            Err(error) => panic!("{error}"),
        };
    };
    let stopped = async {
        while counter.load(Ordering::Relaxed) < 100 {
            tokio::task::yield_now().await;
        }
        store.cancel(id).await
    };
    let sending = (0..senders).map(|_| sender(Arc::clone(store), Arc::clone(&counter)));
    let (_, stopped) = tokio::join!(futures_util::future::join_all(sending), stopped);
    stopped.expect("cancelled");
    assert_eq!(store.run_alone(id).await.expect("the run").status, RunStatus::Cancelled);
}

/// Two may lie there; a step that waits for the third would get it.
async fn an_inbox_has_a_limit(store: &SharedStore) {
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    let send = |key: Option<&str>| {
        let signal = Signal { name: "misspelt".into(), payload: b"1".to_vec(), key: key.map(str::to_owned), room: 2 };
        store.signal(id, signal)
    };
    send(None).await.expect("the first");
    send(Some("k")).await.expect("the second");
    let refused = send(None).await.expect_err("a third");
    let names = |why: &str| why.contains("2 signals lie in the inbox") && why.contains("`pawl run explain ");
    assert!(matches!(&refused, Error::Conflict(why) if names(why)), "{refused}");
    send(Some("k")).await.expect("the second is there already");
    store.cancel(id).await.expect("cancelled");
}

/// What a person does is applied by keys, however many steps it concerns.
async fn a_run_of_ten_thousand_steps_is_stopped_and_opened_again(store: &SharedStore) {
    const STEPS: usize = 10_000;
    let step = |number: usize| {
        let needs: &[i32] = if number == 0 { &[] } else { &[0] };
        let spec = serde_json::json!({"name": format!("s{number}"), "plugin": "plugin", "needs": needs});
        serde_json::from_value::<StepSpec>(spec).expect("a step")
    };
    let steps = (0..STEPS).map(step).collect();
    let wide = Pipeline { name: "wide".into(), versions: Versions::default(), retention: Default::default(), steps };
    store.apply_pipeline(&HERE, &wide).await.expect("applied");
    let run = NewRun::new(HERE.clone(), "wide".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    store.fail(id, "too wide".into()).await.expect("failed");
    let ready = store.retry(id, None, BTreeMap::new()).await.expect("opened again");
    assert_eq!(ready.iter().map(|ready| ready.id.step).collect::<Vec<_>>(), [StepNo(0)]);
    let (run, steps) = store.run(id, None).await.expect("the run");
    assert_eq!((run.status, run.live_steps, run.failing), (RunStatus::Pending, STEPS as u32, false));
    assert!(steps[1..].iter().all(|step| step.status == StepStatus::Blocked && step.fence == 2));
    store.cancel(id).await.expect("cancelled");
}

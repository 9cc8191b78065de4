//! Retention: what has ended goes with all that is its, in pieces if it is large, and what names a version keeps it. Which term
//! a run has is decided in `domain`; here is what stores make of it.

use std::time::{Duration, Instant};

use pawl_dispatch::retention::{Pace, Sweeper, standing};
use pawl_domain::id::{Digest, RunId, StepId, StepNo, WorkerId};
use pawl_domain::journal::{Entry, Segment};
use pawl_domain::pipeline::{Pipeline, StepSpec, Versions};
use pawl_domain::retention::{Policy, Retention, Term};
use pawl_domain::status::RunStatus;
use pawl_store::control::Signal;
use pawl_store::plugins::NewVersion;
use pawl_store::retention::{Bounds, GoneVersions, Lane};
use pawl_store::runs::RunFilter;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::write::{Batch, Member, Verdict};
use pawl_store::{Error, SharedStore};

use crate::stores::{HERE, worker};

/// Everything else stays.
const KEEPING: Policy = Policy {
    succeeded: Term::Keep,
    failed: Term::Keep,
    cancelled: Term::Keep,
    grace: Duration::from_secs(3_600),
    audit: Term::Keep,
};

/// A pipeline whose runs go at once, of steps that need nothing.
pub fn brief(name: &str, plugin: &str, steps: usize) -> Pipeline {
    let step = |number: usize| {
        let (plugin, version) = plugin.split_once('@').map_or((plugin, None), |(name, version)| (name, Some(version)));
        let spec = serde_json::json!({"name": format!("s{number}"), "plugin": plugin, "version": version});
        serde_json::from_value::<StepSpec>(spec).expect("a step")
    };
    let steps = (0..steps).map(step).collect();
    Pipeline { name: name.into(), versions: Versions::default(), retention: Retention::of_all(Term::Ms(0)), steps }
}

async fn submit(store: &SharedStore, pipeline: &str, key: Option<&str>) -> RunId {
    let run = NewRun::new(HERE.clone(), pipeline.into(), b"1".to_vec(), key.map(str::to_owned));
    let id = run.id;
    let (answers, _) = store.link().submit(&[run]).await.expect("submitted");
    assert_eq!(answers, [Submission::Created]);
    id
}

async fn is_there(store: &SharedStore, run: RunId) -> bool {
    match store.run_alone(run).await {
        Ok(_) => true,
        Err(Error::NotFound(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Passes until these are gone: that takes until the clock has moved on.
pub async fn sweep_until_gone(store: &SharedStore, runs: &[RunId]) {
    let until = Instant::now() + Duration::from_secs(60);
    for run in runs {
        while is_there(store, *run).await {
            assert!(Instant::now() < until, "run {run} stays");
            sweep(store).await;
        }
    }
}

async fn sweep(store: &SharedStore) -> u64 {
    let soon = Instant::now() + Duration::from_secs(60);
    let swept = Sweeper::default().sweep(&**store, &KEEPING, Pace::Now, soon).await.expect("a pass");
    assert!(!swept.more, "there is time enough");
    swept.runs
}

async fn assert_sound(store: &SharedStore) {
    assert_eq!(store.doctor(Duration::from_secs(60), false).await.expect("checked"), []);
}

pub async fn what_has_ended_goes_and_what_is_kept_stays(store: &SharedStore) {
    store.apply_pipeline(&HERE, &brief("brief", "plugin", 2)).await.expect("applied");
    let [cancelled, failed, kept, pending, claimed] =
        [(); 5].map(|()| NewRun::new(HERE.clone(), "brief".into(), b"1".to_vec(), None));
    let ids = [&cancelled, &failed, &kept, &pending, &claimed].map(|run| run.id);
    store.link().submit(&[cancelled, failed, kept, pending, claimed]).await.expect("submitted");
    let [cancelled, failed, kept, pending, claimed] = ids;

    // One with a journal and a signal, whose worker writes late.
    let mut link = store.link();
    let me = worker(store, &mut *link, 60_000).await;
    let step = StepId { run: cancelled, step: StepNo(0) };
    let batch = Batch { claims: vec![step, StepId { run: claimed, step: StepNo(0) }], members: Vec::new() };
    let written = link.write(me, &batch).await.expect("claimed");
    let claim = written.claimed.iter().find(|claim| claim.id == step).expect("it was ready");
    let entries = [Entry::Now { unix_ns: 1 }];
    let member = Member { segment: Some(Segment::of(0, &entries)), ..Member::bare(claim.id, claim.fence) };
    let batch = Batch { members: vec![member.clone()], claims: Vec::new() };
    assert_eq!(link.write(me, &batch).await.expect("an answer").members, [Verdict::Written]);
    let signal = || Signal { name: "s".into(), payload: b"1".to_vec(), key: None, room: 9 };
    store.signal(cancelled, signal()).await.expect("sent");
    for run in [cancelled, kept] {
        store.cancel(run).await.expect("cancelled");
    }
    store.fail(failed, "as it goes".into()).await.expect("failed");
    store.keep_run(kept, true).await.expect("it is there");

    sweep_until_gone(store, &[cancelled, failed]).await;
    for run in [kept, pending, claimed] {
        assert!(is_there(store, run).await, "{run}");
    }
    assert!(store.run_alone(kept).await.expect("it is there").kept);
    let listed =
        store.runs(&RunFilter { pipeline: Some("brief"), ..RunFilter::newest(&HERE, 50) }).await.expect("a list");
    assert!(!listed.iter().any(|run| [cancelled, failed].contains(&run.id)), "{listed:?}");
    assert_eq!(store.events(cancelled, 0, 9).await.map(|events| events.len()).unwrap_or(0), 0);
    // Whoever acts on it, or writes late, is told that it is not there.
    assert!(matches!(store.retry(cancelled, None, Default::default()).await, Err(Error::NotFound(_))));
    assert!(matches!(store.signal(cancelled, signal()).await, Err(Error::NotFound(_))));
    assert!(matches!(store.keep_run(cancelled, true).await, Err(Error::NotFound(_))));
    assert_eq!(link.write(me, &batch).await.expect("an answer").members, [Verdict::LeaseLost]);
    assert_sound(store).await;

    store.keep_run(kept, false).await.expect("it is there");
    for run in [pending, claimed] {
        store.cancel(run).await.expect("cancelled");
    }
    sweep_until_gone(store, &[kept, pending, claimed]).await;
    store.forget_worker(me).await.expect("forgotten");
    assert_sound(store).await;
}

pub async fn a_large_run_is_gone_at_once_and_goes_in_pieces(store: &SharedStore) {
    const STEPS: usize = 250;
    store.apply_pipeline(&HERE, &brief("large", "plugin", STEPS)).await.expect("applied");
    let run = submit(store, "large", Some("retained")).await;
    for payload in [1_000; 3] {
        let signal = Signal { name: "s".into(), payload: vec![b' '; payload], key: None, room: 9 };
        store.signal(run, signal).await.expect("sent");
    }
    store.cancel(run).await.expect("cancelled");
    let lane = Lane { namespace: HERE.clone(), pipeline: "large".into(), status: RunStatus::Cancelled, term_ms: 0 };
    let bounds = |rows, bytes| Bounds { runs: 10, rows, bytes };
    let due = async || store.count_due(&lane, 10).await.expect("an answer").runs;
    while due().await == 0 {
        tokio::task::yield_now().await;
    }
    // By bytes: the first signal, and the one that it leaves room for.
    let piece = store.delete_ended(&lane, None, bounds(1_000, 1_500)).await.expect("a piece");
    assert_eq!((piece.runs, piece.rows, piece.remains), (1, 3, true), "{piece:?}");
    assert!(!is_there(store, run).await && store.run_times(&[run]).await.expect("an answer").is_empty());
    assert_eq!(due().await, 0);
    assert_sound(store).await;

    // As long as something is left, nobody gets its id.
    let again = || NewRun::new(HERE.clone(), "large".into(), b"2".to_vec(), Some("retained".into()));
    assert_eq!(again().id, run, "the key decides");
    let (mut pieces, mut rows) = (0, 0);
    loop {
        let refused = store.link().submit(&[again()]).await.expect_err("the old one is being deleted");
        assert!(matches!(refused, Error::Held(..)) && refused.may_be_too_much(), "{refused}");
        let gone = store.delete_remains(bounds(100, 1 << 20)).await.expect("a piece");
        (pieces, rows) = (pieces + 1, rows + gone.rows);
        assert!(gone.rows <= 100, "{gone:?}");
        // Whatever ends the one that deletes here, it is gone on with.
        assert_sound(store).await;
        if gone.done {
            break;
        }
    }
    assert!(pieces >= 3 && rows > STEPS as u64, "{pieces} pieces of {rows} rows");
    let (answers, _) = store.link().submit(&[again()]).await.expect("its key is free");
    assert_eq!(answers, [Submission::Created]);
    assert_eq!(store.run_input(run).await.expect("the new one"), b"2");
    assert_eq!(store.delete_remains(bounds(100, 1 << 20)).await.expect("a piece").rows, 0);
    assert!(is_there(store, run).await, "it is another one");
    store.cancel(run).await.expect("cancelled");
    sweep_until_gone(store, &[run]).await;
}

pub async fn one_at_a_time_has_its_turn_and_its_settings_are_told(store: &SharedStore) {
    assert_eq!(standing(&**store).await.expect("an answer"), None, "nobody has looked after it");
    let (first, second) = (WorkerId::new(), WorkerId::new());
    let take = async |who, time| store.take_turn(who, time, &KEEPING).await.expect("an answer");
    let long = Duration::from_secs(3_600);
    assert!(take(first, long).await && take(first, long).await && !take(second, long).await);
    let turn = store.turn().await.expect("an answer").expect("somebody has");
    assert_eq!((turn.holder, turn.holds, turn.policy), (first, true, KEEPING));
    assert!(take(first, Duration::ZERO).await, "it lets go");
    while !take(second, long).await {
        tokio::task::yield_now().await;
    }
    let standing = standing(&**store).await.expect("an answer").expect("it stands somehow");
    assert_eq!((standing.turn.holder, standing.due, standing.more), (second, 0, false));
    let says = standing.pipelines.iter().find(|said| said.pipeline == "brief").expect("it says something");
    assert_eq!(says.retention, Retention::of_all(Term::Ms(0)));
}

pub async fn versions_that_nothing_names_go(store: &SharedStore) {
    for (version, activate) in [("1", true), ("2", true), ("3", true), ("idle", false), ("pinned", false)] {
        push(store, version, activate).await;
    }
    // One that nothing runs on, one that a run is on, and one that names no version.
    let [before, used, now] = ["fading@1", "fading@pinned", "fading"].map(|plugin| brief("fading", plugin, 1));
    store.apply_pipeline(&HERE, &before).await.expect("applied");
    store.apply_pipeline(&HERE, &used).await.expect("applied");
    let run = submit(store, "fading", None).await;
    store.apply_pipeline(&HERE, &now).await.expect("applied");

    assert_eq!(store.delete_versions(Duration::from_secs(3_600)).await.expect("a pass"), GoneVersions::default());
    pass(store, "idle").await;
    assert_eq!(versions(store).await, ["1", "2", "3", "pinned"], "the history of rollbacks, and what is named");
    assert!(matches!(store.pipeline_version(before.digest()).await, Err(Error::NotFound(_))), "no run is on it");
    store.pipeline_version(used.digest()).await.expect("a run is on it");
    store.pipeline_version(now.digest()).await.expect("it is the current one");

    store.cancel(run).await.expect("cancelled");
    sweep_until_gone(store, &[run]).await;
    pass(store, "pinned").await;
    assert!(matches!(store.pipeline_version(used.digest()).await, Err(Error::NotFound(_))));
    assert_eq!(store.rollback(&HERE, "fading").await.expect("there is one"), ("2".to_owned(), "3".to_owned()));
    // A step that nothing else names has it.
    let run = submit(store, "fading", None).await;
    assert_eq!(store.rollback(&HERE, "fading").await.expect("there is one"), ("1".to_owned(), "2".to_owned()));
    pass(store, "3").await;
    assert_eq!(versions(store).await, ["1", "2"]);
    store.component(Digest::of(b"fading 2")).await.expect("the run's");
    store.cancel(run).await.expect("cancelled");
    sweep_until_gone(store, &[run]).await;
    pass(store, "2").await;
    assert_eq!(versions(store).await, ["1"]);
    assert_eq!(store.component_of(&HERE, "fading", None).await.expect("the active one"), Digest::of(b"fading 1"));
    // What is gone may come again.
    push(store, "2", false).await;
    assert!(store.apply_pipeline(&HERE, &used_again()).await.expect("applied"));
}

fn used_again() -> Pipeline {
    brief("fading", "fading@2", 1)
}

async fn push(store: &SharedStore, version: &str, activate: bool) {
    let bytes = format!("fading {version}").into_bytes();
    let new = NewVersion {
        namespace: &HERE,
        name: "fading",
        version,
        digest: Digest::of(&bytes),
        bytes: &bytes,
        manifest: b"{\"name\":\"fading\"}",
        activate,
    };
    assert!(store.push_version(new).await.expect("pushed").created);
}

/// Passes without a grace until this version is gone, with its component.
async fn pass(store: &SharedStore, version: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    while versions(store).await.iter().any(|known| known == version) {
        assert!(Instant::now() < until, "version {version} stays");
        store.delete_versions(Duration::ZERO).await.expect("a pass");
    }
    let component = Digest::of(format!("fading {version}").as_bytes());
    assert!(!store.has_component(component).await.expect("an answer"), "{version}");
}

async fn versions(store: &SharedStore) -> Vec<String> {
    let known = store.known_plugins(&HERE).await.expect("the plugins");
    known.0["fading"].versions.iter().cloned().collect()
}

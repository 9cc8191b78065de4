//! Plugins with their versions, pipelines, and that nothing of them crosses a namespace.

use pawl_domain::id::{Digest, RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, Versions};
use pawl_store::leases::Look;
use pawl_store::plugins::NewVersion;
use pawl_store::readiness::Report;
use pawl_store::runs::RunFilter;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::write::Batch;
use pawl_store::{Error, SharedStore};

use crate::stores::{HERE, pipeline, version, worker};

pub async fn versions_of_plugins_never_change(store: &SharedStore) {
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
    let plugins = store.plugins(&HERE, None).await.expect("plugins");
    assert_eq!(plugins[0].active_version.as_deref(), Some("2"));
    assert_eq!(plugins[0].previous_version.as_deref(), Some("1"));
    assert_eq!(plugins[0].versions.iter().map(|version| version.size_bytes).collect::<Vec<_>>(), [3, 3]);
    let known = store.known_plugins(&HERE).await.expect("plugins");
    assert!(known.0["plugin"].has_active && known.0["plugin"].versions.len() == 2);
}

/// Version 2 is active, and 1 was before.
pub async fn a_rollback_goes_back_in_history(store: &SharedStore) {
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

pub async fn workers_say_what_they_can_load(store: &SharedStore) {
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

pub async fn pipelines_have_a_current_version(store: &SharedStore) {
    let (first, second) = (pipeline("one"), pipeline("two"));
    assert!(store.apply_pipeline(&HERE, &first).await.expect("applied"));
    assert!(!store.apply_pipeline(&HERE, &first).await.expect("applied again"), "nothing has changed");
    assert!(store.apply_pipeline(&HERE, &second).await.expect("applied"));
    let (row, current) = store.pipeline(&HERE, "pair").await.expect("the current one");
    assert_eq!((row.digest, row.step_count, &current), (second.digest(), 3, &second));
    assert_eq!(store.pipeline_version(first.digest()).await.expect("the first"), first);
    assert_eq!(store.pipelines(&HERE).await.expect("pipelines").len(), 1);
    // Each as often as it was current, the newest first.
    assert!(store.apply_pipeline(&HERE, &first).await.expect("applied"));
    assert!(store.apply_pipeline(&HERE, &second).await.expect("applied"));
    let tenures = store.tenures(&HERE, "pair").await.expect("versions");
    let [one, two] = [first.digest(), second.digest()];
    assert_eq!(tenures.iter().map(|it| it.digest).collect::<Vec<_>>(), [two, one, two, one]);
    assert!(tenures.iter().all(|it| it.step_count == 3) && tenures.is_sorted_by_key(|it| -it.since_ms), "{tenures:?}");
    assert_eq!(tenures[0].since_ms, store.pipeline(&HERE, "pair").await.expect("the current one").0.updated_at_ms);
    for round in 0..120 {
        store.apply_pipeline(&HERE, if round % 2 == 0 { &first } else { &second }).await.expect("applied");
    }
    assert_eq!(store.tenures(&HERE, "pair").await.expect("versions").len(), 101, "the oldest are forgotten");
    let missing = store.pipeline(&HERE, "pairs").await.expect_err("it is not there");
    assert!(matches!(&missing, Error::NotFound(why) if why.contains("did you mean `pair`?")), "{missing}");
    assert!(matches!(store.pipeline_version(Digest::of(b"?")).await, Err(Error::NotFound(_))));
}

/// `here` is the run of the key in the namespace of the other tests.
pub async fn nothing_crosses_a_namespace(store: &SharedStore, here: RunId) {
    let there: Namespace = "there".parse().expect("a name");
    assert_eq!(store.plugins(&there, None).await.expect("plugins"), []);
    assert_eq!(store.pipelines(&there).await.expect("pipelines"), []);
    let nothing = |error| matches!(error, Error::NotFound(why) if !why.contains("did you mean"));
    assert!(nothing(store.pipeline(&there, "pair").await.expect_err("it is not there")));
    assert!(nothing(store.activate(&there, "plugin", "1").await.expect_err("it is not there")));
    assert!(nothing(store.rollback(&there, "plugin").await.expect_err("it is not there")));
    assert!(nothing(store.component_of(&there, "plugin", None).await.expect_err("it is not there")));
    assert_eq!(store.first_steps(&there, "pair").await.expect("an answer"), None);
    assert!(nothing(store.tenures(&there, "pair").await.expect_err("it is not there")));
    assert!(nothing(store.unknown_plugin(&there, "plugin").await));
    // The same pipeline version, with a plugin of the same name and other bytes.
    let version_of_pair = pipeline("two");
    let refused = store.apply_pipeline(&there, &version_of_pair).await.expect_err("its plugin is not there");
    assert!(matches!(&refused, Error::Conflict(why) if why.contains("`plugin`, which is gone")), "{refused}");
    let pushed = store.push_version(NewVersion { namespace: &there, ..version("1", b"three", true) }).await;
    assert!(pushed.expect("pushed").created, "a name that is taken elsewhere is free here");
    assert!(store.apply_pipeline(&there, &version_of_pair).await.expect("applied"));
    assert_eq!(store.tenures(&there, "pair").await.expect("versions").len(), 1, "whatever it was elsewhere");
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

use pawl_domain::journal::Entry;
use pawl_domain::sealed::Sealing;
use pawl_store::Sqlite;
use pawl_store::sealing::Seals as _;

use super::*;

fn keys(digits: &str) -> Keys {
    let texts: Vec<String> = digits.chars().map(|digit| digit.to_string().repeat(64)).collect();
    Keys::read(&texts.join(" ")).unwrap()
}

fn new(input: &str, key: Option<&str>) -> NewRun {
    let (pipeline, key) = ("orders".to_owned(), key.map(str::to_owned));
    NewRun::new(Namespace::default(), pipeline, input.as_bytes().to_vec(), key)
}

/// What the store would tell of the run's key.
async fn row_of(store: &Sqlite, run: &NewRun) -> RunKeyRow {
    let key = run.sealed.clone().unwrap();
    let rows = store.namespace_keys(&run.namespace).await.unwrap();
    let under = rows.into_iter().find(|row| row.version == key.version).and_then(|row| row.sealed);
    RunKeyRow { namespace: run.namespace.clone(), key: Some(key), under }
}

#[tokio::test]
async fn a_namespace_in_the_clear_submits_as_ever_and_one_that_seals_under_a_key_of_each_run() {
    let (folder, here, keys) = (tempfile::tempdir().unwrap(), Namespace::default(), keys("1"));
    let store = Sqlite::open(folder.path()).unwrap();
    let seals = Seals::new(keys.clone());
    let clear = seals.seal_new(&store, new("[7]", None)).await.unwrap();
    assert!(clear.sealed.is_none() && clear.input == b"[7]");

    assert!(keep_sealing(&store, &keys, &here, true, false, Some("ada")).await.unwrap());
    assert!(!keep_sealing(&store, &keys, &here, true, false, None).await.unwrap(), "it is so already");
    seals.forget(None);
    let (one, other) = (seals.seal_new(&store, new("[7]", None)).await, seals.seal_new(&store, new("[7]", None)).await);
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.input != other.input && !one.input.windows(3).any(|part| part == b"[7]"));
    let opened = Seals::new(keys.clone()).opened(one.id, Some(row_of(&store, &one).await), Instant::now()).unwrap();
    assert_eq!(opened.open(Place::Input, one.input.clone()), Ok(b"[7]".to_vec()));
    let others = Seals::new(keys.clone()).opened(one.id, Some(row_of(&store, &other).await), Instant::now());
    assert!(matches!(others, Err(Unopened::Keys { needs: None, .. })), "a key is its run's own");

    // A journal's entries, at their place.
    let segment = pawl_store::write::Segment::of(3, &[Entry::Now { unix_ns: 5 }]);
    let kept = opened.segment(pawl_domain::id::StepNo(1), segment.clone());
    assert_ne!(kept.bytes, segment.bytes);
    assert_eq!(opened.open(Place::Row(pawl_domain::id::StepNo(1), 3), kept.bytes), Ok(segment.bytes));
}

#[tokio::test]
async fn what_is_sealed_says_nothing_of_what_it_is_to_who_compares() {
    let (folder, here, keys) = (tempfile::tempdir().unwrap(), Namespace::default(), keys("1"));
    let store = Sqlite::open(folder.path()).unwrap();
    keep_sealing(&store, &keys, &here, true, false, None).await.unwrap();
    let seals = Seals::new(keys.clone());
    let (one, again) =
        (seals.seal_new(&store, new("[7]", Some("k"))).await, seals.seal_new(&store, new("[7]", Some("k"))).await);
    let (one, again) = (one.unwrap(), again.unwrap());
    assert_eq!(one.id, again.id);
    assert_ne!(one.input, again.input, "the same request under the same key");
    assert!(!seals.is_otherwise(&store, &here, Some(1)).await.unwrap());
    assert!(seals.is_otherwise(&store, &here, None).await.unwrap(), "somebody has meanwhile");
}

#[tokio::test]
async fn a_process_without_the_master_key_says_which_and_a_rotation_takes_nothing_away() {
    let (folder, here) = (tempfile::tempdir().unwrap(), Namespace::default());
    let store = Sqlite::open(folder.path()).unwrap();
    let refused = keep_sealing(&store, &Keys::default(), &here, true, false, None).await.unwrap_err();
    assert!(refused.to_string().contains("set `secrets_key_file`"), "{refused}");
    for anew in [false, true] {
        assert!(keep_sealing(&store, &keys("1"), &here, true, anew, None).await.unwrap());
    }
    let run = Seals::new(keys("1")).seal_new(&store, new("[7]", None)).await.unwrap();
    let old_id = keys("1").first().unwrap().to_owned();
    for without in [Keys::default(), keys("2")] {
        match Seals::new(without).opened(run.id, Some(row_of(&store, &run).await), Instant::now()) {
            Err(Unopened::Keys { why, needs: Some(needs) }) => {
                assert!(needs == old_id && why.contains("`secrets_key_file`"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rotate(&store, &keys("21"), &here).await.unwrap(), Rotated { rotated: 2, stuck: Vec::new() });
    assert_eq!(rotate(&store, &keys("21"), &here).await.unwrap().rotated, 0, "it is done");
    let opened = Seals::new(keys("2")).opened(run.id, Some(row_of(&store, &run).await), Instant::now()).unwrap();
    assert_eq!(opened.open(Place::Input, run.input), Ok(b"[7]".to_vec()), "without the old key");
    let stuck = rotate(&store, &keys("3"), &here).await.unwrap().stuck;
    assert!(stuck.len() == 2 && stuck[0].1.contains("which is not here"), "{stuck:?}");
    assert!(rotate(&store, &Keys::default(), &here).await.unwrap_err().to_string().contains("secrets_key_file"));
}

#[tokio::test]
async fn what_was_erased_is_gone_for_good_and_the_namespace_waits_for_a_word() {
    let (folder, here, keys) = (tempfile::tempdir().unwrap(), Namespace::default(), keys("1"));
    let store = Sqlite::open(folder.path()).unwrap();
    keep_sealing(&store, &keys, &here, true, false, None).await.unwrap();
    let seals = Seals::new(keys.clone());
    let run = seals.seal_new(&store, new("[7]", None)).await.unwrap();
    assert_eq!(store.erase_namespace_keys(&here).await.unwrap(), 1);
    assert_eq!(store.erase_namespace_keys(&here).await.unwrap(), 0);
    let row = row_of(&store, &run).await;
    assert!(matches!(seals.opened(run.id, Some(row.clone()), Instant::now()), Err(Unopened::Erased(_))));
    let mine = RunKeyRow { key: None, ..row };
    assert!(seals.opened(run.id, Some(mine), Instant::now()).unwrap_err().to_string().contains("its key was erased"));
    seals.forget(None);
    let refused = seals.seal_new(&store, new("[7]", None)).await.unwrap_err().to_string();
    assert!(refused.contains("`pawl namespace seal default on`"), "{refused}");
    // Whichever word it is.
    assert!(keep_sealing(&store, &keys, &here, false, false, None).await.unwrap());
    seals.forget(None);
    assert!(seals.seal_new(&store, new("[7]", None)).await.unwrap().sealed.is_none());
    assert!(keep_sealing(&store, &keys, &here, true, false, None).await.unwrap());
    seals.forget(None);
    let sealed = seals.seal_new(&store, new("[7]", None)).await.unwrap().sealed.unwrap();
    assert_eq!(sealed.version, 2, "a version means one key for ever");
    assert_eq!(pawl_store::sealing::sealing_of(&store.namespace_keys(&here).await.unwrap()), Sealing::On);
}

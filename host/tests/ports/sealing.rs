//! Keys of payloads: what both stores keep of them, and when they erase them.

use pawl_base::envelope::{Keys, Sealed};
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_store::sealing::{NamespaceKeyRow, RunKeyRow, WrappedKey};
use pawl_store::submit::{NewRun, Submission};
use pawl_store::{Error, SharedStore};

use crate::stores::HERE;

fn key(namespace: &Namespace, version: u32, digit: &str) -> Sealed {
    let keys = Keys::read(&digit.repeat(64)).expect("a key");
    keys.seal(&[7; 32], &NamespaceKeyRow::about(namespace, version)).expect("sealed")
}

pub async fn a_namespaces_keys_are_numbered_and_what_is_erased_leaves_its_row(store: &SharedStore) {
    let name: Namespace = "sealed".parse().expect("a name");
    let (first, second) = (key(&name, 1, "7"), key(&name, 2, "7"));
    assert!(store.namespace_keys(&name).await.expect("read").is_empty());
    assert!(!store.retire_namespace_key(&name).await.expect("an answer"), "there is none");
    assert!(store.add_namespace_key(&name, 1, &first, Some("ada")).await.expect("added"));
    assert!(!store.add_namespace_key(&name, 1, &second, None).await.expect("an answer"), "it is taken");
    assert!(store.add_namespace_key(&name, 2, &second, None).await.expect("added"));
    let rows = store.namespace_keys(&name).await.expect("read");
    let told: Vec<_> = rows.iter().map(|row| (row.version, row.sealed.as_ref(), row.created_by.as_deref())).collect();
    assert_eq!(told, [(1, Some(&first), Some("ada")), (2, Some(&second), None)]);
    assert!(rows.iter().all(|row| row.created_at_ms > 1_700_000_000_000 && row.retired_at_ms.is_none()), "{rows:?}");

    let anew = key(&name, 1, "8");
    assert!(!store.wrap_namespace_key(&name, 1, &anew.key_id, &anew).await.expect("an answer"), "it is under another");
    assert!(store.wrap_namespace_key(&name, 1, &first.key_id, &anew).await.expect("wrapped"));
    assert!(store.retire_namespace_key(&name).await.expect("retired"));
    assert!(!store.retire_namespace_key(&name).await.expect("an answer"), "it is so already");
    let rows = store.namespace_keys(&name).await.expect("read");
    assert_eq!(rows[0].sealed.as_ref(), Some(&anew));
    assert!(rows[0].retired_at_ms.is_none() && rows[1].retired_at_ms.is_some(), "the newest: {rows:?}");

    assert_eq!(store.erase_namespace_keys(&name).await.expect("erased"), 2);
    assert_eq!(store.erase_namespace_keys(&name).await.expect("an answer"), 0);
    let rows = store.namespace_keys(&name).await.expect("read");
    assert!(rows.iter().all(|row| row.sealed.is_none() && row.erased_at_ms.is_some()), "{rows:?}");
}

pub async fn a_runs_key_comes_with_its_submission_and_is_erased_after_its_end(store: &SharedStore, pipeline: &str) {
    let under = key(&HERE, 1, "7");
    assert!(store.add_namespace_key(&HERE, 1, &under, None).await.expect("added"));
    let sealed = |wrapped: &[u8]| {
        let key = WrappedKey { version: 1, wrapped: wrapped.to_vec() };
        let input = [&[0xf5][..], wrapped].concat();
        NewRun { sealed: Some(key), ..NewRun::new(HERE.clone(), pipeline.into(), input, Some("sealed-1".into())) }
    };
    let clear = NewRun::new(HERE.clone(), pipeline.into(), b"1".to_vec(), None);
    let (one, again) = (sealed(b"one"), sealed(b"another"));
    let mut link = store.link();
    // Whoever submits knows of yesterday's keys, or of none.
    for wrong in [clear.clone(), NewRun { sealed: Some(WrappedKey { version: 9, wrapped: vec![1] }), ..one.clone() }] {
        let refused = link.submit(&[wrong]).await.expect_err("the keys are others");
        assert!(
            matches!(refused, Error::Refused(..)) && refused.chain().contains("have changed"),
            "{}",
            refused.chain()
        );
    }
    let (answers, mut ready) = link.submit(std::slice::from_ref(&one)).await.expect("submitted");
    assert_eq!(answers, [Submission::Created]);
    store.retire_namespace_key(&HERE).await.expect("retired");
    let (answers, more) = link.submit(std::slice::from_ref(&clear)).await.expect("submitted");
    assert_eq!(answers, [Submission::Created], "in the clear from now on");
    ready.extend(more);
    for ready in ready {
        let is_sealed = ready.id.run == one.id;
        assert_eq!(ready.start.is_none(), is_sealed, "a message carries no sealed input: {ready:?}");
    }
    let (answers, _) = link.submit(&[again]).await.expect("submitted");
    assert_eq!(answers, [Submission::KeyReused], "whoever has the keys compares what is asked for");
    let (answers, _) = link.submit(std::slice::from_ref(&one)).await.expect("submitted");
    assert_eq!(answers, [Submission::Same], "sent again after a lost answer");

    let row = |key: Option<WrappedKey>| RunKeyRow { namespace: HERE.clone(), key, under: Some(under.clone()) };
    let first = Some(WrappedKey { version: 1, wrapped: b"one".to_vec() });
    assert_eq!(store.run_key(one.id).await.expect("read"), Some(row(first)), "that of the first submission");
    assert_eq!(store.run_key(clear.id).await.expect("read"), None);
    assert_eq!(store.run_input(one.id).await.expect("read"), one.input);

    let refused = store.erase_namespace_keys(&HERE).await.expect_err("runs are in the way");
    assert!(matches!(&refused, Error::Conflict(why) if why.contains("have not ended")), "{refused}");
    let refused = store.erase_run_key(one.id).await.expect_err("it has not ended");
    assert!(matches!(&refused, Error::Conflict(why) if why.contains("pawl run cancel")), "{refused}");
    store.cancel(one.id).await.expect("cancelled");
    store.cancel(clear.id).await.expect("cancelled");
    assert!(store.erase_run_key(one.id).await.expect("erased"));
    assert!(!store.erase_run_key(one.id).await.expect("an answer"), "it is so already");
    assert!(!store.erase_run_key(clear.id).await.expect("an answer"), "it has none");
    assert_eq!(store.run_key(one.id).await.expect("read"), Some(row(None)));
    assert!(matches!(store.erase_run_key(RunId::new()).await, Err(Error::NotFound(_))));
}

//! Secrets: what both stores keep of them, and that no change is lost to another one.

use pawl_base::envelope::{Keys, Sealed};
use pawl_domain::namespace::Namespace;
use pawl_domain::secret::grant::Grant;
use pawl_store::SharedStore;
use pawl_store::secrets::SecretRow;

use crate::stores::HERE;

fn row(name: &str, revision: i64, version: i64) -> SecretRow {
    let keys = Keys::read(&"7".repeat(64)).expect("a key");
    let about = SecretRow::about(&HERE, name, version);
    let sealed = keys.seal(b"hunter2hunter2", &about).expect("sealed");
    let grants = vec![Grant {
        pipeline: "orders".parse().expect("a name"),
        step: Some("pay".parse().expect("a name")),
        plugin: None,
        hosts: vec!["https://pay.example.org".parse().expect("a grant")],
    }];
    let (set_at_ms, set_by) = (None, Some("ada".to_owned()));
    SecretRow { name: name.to_owned(), revision, version, sealed: Some(sealed), grants, set_at_ms, set_by }
}

async fn named(store: &SharedStore, name: &str) -> SecretRow {
    let found = store.secrets_named(&HERE, &[name.to_owned()]).await.expect("read");
    assert_eq!(found.len(), 1, "{name}");
    found.into_iter().next().expect("it is there")
}

pub async fn a_secret_is_kept_sealed_and_of_two_changes_at_once_one_is_refused(store: &SharedStore) {
    let first = row("token", 1, 1);
    let set_at_ms = store.write_secret(&HERE, &first).await.expect("an answer");
    let found = named(store, "token").await;
    assert_eq!(set_at_ms, found.set_at_ms, "the write says when");
    assert!(found.set_at_ms.is_some_and(|at_ms| at_ms > 1_700_000_000_000), "{found:?}");
    assert_eq!(SecretRow { set_at_ms: None, ..found.clone() }, first, "as it was written");

    for (refused, why) in [
        (row("token", 1, 1), "it is there already"),
        (row("token", 3, 2), "one between them is missing"),
        (row("other", 2, 1), "there is none before it"),
    ] {
        assert_eq!(store.write_secret(&HERE, &refused).await.expect("an answer"), None, "{why}");
    }
    assert_eq!(named(store, "token").await, found);

    // A change that is not of the value keeps its time.
    let granted = SecretRow { revision: 2, grants: Vec::new(), ..found.clone() };
    assert_eq!(store.write_secret(&HERE, &granted).await.expect("an answer"), granted.set_at_ms);
    assert_eq!(named(store, "token").await, granted);

    for name in ["b", "a", "c"] {
        assert!(store.write_secret(&HERE, &row(name, 1, 1)).await.expect("an answer").is_some());
    }
    let names = async |after: Option<&str>, limit| {
        let rows = store.secrets(&HERE, after, limit).await.expect("listed");
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 2).await, ["a", "b"]);
    assert_eq!(names(Some("b"), 10).await, ["c", "token"]);

    // A removed one leaves its versions, and nothing to open.
    let removed = SecretRow { revision: 3, sealed: None, ..granted };
    assert!(store.write_secret(&HERE, &removed).await.expect("an answer").is_some());
    assert_eq!((named(store, "token").await, names(Some("b"), 10).await), (removed, vec!["c".to_owned()]));
    let all = ["c", "token", "a", "nobody"].map(str::to_owned);
    let found = store.secrets_named(&HERE, &all).await.expect("read");
    assert_eq!(found.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "c", "token"]);

    let elsewhere: Namespace = "elsewhere".parse().expect("a name");
    assert_eq!(store.secrets(&elsewhere, None, 10).await.expect("listed"), []);
    assert_eq!(store.secrets_named(&elsewhere, &all).await.expect("read"), []);

    // What was put into another row does not open there.
    let keys = Keys::read(&"7".repeat(64)).expect("a key");
    let Some(sealed) = named(store, "a").await.sealed else { panic!("it is sealed") };
    let open = |sealed: &Sealed, name| keys.open(sealed, &SecretRow::about(&HERE, name, 1));
    assert_eq!(open(&sealed, "a"), Ok(b"hunter2hunter2".to_vec()));
    assert!(open(&sealed, "c").is_err());
}

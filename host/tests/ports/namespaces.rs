//! Namespaces: what both stores keep of them, and tell.

use std::time::{Duration, Instant};

use pawl_domain::access::Role;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::namespace::Namespace;
use pawl_domain::quota::Quota;
use pawl_domain::token::{RANDOM_BYTES, TokenText};
use pawl_store::control::Signal;
use pawl_store::plugins::NewVersion;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::tokens::NewToken;
use pawl_store::{Error, SharedStore};

use crate::retention::{brief, sweep_until_gone};
use crate::stores::HERE;

pub async fn a_namespace_is_made_once_and_a_run_is_of_one(store: &SharedStore, run: RunId) {
    let name: Namespace = "team-a".parse().expect("a name");
    assert!(store.create_namespace(&name, Some("ada")).await.expect("made"));
    assert!(!store.create_namespace(&name, None).await.expect("an answer"), "it is there");
    assert!(!store.create_namespace(&HERE, None).await.expect("an answer"), "it is there from the start");
    let all = store.namespaces().await.expect("listed");
    let told: Vec<_> = all.iter().map(|row| (row.name.as_str(), row.created_by.as_deref())).collect();
    assert_eq!(told, [("default", None), ("team-a", Some("ada"))]);
    assert!(all[0].created_at_ms.is_none() && all[1].created_at_ms.is_some());

    let quota = Quota { runs: Some(2), submissions: None, components: Some(3), stored_bytes: Some(1 << 40) };
    assert_eq!(store.quota(&name).await.expect("an answer"), Quota::default());
    assert!(store.set_quota(&name, quota).await.expect("set"));
    assert!(!store.set_quota(&name, quota).await.expect("an answer"), "it is so already");
    assert_eq!(store.quota(&name).await.expect("an answer"), quota);
    assert_eq!(store.namespaces().await.expect("listed")[1].quota, quota);
    assert!(store.set_quota(&name, Quota::default()).await.expect("set"));
    assert_eq!(store.runs_in_flight(&name, 10).await.expect("counted"), 0);
    let here = store.runs_in_flight(&HERE, 1_000).await.expect("counted");
    assert!(here > 1, "{here}");
    assert_eq!(store.runs_in_flight(&HERE, here - 1).await.expect("counted"), here - 1, "no further than that");
    assert_eq!(store.components_of(&name).await.expect("counted"), 0);
    assert!(store.components_of(&HERE).await.expect("counted") > 0);

    assert_eq!(store.namespace_of(run).await.expect("an answer"), Some(HERE.clone()));
    assert_eq!(store.namespace_of(RunId::new()).await.expect("an answer"), None);
    let one = Digest::of(b"one");
    assert!(store.is_component_of(&HERE, one).await.expect("an answer"));
    assert!(!store.is_component_of(&name, one).await.expect("an answer"));
    assert!(!store.is_component_of(&HERE, Digest::of(b"nobody's")).await.expect("an answer"));
}

pub async fn names_of_tokens_are_each_namespaces_own(store: &SharedStore) {
    let new = |byte: u8, namespace: Option<&str>| NewToken {
        digest: TokenText::of([byte; RANDOM_BYTES]).digest(),
        name: "bot".to_owned(),
        role: Role::Read,
        namespace: namespace.map(|name| name.parse().expect("a name")),
        created_by: None,
        expires_in_ms: None,
    };
    for (byte, namespace) in [(51, None), (52, Some("team-a")), (53, Some("team-b"))] {
        store.create_token(&new(byte, namespace)).await.expect("made");
        let taken = store.create_token(&new(byte + 10, namespace)).await.expect_err("it is taken there");
        assert!(matches!(taken, Error::Conflict(_)), "{taken}");
    }
    let named = store.tokens_named("bot").await.expect("found");
    let mut of: Vec<_> = named.iter().map(|token| token.namespace.as_ref().map(Namespace::as_str)).collect();
    of.sort_unstable();
    assert_eq!(of, [None, Some("team-a"), Some("team-b")]);
    let own = store.tokens(Some(&"team-a".parse().expect("a name"))).await.expect("listed");
    assert_eq!(own.iter().map(|token| token.digest).collect::<Vec<_>>(), [new(52, None).digest]);
    for token in named {
        assert!(store.revoke_token(token.digest).await.expect("revoked"));
    }
    assert!(store.tokens_named("bot").await.expect("found").is_empty());
}

pub async fn what_a_namespace_holds_is_measured_and_goes_with_its_runs(store: &SharedStore) {
    let name: Namespace = "team-s".parse().expect("a name");
    assert_eq!(store.stored_bytes(&name).await.expect("an answer"), None, "nobody has measured it");
    let holds = async |expected: u64| {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let measured = store.measure(&name).await.expect("measured").expect("nobody else is at it");
            if measured.bytes == expected {
                return assert_eq!(store.stored_bytes(&name).await.expect("an answer"), Some(expected));
            }
            assert!(Instant::now() < until, "{measured:?}, and {expected} bytes are there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    holds(0).await;
    let (bytes, digest) = (vec![7; 10_000], Digest::of(&[7; 10_000]));
    for version in ["1", "2"] {
        let pushed = NewVersion {
            namespace: &name,
            name: "stored",
            version,
            digest,
            bytes: &bytes,
            manifest: b"{}",
            activate: true,
        };
        store.push_version(pushed).await.expect("pushed");
    }
    holds(10_000).await;
    store.apply_pipeline(&name, &brief("stored", "stored", 1)).await.expect("applied");
    let run = NewRun::new(name.clone(), "stored".into(), vec![b'1'; 5_000], None);
    let id = run.id;
    assert_eq!(store.link().submit(&[run]).await.expect("submitted").0, [Submission::Created]);
    holds(15_000).await;
    // It has not ended, and grows.
    let signal = |size| Signal { name: "s".into(), payload: vec![b'1'; size], key: None, room: 9 };
    store.signal(id, signal(1_000)).await.expect("sent");
    holds(16_000).await;
    assert_eq!(store.stored_bytes(&HERE).await.expect("an answer"), None, "it is nobody else's");
    store.cancel(id).await.expect("cancelled");
    sweep_until_gone(store, &[id]).await;
    holds(10_000).await;
}

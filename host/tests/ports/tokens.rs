//! Tokens and the record of changes: what both stores keep of them, and tell.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pawl_dispatch::retention::{Pace, Sweeper};
use pawl_domain::access::Role;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_domain::retention::{Policy, Term};
use pawl_domain::token::{RANDOM_BYTES, TokenText};
use pawl_store::audit::{Asked, AuditFilter};
use pawl_store::tokens::{NewToken, Standing};
use pawl_store::{Error, SharedStore};

fn new(byte: u8, name: &str, role: Role) -> NewToken {
    let digest = TokenText::of([byte; RANDOM_BYTES]).digest();
    NewToken { digest, name: name.to_owned(), role, namespace: None, created_by: None, expires_in_ms: None }
}

pub async fn a_token_is_found_by_its_digest_until_it_is_over(store: &SharedStore) {
    assert!(!store.has_tokens().await.expect("an answer"));
    let first = new(1, "ada", Role::Admin);
    store.create_token(&first).await.expect("made");
    assert!(store.has_tokens().await.expect("an answer"));
    let second = NewToken {
        namespace: Some(Namespace::default()),
        created_by: Some("ada".to_owned()),
        expires_in_ms: Some(3_600_000),
        ..new(2, "ci", Role::Deploy)
    };
    store.create_token(&second).await.expect("made");
    let same = NewToken { namespace: Some(Namespace::default()), ..new(3, "ci", Role::Read) };
    let taken = store.create_token(&same).await.expect_err("the name is taken");
    assert!(matches!(&taken, Error::Conflict(why) if why.contains("`ci`")), "{taken}");

    let found = store.token(second.digest).await.expect("an answer").expect("it is there");
    assert_eq!((&*found.name, found.role, found.digest), ("ci", Role::Deploy, second.digest));
    assert_eq!((found.namespace, found.created_by.as_deref()), (second.namespace.clone(), Some("ada")));
    assert_eq!(found.expires_at_ms.expect("a time") - found.created_at_ms, 3_600_000);
    assert!(matches!(found.standing, Standing::Good(Some(3_590_000..=3_600_000))), "{:?}", found.standing);
    let unknown = TokenText::of([9; RANDOM_BYTES]).digest();
    assert_eq!(store.token(unknown).await.expect("an answer"), None);

    assert!(store.revoke_token(second.digest).await.expect("revoked"));
    assert!(!store.revoke_token(second.digest).await.expect("an answer"), "it is over");
    let over = store.token(second.digest).await.expect("an answer").expect("whoever sends it is told");
    assert!(over.standing == Standing::Revoked && over.revoked_at_ms.is_some());
    let short = NewToken { expires_in_ms: Some(0), ..new(3, "ci", Role::Read) };
    store.create_token(&short).await.expect("its name is free again");
    let expired = store.token(short.digest).await.expect("an answer").expect("it is there");
    assert_eq!(expired.standing, Standing::Expired);
    let listed = store.tokens(None).await.expect("listed");
    let told: Vec<_> = listed.iter().map(|token| (&*token.name, token.standing == Standing::Revoked)).collect();
    assert_eq!(told, [("ada", false), ("ci", false), ("ci", true)]);
}

pub async fn changes_are_recorded_before_they_are_made_and_completed_after(store: &SharedStore) {
    let run = RunId::new();
    let asked = |what: &str, run| Asked {
        who: Some("ada".to_owned()),
        source: "192.0.2.1".to_owned(),
        what: what.to_owned(),
        target: format!("/v1/{what}"),
        run,
        namespace: run.map(|_| Namespace::default()),
    };
    let first = store.ask(&asked("cancelRun", Some(run))).await.expect("recorded");
    let second = store.ask(&Asked { who: None, ..asked("applyPipeline", None) }).await.expect("recorded");
    assert!(second > first, "numbers grow");
    store.answered(second, 201, Some("hello")).await.expect("completed");

    assert_eq!(store.change_since(0).await.expect("found"), first, "the first one of all");
    let page = AuditFilter { limit: 10, ..AuditFilter::default() };
    let read = async |filter| store.audit(filter).await.expect("read");
    let all = read(page).await;
    assert_eq!(all.iter().map(|line| line.id).collect::<Vec<_>>(), [second, first], "the newest first");
    assert_eq!(
        (all[0].status, all[0].subject.as_deref(), all[0].asked.who.as_deref()),
        (Some(201), Some("hello"), None)
    );
    assert_eq!((all[1].status, &all[1].asked), (None, &asked("cancelRun", Some(run))));
    assert_eq!(read(AuditFilter { run: Some(run), ..page }).await, all[1..]);
    assert_eq!(read(AuditFilter { before: Some(second), ..page }).await, all[1..]);
    assert_eq!(read(AuditFilter { limit: 1, ..page }).await, all[..1]);
    assert_eq!(read(AuditFilter { run: Some(RunId::new()), ..page }).await, []);
    let (own, other) = (Namespace::default(), "team-a".parse().expect("a name"));
    for run in [None, Some(run)] {
        assert_eq!(read(AuditFilter { namespace: Some(&own), run, ..page }).await, all[1..], "{run:?}");
        assert_eq!(read(AuditFilter { namespace: Some(&other), run, ..page }).await, [], "{run:?}");
    }

    // What has changed nothing leaves no line, and no other goes with it.
    let third = store.ask(&asked("applyPipeline", None)).await.expect("recorded");
    store.take_back(third).await.expect("taken back");
    assert_eq!(read(page).await, all);
}

/// Of a time, the first line from then on is found, also among numbers that are no line's any more.
pub async fn changes_are_found_by_time(store: &SharedStore) {
    let team: Namespace = "team-t".parse().expect("a name");
    let asked = |number: u32| Asked {
        who: None,
        source: "::1".to_owned(),
        what: "cancelRun".to_owned(),
        target: number.to_string(),
        run: None,
        namespace: number.is_multiple_of(3).then(|| team.clone()),
    };
    let until = Instant::now() + Duration::from_secs(60);
    let newest =
        async || store.audit(AuditFilter { limit: 1, ..AuditFilter::default() }).await.expect("read")[0].clone();
    // Until there are some of several times.
    let (mut times, mut number) = (BTreeSet::new(), 0);
    while times.len() < 5 || number < 60 {
        assert!(Instant::now() < until, "the clock stands still");
        let id = store.ask(&asked(number)).await.expect("recorded");
        times.insert(newest().await.at_ms);
        if number % 4 == 1 {
            store.take_back(id).await.expect("taken back");
        }
        number += 1;
    }
    let mut lines = store.audit(AuditFilter { limit: 10_000, ..AuditFilter::default() }).await.expect("read");
    lines.reverse();
    let (first, last) = (lines[0].id, lines[lines.len() - 1].id);
    for at_ms in times.iter().flat_map(|at_ms| [at_ms - 1, *at_ms, at_ms + 1]) {
        let found = store.change_since(at_ms).await.expect("found");
        let (before, after): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.id < found);
        assert!(before.iter().all(|line| line.at_ms < at_ms), "{at_ms}: {found} is too late");
        assert!(after.iter().all(|line| line.at_ms >= at_ms), "{at_ms}: {found} is too early");
    }
    for (at_ms, found) in [(i64::MIN, first), (0, first)] {
        assert_eq!(store.change_since(at_ms).await.expect("found"), found, "{at_ms}");
    }
    assert!(store.change_since(i64::MAX).await.expect("found") > last, "none is from then on");

    // What one namespace is told is read by an index of it, and stops where it is told to.
    let middle = store.change_since(*times.iter().nth(2).expect("a time")).await.expect("found");
    let filter = AuditFilter { namespace: Some(&team), before: Some(middle), limit: 10_000, ..AuditFilter::default() };
    let told: Vec<i64> = store.audit(filter).await.expect("read").iter().map(|line| line.id).collect();
    let own = lines.iter().rev().filter(|line| line.asked.namespace.as_ref() == Some(&team) && line.id < middle);
    assert_eq!(told, own.map(|line| line.id).collect::<Vec<_>>());
}

pub async fn changes_go_oldest_first_when_their_term_has_ended(store: &SharedStore) {
    const HOUR_MS: u64 = 3_600_000;
    let ask = async || {
        let (source, what, target) = ("::1".into(), "cancelRun".into(), "/".into());
        let asked = Asked { who: None, source, what, target, run: None, namespace: None };
        store.ask(&asked).await.expect("recorded")
    };
    let all = AuditFilter { limit: 1_000, ..AuditFilter::default() };
    let left = async || store.audit(all).await.expect("read").iter().map(|line| line.id).collect::<Vec<_>>();
    let mut lines = left().await;
    for _ in 0..25 {
        lines.insert(0, ask().await);
    }
    assert_eq!(store.delete_audit(HOUR_MS, 1_000).await.expect("looked at"), 0, "none is an hour old");
    // They are older than nothing as soon as the clock has moved on.
    let until = Instant::now() + Duration::from_secs(60);
    while store.delete_audit(0, 10).await.expect("deleted") == 0 {
        assert!(Instant::now() < until, "they stay");
    }
    assert!(left().await.len() >= lines.len() - 10, "no more than so many go in one piece");
    assert_eq!(left().await, lines[..left().await.len()], "the oldest go first");
    let policy = |audit| Policy { audit, ..Policy::default() };
    let mut sweeper = Sweeper::default();
    sweeper.sweep(&**store, &policy(Term::Ms(HOUR_MS)), Pace::Now, until).await.expect("a pass");
    assert!(!left().await.is_empty(), "what is younger than its term stays");
    let last = ask().await;
    let mut gone = 0;
    while left().await.contains(&last) {
        assert!(Instant::now() < until, "the last one stays");
        gone += Sweeper::default()
            .sweep(&**store, &policy(Term::Ms(0)), Pace::Now, until)
            .await
            .expect("a pass")
            .audit_lines;
    }
    assert!(gone >= 15, "{gone} lines went");
}

use std::time::Duration;

use super::*;

const CLOSING: Duration = Duration::from_millis(100);

async fn enter(gate: &Arc<Gate>, company: Company) -> Pass {
    let entered = tokio::time::timeout(Duration::from_secs(20), gate.enter(company, || true)).await;
    entered.expect("it gets in").expect("it is wanted")
}

#[tokio::test]
async fn suspects_are_few_beside_everybody() {
    let gate = Gate::new(CLOSING);
    let others: Vec<Pass> = (0..100).map(|_| gate.try_enter().expect("open")).collect();
    let mut suspects = Vec::new();
    for _ in 0..SUSPECTS {
        suspects.push(enter(&gate, Company::Suspects).await);
    }
    assert!(gate.enter(Company::Suspects, || false).await.is_none());
    assert!(gate.enter_now(&mut gate.held(), Company::Suspects, Instant::now()).is_none(), "no more of them");
    assert!(gate.try_enter().is_some(), "everybody else, as ever");
    suspects.pop();
    enter(&gate, Company::Suspects).await;
    drop((others, suspects));
    assert_eq!(gate.held().inside, 0);
}

#[tokio::test]
async fn one_is_alone_when_all_have_left_and_others_wait_for_it() {
    let gate = Gate::new(CLOSING);
    let first = gate.try_enter().expect("open");
    let alone = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { enter(&gate, Company::Nobody).await }
    });
    while gate.held().closed_since.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(gate.try_enter().is_none(), "it is closed for moments");
    drop(first);
    let alone = alone.await.expect("it is alone");
    assert!(gate.is_taken() && gate.try_enter().is_none());
    drop(alone);
    assert!(gate.try_enter().is_some(), "and open again, for others first");
    assert!(!gate.held().may_close(Instant::now()));
}

#[tokio::test]
async fn others_wait_for_moments_only_while_one_does_not_leave() {
    let gate = Gate::new(CLOSING);
    let long = gate.try_enter().expect("open");
    let alone = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { enter(&gate, Company::Nobody).await }
    });
    let other = enter(&gate, Company::Everybody).await;
    drop(other);
    while gate.held().open_until.is_none() {
        tokio::task::yield_now().await;
    }
    let _other = gate.try_enter().expect("it was given up for a while");
    drop(_other);
    drop(long);
    drop(alone.await.expect("it is alone at last"));
}

#[tokio::test]
async fn who_is_not_wanted_any_more_leaves_and_opens_the_gate() {
    let gate = Gate::new(Duration::from_secs(60));
    let _first = gate.try_enter().expect("open");
    let looks = std::cell::Cell::new(0);
    let is_wanted = || looks.replace(looks.get() + 1) < 2;
    assert!(gate.enter(Company::Nobody, is_wanted).await.is_none());
    assert!(gate.try_enter().is_some());
}

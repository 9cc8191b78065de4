//! The record of changes as it is looked through: by whom, for what and when; and that each namespace is told its own, whatever is
//! asked for. Who leaves which line stands in `access.rs` and `namespaces.rs`.

use anyhow::{Context as _, Result};
use pawl_api::types::{ChangeList, Role};
use pawl_tests::Client;

use crate::namespaces::{furnish, of, with_two};

fn list(client: &Client, query: &str) -> Result<ChangeList> {
    client.get(&format!("/v1/audit?{query}"))?.read().with_context(|| query.to_owned())
}

/// Who asked for what.
fn told(list: &ChangeList) -> Vec<String> {
    list.changes.iter().map(|it| format!("{} {}", it.who.as_deref().unwrap_or("-"), it.what)).collect()
}

#[test]
fn changes_are_found_by_whom_for_what_and_when() -> Result<()> {
    let mut api = with_two("api_changes")?;
    let [a, b] = ["team-a", "team-b"].map(|namespace| of(&api.client, namespace, "ci", Role::Admin));
    let (a, b) = (a?, b?);
    furnish(&a, "a")?;
    furnish(&b, "b")?;
    let all = &api.client;
    let whole = list(all, "limit=1000")?;
    assert_eq!((whole.looked_at, whole.next), (None, None), "nothing was looked for");

    let of_a = list(all, "who=team-a/ci")?;
    assert_eq!(told(&of_a), ["team-a/ci setSecret", "team-a/ci applyPipeline", "team-a/ci pushVersion"]);
    assert_eq!(of_a.looked_at.map(|lines| lines as usize), Some(whole.changes.len()));
    assert_eq!((of_a.looked_to_ms, of_a.next), (whole.changes.last().map(|change| change.at_ms), None));
    assert_eq!(told(&list(all, "who=ci")?), [""; 0], "it is called `team-a/ci`");
    assert_eq!(told(&list(all, "who=team-a/ci&what=setSecret")?), ["team-a/ci setSecret"]);
    assert_eq!(told(&list(all, "what=applyPipeline")?), ["team-b/ci applyPipeline", "team-a/ci applyPipeline"]);
    let page = list(all, "what=applyPipeline&limit=1")?;
    assert_eq!(told(&page), ["team-b/ci applyPipeline"]);
    let next = page.next.context("there may be more")?;
    assert_eq!(told(&list(all, &format!("what=applyPipeline&limit=1&before={next}"))?), ["team-a/ci applyPipeline"]);

    let (since_ms, until_ms) = (whole.changes[5].at_ms, whole.changes[1].at_ms);
    let found = list(all, &format!("since_ms={since_ms}&until_ms={until_ms}"))?;
    let meant = whole.changes.iter().filter(|change| (since_ms..until_ms).contains(&change.at_ms));
    assert_eq!(found.changes, meant.cloned().collect::<Vec<_>>());
    assert_eq!((found.looked_at, found.next), (None, None), "times are found");
    for none in ["since_ms=9223372036854775807", "until_ms=-9223372036854775808", "who=%00%22", "who=nobody&since_ms=0"]
    {
        assert_eq!(told(&list(all, none)?), [""; 0], "{none}");
    }
    assert_eq!(list(all, "who=&what=&limit=1000")?.changes, whole.changes, "nothing is said");

    for (wrong, says) in [
        ("what=aplyPipeline", "did you mean `applyPipeline`?"),
        ("what=listRuns", "`what` is the name of an operation that leaves a line"),
        ("since_ms=yesterday", "a parameter is wrong"),
        ("until_ms=1.5", "a parameter is wrong"),
        ("whom=ada", "a parameter is wrong"),
    ] {
        let problem = all.get(&format!("/v1/audit?{wrong}"))?.problem(400)?;
        assert!(problem.detail.contains(says), "{wrong}: {}", problem.detail);
    }
    api.stop()
}

#[test]
fn no_filter_tells_a_namespace_of_another_ones_changes() -> Result<()> {
    let mut api = with_two("api_changes_apart")?;
    let [a, b] = ["team-a", "team-b"].map(|namespace| of(&api.client, namespace, "ci", Role::Admin));
    let (a, b) = (a?, b?);
    let (run, _) = furnish(&a, "a")?;
    a.cancel(run)?;
    furnish(&b, "b")?;
    let own = list(&b, "limit=1000")?;
    assert_eq!(own.changes.len(), 3, "{own:?}");
    let newest = list(&api.client, "limit=1")?.changes[0].id;
    for (query, count) in [
        ("who=team-a/ci".to_owned(), 0),
        ("who=api_token".to_owned(), 0),
        ("who=team-b/ci".to_owned(), 3),
        ("what=cancelRun".to_owned(), 0),
        ("what=applyPipeline".to_owned(), 1),
        ("since_ms=0".to_owned(), 3),
        ("until_ms=9000000000000000".to_owned(), 3),
        ("who=team-a/ci&what=cancelRun&since_ms=0&until_ms=9000000000000000".to_owned(), 0),
        (format!("run={run}&who=team-a/ci"), 0),
        (format!("run={run}&since_ms=0"), 0),
        (format!("before={}&what=setSecret", newest + 1), 1),
    ] {
        let found = list(&b, &query)?;
        assert!(found.changes.iter().all(|change| own.changes.contains(change)), "{query}: {found:?}");
        assert_eq!((found.changes.len(), found.next), (count, None), "{query}");
        // Nor of how many there are.
        assert!(found.looked_at.is_none_or(|lines| lines <= 3), "{query}: {found:?}");
    }
    api.stop()
}

//! Runbooks: each is short and has the parts that somebody looks for at night, and what it says that one notices is there to be
//! noticed. That its commands do what it says is shown by following it (`tests/tests/end_to_end/runbooks`).

use std::collections::BTreeMap;

use pawl_metrics::DEFINITIONS;

use crate::tree;

/// What fits on a screen that is turned on its side, or on one that is scrolled once.
const LINES: usize = 80;

/// What the system says, not Pawl.
const OF_OTHERS: [&str; 1] = ["No space left on device"];

/// A page's text by its name.
fn pages(texts: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    texts
        .iter()
        .filter_map(|(path, text)| Some((path.strip_prefix("docs/runbooks/")?.strip_suffix(".md")?, text.as_str())))
        .collect()
}

/// The paragraph of that head, on one line.
fn paragraph(page: &str, head: &str) -> String {
    let (_, rest) = page.split_once(&format!("\n**{head}")).unwrap_or_else(|| panic!("no **{head} in {page}"));
    rest.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn a_runbook_is_short_and_says_how_one_notices_what_it_means_and_when_it_is_over() {
    let texts = tree::texts();
    let pages = pages(&texts);
    let index = pages["README"];
    for (name, page) in pages.iter().filter(|(name, _)| **name != "README") {
        assert!(page.lines().count() <= LINES, "{name} has more than {LINES} lines");
        for head in ["You notice.**", "What it means.**"] {
            assert!(!paragraph(page, head).is_empty(), "{name}: {head}");
        }
        assert!(page.contains("**It is over** when"), "{name} says when it is over");
        assert!(index.contains(&format!("]({name}.md)")), "README.md leads to {name}.md");
    }
    assert!(pages.len() > 11, "{:?}", pages.keys());
}

#[test]
fn what_a_runbook_says_that_one_notices_is_there() {
    let texts = tree::texts();
    let rules = &texts["deploy/prometheus/rules.yaml"];
    let sources: Vec<&String> =
        texts.iter().filter(|(path, _)| path.starts_with("host/") && path.ends_with(".rs")).map(|(_, it)| it).collect();
    let mut seen = 0;
    for (name, page) in pages(&texts).into_iter().filter(|(name, _)| *name != "README") {
        for words in quoted(&paragraph(page, "You notice.**")) {
            let words = words.trim_end_matches([' ', '…']);
            seen += 1;
            let is_there = if words.starts_with("Pawl") {
                rules.lines().any(|line| line.trim() == format!("- alert: {words}"))
            } else if words.starts_with("pawl_") {
                DEFINITIONS.iter().any(|figure| figure.name == words)
            } else if words.split(' ').count() > 3 && !OF_OTHERS.contains(&words) {
                sources.iter().any(|source| source.contains(words))
            } else {
                continue;
            };
            assert!(is_there, "{name}: nobody says {words:?}");
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_alert_leads_to_a_runbook_by_the_index() {
    let texts = tree::texts();
    let index = texts["docs/runbooks/README.md"].as_str();
    let rules = &texts["deploy/prometheus/rules.yaml"];
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let row = |line: &&str| line.starts_with("| ") && line.contains(&format!("`{alert}`"));
        assert!(index.lines().any(|line| row(&line)), "the index of runbooks does not know {alert}");
    }
    let doctor = &texts["docs/doctor.md"];
    let checks = index.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()?.split_once("doctor: "));
    for check in checks.flat_map(|(_, checks)| quoted(checks)) {
        assert!(doctor.contains(&format!("`{check}`")), "docs/doctor.md knows no check {check}");
    }
}

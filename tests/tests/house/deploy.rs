//! What stands in `deploy/` for Prometheus and Grafana: it is read by the tool of Prometheus' makers, names only figures that
//! there are, and says what to do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use pawl_metrics::{DEFINITIONS, Kind, Role, exposition, figures};
use serde_json::Value;

use crate::tree;

/// Figures of Prometheus' own.
const PROMETHEUS: [&str; 1] = ["up"];

/// How the variables of a dashboard are filled in to read its expressions.
const VARIABLES: [(&str, &str); 3] = [("$__rate_interval", "1m"), ("$pipeline", ".*"), ("$instance", ".*")];

pub(crate) fn promtool(words: &[&str], input: &str) -> Output {
    let tools = tree::root().join(".pawl/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path))).expect("a path");
    let mut command = Command::new("promtool");
    command.args(words).env("PATH", path).current_dir(tree::root().join("deploy/prometheus"));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("promtool is there: run `.ci/setup test`");
    let mut stdin = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

pub(crate) fn succeeded(output: &Output) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !said.contains("FAILED"), "{said}");
}

fn text(path: &str) -> String {
    std::fs::read_to_string(tree::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of the dashboards.
fn dashboards() -> Vec<PathBuf> {
    let folder = tree::root().join("deploy/grafana");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn members<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(name).and_then(Value::as_str));
            object.values().for_each(|value| members(value, name, found));
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, name, found)),
        _ => {}
    }
}

/// Every expression of every dashboard.
fn expressions() -> Vec<String> {
    let mut all = Vec::new();
    for file in dashboards() {
        let board: Value =
            serde_json::from_str(&std::fs::read_to_string(&file).expect("it is text")).expect("it is JSON");
        let mut found = Vec::new();
        members(&board, "expr", &mut found);
        assert!(found.len() > 5, "{} has panels", file.display());
        let filled = |expression: &str| {
            VARIABLES.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value))
        };
        all.extend(found.into_iter().map(filled));
    }
    all
}

/// The figures that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("pawl_") || PROMETHEUS.contains(word)).collect()
}

/// Whether there is a series of that name.
fn is_told(name: &str) -> bool {
    DEFINITIONS.iter().any(|it| match it.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"].iter().any(|part| name.strip_suffix(part) == Some(it.name)),
        _ => name == it.name,
    }) || PROMETHEUS.contains(&name)
}

#[test]
fn rules_and_dashboards_name_figures_that_there_are() {
    let mut texts = vec![text("deploy/prometheus/rules.yaml"), text("deploy/prometheus/rules.test.yaml")];
    texts.extend(dashboards().iter().map(|file| std::fs::read_to_string(file).expect("it is text")));
    // The names of dashboards begin as those of figures do.
    let gone: BTreeSet<&str> = texts.iter().flat_map(|text| named(text)).filter(|name| !is_told(name)).collect();
    assert!(gone.is_empty(), "no figure has these names: {gone:?}");
    assert!(!is_told("pawl_run_duration_seconds") && !is_told("pawl_gone_total") && is_told("pawl_takeovers_total"));
}

#[test]
fn every_figure_is_on_a_dashboard_or_in_a_rule() {
    let told = expressions().join(" ") + &text("deploy/prometheus/rules.yaml");
    let unseen: Vec<&str> = DEFINITIONS.iter().map(|it| it.name).filter(|name| !told.contains(name)).collect();
    assert!(unseen.is_empty(), "nobody looks at these: {unseen:?}");
}

#[test]
fn rules_are_sound_and_fire_when_they_should_and_not_otherwise() {
    succeeded(&promtool(&["check", "rules", "rules.yaml"], ""));
    succeeded(&promtool(&["test", "rules", "rules.test.yaml"], ""));
    let (rules, tests) = (text("deploy/prometheus/rules.yaml"), text("deploy/prometheus/rules.test.yaml"));
    let page = text("docs/alerts.md");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in &alerts {
        let is_runbook = |line: &&str| line.trim() == format!("runbook: docs/alerts.md#{}", alert.to_lowercase());
        assert!(rules.lines().any(|line| is_runbook(&line)), "{alert} leads to its runbook");
        assert!(page.lines().any(|line| line == format!("## {alert}")), "docs/alerts.md says what {alert} means");
        // In lines of their own both times, or in one.
        let of_alert = |line: &&str| line.contains(&format!("alertname: {alert}"));
        let silent = |line: &&str| of_alert(line) && line.contains("exp_alerts: []");
        assert!(tests.lines().any(|line| silent(&line)), "{alert} is silent in some test");
        assert!(tests.lines().any(|line| of_alert(&line) && !silent(&line)), "{alert} fires in some test");
    }
    let told = page.lines().filter_map(|line| line.strip_prefix("## "));
    assert_eq!(told.collect::<Vec<_>>(), alerts, "docs/alerts.md tells of each, in their order");
}

#[test]
fn a_rule_that_does_not_fire_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let changed = text("deploy/prometheus/rules.yaml").replace("pawl_parked_steps) > 0", "pawl_parked_steps) > 9");
    std::fs::write(folder.path().join("rules.yaml"), changed).expect("written");
    let tests = folder.path().join("rules.test.yaml");
    std::fs::write(&tests, text("deploy/prometheus/rules.test.yaml")).expect("written");
    let output = promtool(&["test", "rules", &tests.to_string_lossy()], "");
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn dashboards_have_expressions_that_prometheus_can_read() {
    let mut rules = String::from("groups:\n  - name: dashboards\n    rules:\n");
    for (number, expression) in expressions().iter().enumerate() {
        let expression = serde_json::to_string(expression).expect("it is text");
        rules.push_str(&format!("      - record: panel:number_{number}\n        expr: {expression}\n"));
    }
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), rules).expect("written");
    succeeded(&promtool(&["check", "rules", &file.path().to_string_lossy()], ""));
}

#[test]
fn what_is_told_passes_prometheus_own_check() {
    // One of each, so that nothing is left out.
    let figures = figures();
    let of = figures.of_pipeline("a \"name\"\n");
    of.runs_submitted.one();
    figures.queue_wait_seconds.of(&["default", "normal"]).saw(0.5);
    for levels in [&figures.queue_messages, &figures.queue_pending, &figures.queue_oldest_seconds] {
        levels.of(&["default", "normal"]).set_count(3);
    }
    figures.workers.of(&["alive"]).set_count(1);
    figures.queue_steps.of(&["default"]).set_count(4);
    figures.paused.of(&["run"]).set_count(2);
    figures.circuits.of(&["open"]).set_count(1);
    figures.dead_letters.of(&["failed"]).set_count(1);
    let mut told = BTreeSet::new();
    for role in [Role::Api, Role::Worker, Role::Dev] {
        let text = exposition(role);
        succeeded(&promtool(&["check", "metrics"], &text));
        let name = |line: &str| line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next().map(str::to_owned));
        told.extend(text.lines().filter_map(name));
    }
    let defined: BTreeSet<String> = DEFINITIONS.iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(told, defined, "what was checked is all that there is");
    let wrong = "# HELP pawl_things Things.\n# TYPE pawl_things counter\npawl_things 1\n";
    assert!(!promtool(&["check", "metrics"], wrong).status.success(), "it does check");
}

//! What files give which pipelines, and which problems.

use serde_json::json;

use super::*;
use crate::id::StepNo;
use crate::pipeline::{Priority, StepSpec, Versions};
use crate::retention::{Retention, Term};
use crate::retry::{Backoff, RetryPolicy};

const GOOD: &str = r#"
name = "temperatures"

[[step]]
name = "merge"
plugin = "demo-merge"
needs = ["load", "clean"]
retry = { max_attempts = 5, backoff = "exponential", delay = "500ms", max_delay = "30s" }

[[step]]
name = "load"
plugin = "demo-load@1.2.0"
config = { city = "seattle", limits = [1, 2.5, true], day = 2010-01-01 }
timeout = "2m"
queue = "heavy"
priority = "high"

[[step]]
name = "clean"
plugin = "demo-clean"
needs = ["load"]
[step.retry]
backoff = "fixed"
delay = "5m"
"#;

fn read_toml(text: &str) -> Result<Pipeline, Vec<Problem>> {
    read(text.as_bytes(), Format::Toml, &Limits::default(), None)
}

fn read_json(text: &str) -> Result<Pipeline, Vec<Problem>> {
    read(text.as_bytes(), Format::Json, &Limits::default(), None)
}

/// The problems as `line:column message (help)`.
fn problems(result: Result<Pipeline, Vec<Problem>>) -> Vec<String> {
    let problems = result.expect_err("the file has problems");
    let shown = problems.into_iter().map(|problem| {
        let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}{help}", problem.line, problem.column, problem.message)
    });
    shown.collect()
}

#[test]
fn secrets_are_granted_by_name_and_change_nothing_where_there_are_none() {
    let file = |secrets: &str| format!("name = \"p\"\n[[step]]\nname = \"s\"\nplugin = \"x\"\n{secrets}");
    let granted = read_toml(&file("secrets = [\"api_token\", \"_B2\"]")).unwrap();
    assert_eq!(granted.steps[0].secrets, ["api_token", "_B2"]);
    // Versions are digests of the canonical form: those of pipelines that were applied before must stay.
    let canonical = String::from_utf8(read_toml(&file("secrets = []")).unwrap().canonical()).unwrap();
    assert!(!canonical.contains("secrets"), "{canonical}");
    assert_eq!(
        problems(read_toml(&file("secrets = [\"a-b\", \"a\", \"a\"]"))),
        [
            "5:12 the name of a secret may have letters, digits and _, but not '-' (a worker finds its value in the \
             variable PAWL_SECRET_<NAME IN UPPER CASE>)",
            "5:24 the secret `a` is granted twice (remove one)",
        ]
    );
    assert_eq!(
        problems(read_toml(&file("secrets = \"a\""))),
        ["5:11 `secrets` must be a list of names of secrets, it is a string (write secrets = [\"...\"])"]
    );
}

#[test]
fn a_pipeline_may_say_how_long_its_runs_are_kept() {
    let file = |said: &str| format!("name = \"p\"\n{said}\n[[step]]\nname = \"s\"\nplugin = \"x\"\n");
    let (plain, week) = (read_toml(&file("")).unwrap(), Term::days(7));
    assert!(plain.retention.is_default() && !String::from_utf8(plain.canonical()).unwrap().contains("retention"));
    for (said, retention) in [
        ("retention = \"keep\"", Retention::of_all(Term::Keep)),
        ("retention = \"7d\"", Retention::of_all(week)),
        (
            "[retention]\nsucceeded = \"7d\"\nfailed = \"keep\"",
            Retention { succeeded: Some(week), failed: Some(Term::Keep), cancelled: None },
        ),
    ] {
        let read = read_toml(&file(said)).unwrap();
        assert_eq!(read.retention, retention, "{said}");
        assert_ne!(read.digest(), plain.digest(), "it is another version");
        assert_eq!(serde_json::from_slice::<Pipeline>(&read.canonical()).unwrap(), read);
    }
    for (said, problem) in [
        ("retention = 7", "2:13 `retention` must be a text with a unit (write retention = \"7d\""),
        ("retention = \"7\"", "2:13 `retention` is no time that runs are kept (say the unit"),
        ("retention = [\"7d\"]", "2:13 `retention` must be a string, it is a list"),
        ("[retention]\nfaild = \"7d\"", "3:1 `retention` has no key `faild` (did you mean `failed`?)"),
        (
            "[retention]\nfailed = \"99999d\"",
            "3:10 `failed` is no time that runs are kept (that is longer than a hundred years",
        ),
    ] {
        let [found] = &problems(read_toml(&file(said)))[..] else { panic!("one problem: {said}") };
        assert!(found.starts_with(problem), "{said}: {found}");
    }
}

#[test]
fn steps_may_get_their_versions_when_they_start() {
    let file = |versions: &str| format!("name = \"p\"\n{versions}\n[[step]]\nname = \"s\"\nplugin = \"x\"\n");
    let at_start = read_toml(&file("versions = \"start\"")).unwrap();
    assert_eq!(at_start.versions, Versions::Start);
    assert!(at_start.resolves_at_start(&at_start.steps[0]));
    assert!(!at_start.resolves_at_start(&StepSpec { version: Some("1".into()), ..at_start.steps[0].clone() }));
    // Where nothing is said, the version is the same as before there was something to say.
    let plain = read_toml(&file("")).unwrap();
    assert_eq!(read_toml(&file("versions = \"submission\"")).unwrap().digest(), plain.digest());
    assert!(!String::from_utf8(plain.canonical()).unwrap().contains("versions"));
    assert_eq!(
        problems(read_toml(&file("versions = \"starts\""))),
        ["2:12 `versions` must be one of `submission` and `start`, not \"starts\" (did you mean `start`?)"]
    );
}

fn plugins() -> KnownPlugins {
    let plugin = |versions: &[&str], has_active| KnownPlugin {
        versions: versions.iter().map(|version| (*version).to_owned()).collect(),
        has_active,
    };
    KnownPlugins(BTreeMap::from([
        ("demo-load".to_owned(), plugin(&["1.2.0", "1.3.0"], true)),
        ("demo-clean".to_owned(), plugin(&["0.1.0"], true)),
        ("draft".to_owned(), plugin(&["0.0.1"], false)),
    ]))
}

#[test]
fn a_good_file_becomes_a_pipeline_in_the_order_of_its_needs() {
    let pipeline = read_toml(GOOD).unwrap();
    assert_eq!(pipeline.name, "temperatures");
    let names: Vec<&str> = pipeline.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["load", "clean", "merge"]);

    let load = &pipeline.steps[0];
    assert_eq!((load.plugin.as_str(), load.version.as_deref()), ("demo-load", Some("1.2.0")));
    assert_eq!(load.config, json!({"city": "seattle", "limits": [1, 2.5, true], "day": "2010-01-01"}));
    assert_eq!((load.timeout_ms, load.queue.as_str(), load.priority), (120_000, "heavy", Priority::High));
    assert_eq!(load.retry, RetryPolicy::default());

    let clean = &pipeline.steps[1];
    assert_eq!((clean.timeout_ms, clean.queue.as_str(), clean.priority), (600_000, "default", Priority::Normal));
    assert_eq!(
        (clean.retry.backoff, clean.retry.delay_ms, clean.retry.max_delay_ms),
        (Backoff::Fixed, 300_000, 300_000)
    );

    let merge = &pipeline.steps[2];
    assert_eq!(merge.needs, [StepNo(0), StepNo(1)]);
    assert_eq!(
        merge.retry,
        RetryPolicy { max_attempts: 5, backoff: Backoff::Exponential, delay_ms: 500, max_delay_ms: 30_000 }
    );
}

#[test]
fn json_and_toml_give_the_same_version() {
    let json = json!({
        "step": [
            {"plugin": "demo-merge", "name": "merge", "needs": ["load", "clean"],
             "retry": {"delay": "500ms", "max_delay": "30s", "max_attempts": 5, "backoff": "exponential"}},
            {"name": "load", "plugin": "demo-load@1.2.0", "timeout": "120s", "queue": "heavy", "priority": "high",
             "config": {"limits": [1, 2.5, true], "day": "2010-01-01", "city": "seattle"}},
            {"name": "clean", "plugin": "demo-clean", "needs": ["load"], "retry": {"backoff": "fixed", "delay": "5m"}},
        ],
        "name": "temperatures",
    });
    let from_json = read_json(&serde_json::to_string_pretty(&json).unwrap()).unwrap();
    assert_eq!(from_json.digest(), read_toml(GOOD).unwrap().digest());
}

#[test]
fn every_problem_is_reported_at_once_with_its_line() {
    let text = r#"nam = "temperatures"

[[step]]
name = "load"
plugin = "demo-laod"
timeout = "2 minutes"
retrys = { max_attempts = 5 }

[[step]]
name = "2nd"
plugin = "demo-clean@9"
needs = ["laod", "load", "load"]
priority = "hihg"

[[step]]
name = "load"
plugin = "draft"
needs = ["load"]
retry = { max_attempts = 0, backoff = "linear", delay = 5 }

[[step]]
plugin = "demo load"
"#;
    let found = problems(read(text.as_bytes(), Format::Toml, &Limits::default(), Some(&plugins())));
    assert_eq!(
        found,
        [
            "1:1 a pipeline has no key `nam` (did you mean `name`?)",
            "1:1 the pipeline has no name (add `name = \"...\"` at the top)",
            "5:10 there is no plugin `demo-laod` (did you mean `demo-load`? otherwise push it first: \
             `pawl plugin push FILE --name demo-laod`, or have it in the folder of plugins of `pawl dev`)",
            "6:11 `timeout` is not a duration (write a whole number and one of ms, s, m, h, d, for example \
             \"500ms\" or \"2m\")",
            "7:1 a step has no key `retrys` (did you mean `retry`?)",
            "10:8 the name of the step must begin with a letter, not '2' (a name is a letter, then letters, \
             digits, - and _, 64 at most)",
            "11:10 plugin `demo-clean` has no version `9` (it has `0.1.0`)",
            "12:10 step `2nd` needs `laod`, which is no step of this pipeline (did you mean `load`?)",
            "12:26 step `2nd` needs `load` twice (remove one)",
            "13:12 `priority` must be one of `high`, `normal` and `low`, not \"hihg\" (did you mean `high`?)",
            "16:8 there are two steps named `load` (rename one; the first is on line 4)",
            "17:10 plugin `draft` has no active version (activate one: `pawl plugin activate draft@VERSION`)",
            "18:10 step `load` needs itself (remove \"load\" from its needs)",
            "19:26 `max_attempts` must be a whole number from 1 to 1000 (1 means no retry: the first attempt counts)",
            "19:39 `backoff` must be one of `fixed` and `exponential`, not \"linear\"",
            "19:57 `delay` must be a text with a unit (write delay = \"5s\" or \"5ms\")",
            "21:1 the step has no name (add `name = \"...\"`)",
            "22:10 the name of the plugin may have letters, digits, - and _, but not ' ' (write \"name\" or \
             \"name@version\")",
        ]
    );
}

#[test]
fn circles_are_named_along_their_needs() {
    let step = |name: &str, needs: &str| format!("[[step]]\nname = \"{name}\"\nplugin = \"p\"\nneeds = [{needs}]\n");
    let text = [
        "name = \"circles\"\n".to_owned(),
        step("a", "\"b\""),
        step("b", "\"c\""),
        step("c", "\"free\", \"a\""),
        step("free", ""),
        step("x", "\"y\""),
        step("y", "\"x\", \"a\""),
    ];
    assert_eq!(
        problems(read_toml(&text.concat())),
        [
            "5:10 these steps need each other in a circle: a → b → c → a (none of them could ever start: remove \
             one of these needs)",
            "21:10 these steps need each other in a circle: x → y → x (none of them could ever start: remove one of \
             these needs)",
        ]
    );
}

#[test]
fn broken_toml_is_reported_with_all_else_that_can_be_said() {
    let text = "name = temperatures\n\n[[step]]\nname = \"a\"\nplugin = \"p\"\nname = \"b\"\n\n[[step]]\nname = \"c\"\nplugin = \"p\"\nqueue = \"1\"\n";
    let found = problems(read_toml(text));
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].starts_with("1:8 not valid TOML: invalid boolean, expected `true` (write text in quotes"),
        "{found:#?}"
    );
    assert!(found[1].starts_with("6:1 not valid TOML: duplicate key"), "{found:#?}");
    assert!(found[2].starts_with("11:9 the name of the queue must begin with a letter, not '1'"), "{found:#?}");
}

#[test]
fn problems_of_json_have_lines_too() {
    let text = "{\n  \"name\": \"ok\",\n  \"name\": \"twice\",\n  \"step\": [\n    {\"name\": \"ä\\\"\", \"plugin\": \"p\"},\n    \
                {\"name\": \"b\", \"plugin\": [], \"needs\": \"a\", \"config\": [1e400]}\n  ]\n}";
    let found = problems(read_json(text));
    assert_eq!(
        found,
        [
            "6:62 not valid JSON: number out of range (a file is read as JSON if its name ends with .json, a request if its \
             content-type is application/json; else as TOML)"
        ]
    );
    assert_eq!(
        problems(read_json(&text.replace("1e400", "null"))),
        [
            "3:3 `name` is given twice (the first is on line 2)",
            "5:14 the name of the step must begin with a letter, not 'ä' (a name is a letter, then letters, digits, \
             - and _, 64 at most)",
            "6:29 `plugin` must be a string, it is a list",
            "6:42 `needs` must be a list of names of steps, it is a string (write needs = [\"...\"])",
        ]
    );
}

#[test]
fn a_file_of_another_format_is_called_so_once() {
    let json = "{\"name\": \"p\", \"step\": [{\"name\": \"a\", \"plugin\": \"b\"}]}";
    for (text, what) in [
        ("name: p\nstep:\n  - name: a\n", "1:1 not valid TOML: this looks like YAML"),
        ("# mine\n\n---\nname: p\n", "3:1 not valid TOML: this looks like YAML"),
        (json, "1:1 not valid TOML: this looks like JSON"),
    ] {
        let [found] = &problems(read_toml(text))[..] else { panic!("one problem: {text}") };
        assert!(found.starts_with(what) && found.contains("write it in TOML; or in JSON"), "{found}");
    }
    let found = problems(read_toml("name = \"a: b\nstep = 1\n"));
    assert!(!found.is_empty() && !found.iter().any(|problem| problem.contains("looks like")), "{found:?}");
    assert!(problems(read_json("name = \"p\"\n"))[0].contains("if its name ends with .json"));
}

#[test]
fn marks_that_editors_put_at_the_beginning_change_nothing() {
    let (toml, json) = (GOOD.to_owned(), "{\"name\": \"p\", \"step\": [{\"name\": \"a\", \"plugin\": \"b\"}]}");
    assert_eq!(read_toml(&format!("\u{feff}{toml}")).unwrap().digest(), read_toml(&toml).unwrap().digest());
    assert_eq!(read_json(&format!("\u{feff}{json}")).unwrap().digest(), read_json(json).unwrap().digest());
    let [found] = &problems(read_json(&format!("\u{feff}{json}]")))[..] else { panic!("one problem") };
    assert!(found.contains(&format!("1:{} not valid JSON: trailing", json.len() + 2)), "{found}");
    assert_eq!(read_toml(&toml.replace('\n', "\r\n")).unwrap().digest(), read_toml(&toml).unwrap().digest());
}

#[test]
fn numbers_of_a_config_are_kept_exactly_or_refused() {
    let toml = |config: &str| {
        read_toml(&format!("name = \"p\"\n[[step]]\nname = \"a\"\nplugin = \"b\"\nconfig = {{ n = {config} }}\n"))
    };
    let json = |config: &str| {
        let step = format!(r#"{{"name": "a", "plugin": "b", "config": {{"n": {config}}}}}"#);
        read_json(&format!(r#"{{"name": "p", "step": [{step}]}}"#))
    };
    for kept in ["0", "-7", "9223372036854775807", "0.1", "1e300", "2.50", "123456789012345.6"] {
        for read in [toml(kept), json(kept)] {
            let config = read.unwrap().steps[0].config["n"].to_string();
            assert_eq!(config.parse::<f64>().ok(), kept.parse::<f64>().ok(), "{kept}");
        }
    }
    assert_eq!(json("18446744073709551615").unwrap().steps[0].config["n"], json!(u64::MAX));
    for (lost, to) in [
        ("18446744073709551617", "1.8446744073709552e+19"),
        ("0.1234567890123456789", "0.12345678901234568"),
        ("1e-400", "0.0"),
    ] {
        let told = problems(json(lost)).join("\n");
        assert!(told.starts_with("1:") && told.contains(&format!("{lost} would be changed to {to}")), "{told}");
    }
    for (lost, why) in [
        ("9223372036854775808", "9223372036854775808 does not fit into 64 bits"),
        ("0.1234567890123456789", "would be changed to 0.12345678901234568"),
        ("1e400", "is no JSON number"),
    ] {
        let told = problems(toml(lost)).join("\n");
        assert!(told.starts_with("5:16 ") && told.contains(why), "{told}");
    }
}

#[test]
fn nasty_inputs_get_a_problem_and_never_a_panic() {
    let deep_toml = format!("name = \"x\"\nstep = {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_json = format!("{{\"name\": \"x\", \"step\": {}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let long_name = format!("name = \"{}\"\n[[step]]\nname = \"a\"\nplugin = \"p\"", "x".repeat(65));
    for text in [
        "",
        "\n",
        "\u{feff}",
        "name",
        "name = ",
        "name = \"x",
        "name = \"x\"",
        "name = 1\nstep = 2",
        "name = \"x\"\nstep = []",
        "name = \"x\"\nstep = [1, \"a\", {}]",
        "name = \"x\"\n[step]\nname = \"a\"\nplugin = \"p\"",
        "name = \"x\"\n[[step]]",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"\"",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p@\"",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p@1@2\"",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p\"\nneeds = [[]]",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p\"\nretry = 3",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p\"\ntimeout = \"0s\"",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p\"\ntimeout = \"31d\"",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p\"\nconfig = { a = nan }",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p\"\nconfig = 99999999999999999999",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p\"\nretry = { backoff = \"fixed\", max_delay = \"1s\" }",
        "name = \"x\"\n[[step]]\nname = \"a\"\nplugin = \"p\"\nretry = { delay = \"2s\", max_delay = \"1s\" }",
        "name = \"x\"\r\n[[step]]\r\nname = \"\u{202e}\"\r\nplugin = \"\\u0000\"",
        "{\"name\": \"x\"}",
        "[]",
        "null",
        "{\"name\": \"\\ud800\", \"step\": []}",
        "{\"\": {\"\": \"\\\\\\\"\"}}",
        &deep_toml,
        &deep_json,
        &long_name,
    ] {
        for format in [Format::Toml, Format::Json] {
            let found = read(text.as_bytes(), format, &Limits::default(), Some(&plugins())).expect_err(text);
            assert!(!found.is_empty(), "{text}");
            assert!(found.iter().all(|problem| problem.line >= 1 && problem.column >= 1), "{text}");
            let _ = render(&found, "file", text);
        }
    }
    assert_eq!(
        problems(read(b"name = \"\xff\"", Format::Toml, &Limits::default(), None)),
        ["1:9 the file is not UTF-8 text (save it as UTF-8)"]
    );
}

#[test]
fn a_step_without_a_timeout_has_that_of_the_installation() {
    let limits = Limits { attempt_ms: 5_000, ..Limits::default() };
    let pipeline = read(GOOD.as_bytes(), Format::Toml, &limits, None).expect("a pipeline");
    let timeouts: Vec<u64> = pipeline.steps.iter().map(|step| step.timeout_ms).collect();
    assert_eq!(timeouts, [120_000, 5_000, 5_000], "the first one names its own");
}

#[test]
fn too_many_steps_and_too_many_problems_are_counted() {
    let step = |number: usize| format!("[[step]]\nname = \"s{number}\"\nplugin = \"p\"\n");
    let text = "name = \"long\"\n".to_owned() + &(0..11).map(step).collect::<String>();
    let found = problems(read(text.as_bytes(), Format::Toml, &Limits { steps: 10, ..Limits::default() }, None));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("32:1 the pipeline has 11 steps, 10 are allowed"), "{found:?}");

    let text = "name = \"long\"\n".to_owned() + &(0..500).map(|_| "[[step]]\n").collect::<String>();
    let found = problems(read_toml(&text));
    assert_eq!(found.len(), SHOWN_PROBLEMS + 1);
    assert!(found[SHOWN_PROBLEMS].ends_with("and 800 more problems"), "{:?}", found.last());
}

#[test]
fn ten_thousand_steps_in_reverse_order_are_quick() {
    let step =
        |number: usize| format!("[[step]]\nname = \"s{number}\"\nplugin = \"p\"\nneeds = [\"s{}\"]\n", number + 1);
    let text = "name = \"long\"\n".to_owned()
        + &(0..9_999).map(step).collect::<String>()
        + "[[step]]\nname = \"s9999\"\nplugin = \"p\"\n";
    let pipeline = read_toml(&text).unwrap();
    assert_eq!(pipeline.steps[0].name, "s9999");
    assert_eq!(pipeline.steps[9_999].needs, [StepNo(9_998)]);
}

#[test]
fn a_person_sees_the_line_and_the_place() {
    let text = "name = \"temperatures\"\n\n[[step]]\nname = \"merge\"\nplugin = \"p\"\nneeds = [\"laod\", \"load\"]\n\n[[step]]\nname = \"load\"\nplugin = \"p\"\n";
    let shown = render(&read_toml(text).unwrap_err(), "temperatures.toml", text);
    assert_eq!(
        shown,
        concat!(
            "error: step `merge` needs `laod`, which is no step of this pipeline\n",
            " --> temperatures.toml:6:10\n",
            "  |\n",
            "6 | needs = [\"laod\", \"load\"]\n",
            "  |          ^^^^^^\n",
            "  = help: did you mean `load`?\n",
            "\n",
        )
    );
}

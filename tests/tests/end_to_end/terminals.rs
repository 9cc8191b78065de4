//! Text of guests and callers that would like to be more than text, through every command that shows some of it, through what
//! `pawl dev` says, and through its log.

use anyhow::{Context as _, Result, ensure};
use pawl_rehearsal::private::free_port;
use pawl_tests::wait::{self, Look};
use pawl_tests::{Embedded, binary, bounds};
use serde_json::{Value, json};

/// Sets the title, clears the screen, colours (C1 as one character), goes to the line's begin, turns the text that follows.
const HOSTILE: &str = "\u{1b}]0;evil\u{7}\u{1b}[2J\u{9b}31m\u{9d}0;evil\u{9c}over\r\u{7f}\u{8}\u{202e}txt\u{2066}end";

const PIPELINES: [&str; 4] = [
    "name = \"said\"\n[[step]]\nname = \"talk\"\nplugin = \"chatty\"\n",
    "name = \"failed\"\n[[step]]\nname = \"fail\"\nplugin = \"flaky\"\n",
    "name = \"given\"\n[[step]]\nname = \"give\"\nplugin = \"echo\"\n",
    "name = \"asked\"\n[[step]]\nname = \"wait\"\nplugin = \"approve\"\n",
];

/// What a terminal obeys, of what was shown.
fn obeyed(shown: &str) -> Option<char> {
    let turns = |c: char| matches!(u32::from(c), 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
    shown.chars().find(|&c| turns(c) || c.is_control() && c != '\n' && c != '\t')
}

fn until_ended(pawl: &Embedded, run: pawl_domain::id::RunId) -> Result<()> {
    wait::until(bounds::RUN, "the run to end", || {
        let status = pawl.client.run(run)?.summary.status;
        Ok(if status.is_ended() { Look::Done(()) } else { Look::NotYet(status.to_string()) })
    })
}

#[test]
fn no_command_shows_what_a_terminal_would_obey() -> Result<()> {
    let pawl = Embedded::start("terminals", &["chatty", "flaky", "echo", "approve"], PIPELINES[0])?;
    for (number, pipeline) in PIPELINES.iter().enumerate().skip(1) {
        let file = pawl.folder().join(format!("{number}.toml"));
        std::fs::write(&file, pipeline)?;
        let applied = pawl.try_pawl(&["pipeline", "apply", &file.display().to_string()])?;
        ensure!(applied.status.success(), "{applied:?}");
    }
    let said = pawl.submit("said", &json!({"text": HOSTILE, "lines": 1}))?;
    let failed = pawl.submit("failed", &json!({"failures": 1, "how": HOSTILE}))?;
    let given = pawl.submit("given", &json!({"note": HOSTILE}))?;
    let asked = pawl.submit("asked", &json!({"signal": "go", "note": HOSTILE}))?;
    for run in [said, failed, given] {
        until_ended(&pawl, run)?;
    }
    wait::until_true(bounds::RUN, "it to wait", || Ok(pawl.client.run(asked)?.steps[0].status.as_str() == "waiting"))?;
    let payload = json!(HOSTILE).to_string();
    let [said, failed, given, asked] = [said, failed, given, asked].map(|run| run.to_string());
    let (wrong, input) = (pawl.folder().join("wrong.toml"), pawl.folder().join("input.json"));
    std::fs::write(&wrong, format!("name = \"{HOSTILE}\"\n# {HOSTILE}\n[[step]]\nname = \"{HOSTILE}\"\n"))?;
    std::fs::write(&input, format!("{{\"{HOSTILE}\": "))?;
    let (wrong, input) = (wrong.display().to_string(), format!("@{}", input.display()));
    let data = pawl.folder().join("data").display().to_string();
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    let mut shown = String::new();
    let mut words: Vec<Vec<&str>> = vec![
        vec!["run", "signal", &asked, "other", "--payload", &payload],
        vec!["run", "signal", &asked, HOSTILE, "--payload", "1"],
        vec!["run", "inbox", "list", &asked],
        vec!["run", "inbox", "show", &asked, "1"],
        vec!["run", "pause", &asked, "--reason", HOSTILE],
        vec!["run", "fail", &asked, "--message", HOSTILE],
        vec!["run", "submit", HOSTILE, "--input", "1"],
        vec!["run", "submit", "given", "--idempotency-key", HOSTILE],
        vec!["run", "submit", "given", "--input", &input],
        vec!["run", "submit", "given", "--input", &payload, "--wait"],
        vec!["run", "list"],
        vec!["run", "list", "--pipeline", HOSTILE],
        vec!["pipeline", "check", &wrong],
        vec!["pipeline", "apply", &wrong],
        vec!["pipeline", "list"],
        vec!["pipeline", "show", "said"],
        vec!["pipeline", "show", HOSTILE],
        vec!["plugin", "list"],
        vec!["plugin", "activate", HOSTILE],
        vec!["plugin", "push", HOSTILE],
        vec!["queue", "list", "--over", "0s"],
        vec!["queue", "show", HOSTILE, "--over", "0s"],
        vec!["worker", "list"],
        vec!["worker", "drain", HOSTILE],
        vec!["dead-letter", "list"],
        vec!["dead-letter", "show", &failed, "fail"],
        vec!["dead-letter", "retry", "--run", &failed, "--dry-run"],
        vec!["dead-letter", "list", "--pipeline", HOSTILE],
        vec!["token", "create", HOSTILE, "--role", "read"],
        vec!["token", "list"],
        vec!["audit"],
        vec!["audit", "--all"],
        vec!["audit", "--who", HOSTILE, "--what", HOSTILE],
        vec!["incidents", "--since", "1d"],
        vec!["circuits"],
        vec!["circuits", "close", HOSTILE],
        vec!["retention", "status"],
        vec!["check-interrupted"],
        vec!["recover"],
        vec!["recoveries"],
        vec!["admin", "queues"],
        vec!["doctor", "--data", &data],
        vec!["config", "dev"],
        vec!["ready", "--api-url", &nobody],
        vec![HOSTILE],
        vec!["run", HOSTILE],
    ];
    for run in [&said, &failed, &given, &asked] {
        for verb in ["get", "watch", "events", "logs", "explain", "report", "output", "keep"] {
            // One of them has not ended.
            if !(verb == "watch" && run == &asked) {
                words.push(vec!["run", verb, run]);
            }
        }
        for step in ["talk", "fail", "give", "wait", HOSTILE] {
            words.push(vec!["run", "get", run, step]);
            words.push(vec!["run", "replay", run, step]);
        }
    }
    for words in &words {
        for format in ["table", "json", "ids"] {
            let told = pawl.try_pawl(&[words.as_slice(), &["-o", format]].concat())?;
            let (out, why) = (String::from_utf8(told.stdout)?, String::from_utf8(told.stderr)?);
            // The output of a run is its bytes, for whoever reads them; a terminal is shown it as everything else.
            if words.get(1) != Some(&"output") {
                ensure!(obeyed(&out).is_none(), "{words:?} -o {format} prints {:?}: {out:?}", obeyed(&out));
            }
            ensure!(obeyed(&why).is_none(), "{words:?} -o {format} says {:?}: {why:?}", obeyed(&why));
            if format == "json" && told.status.success() {
                let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&out).into_iter().collect();
                values.with_context(|| format!("{words:?}: {out}"))?;
            }
            shown += &out;
            shown += &why;
        }
    }
    let escaped = "\\u{1b}]0;evil\\u{7}\\u{1b}[2J\\u{9b}31m";
    ensure!(shown.matches(escaped).count() > 10, "nothing hostile came by: {shown}");
    let kept: Value = serde_json::from_slice(&pawl.try_pawl(&["run", "output", &given])?.stdout)?;
    ensure!(kept["note"] == HOSTILE, "what a step gave is what it gave: {kept}");
    let log = pawl.text()?;
    ensure!(log.contains("evil") && obeyed(&log).is_none(), "{:?}: {log:?}", obeyed(&log));
    pawl.try_pawl(&["run", "cancel", &asked])?;
    pawl.finish_with(&[])
}

#[test]
fn names_that_a_terminal_would_obey_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("pipeline.json");
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    for hostile in ["\u{1b}[2J", "a\u{9b}", "a\u{202e}", "a\u{7f}", "a\r"] {
        for pipeline in [
            json!({"name": hostile, "step": [{"name": "a", "plugin": "b"}]}),
            json!({"name": "p", "step": [{"name": hostile, "plugin": "b"}]}),
            json!({"name": "p", "step": [{"name": "a", "plugin": hostile}]}),
            json!({"name": "p", "step": [{"name": "a", "plugin": "b", "queue": hostile}]}),
        ] {
            std::fs::write(&file, pipeline.to_string())?;
            let told = binary::pawl()?.args(["pipeline", "check", "--api-url", &nobody]).arg(&file).output()?;
            let why = String::from_utf8(told.stderr)?;
            ensure!(told.status.code() == Some(1) && why.contains("error: the name of the "), "{pipeline}: {why}");
            ensure!(obeyed(&why).is_none(), "{why:?}");
        }

        ensure!(hostile.parse::<pawl_domain::name::Name>().is_err(), "{hostile:?}");
        ensure!(hostile.parse::<pawl_domain::name::Version>().is_err(), "{hostile:?}");
    }
    Ok(())
}

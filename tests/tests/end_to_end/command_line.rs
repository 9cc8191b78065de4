//! The command line as people and programs meet it: what each answer looks like to whom, what is told at once, and how
//! it ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pawl_base::lock;
use pawl_rehearsal::private::{Process, free_port};
use pawl_tests::{Embedded, binary, bounds, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const ECHO: &str = "name = \"echo\"\n[[step]]\nname = \"say\"\nplugin = \"echo\"\n";
const NAP: &str = "name = \"nap\"\n[[step]]\nname = \"nap\"\nplugin = \"waits\"\n";

fn sleeping(pawl: &Embedded) -> Result<String> {
    let run = pawl.submit("nap", &json!([{"do": "sleep", "ms": 3_600_000}]))?;
    wait::until_true(bounds::RUN, "it to sleep", || Ok(pawl.client.run(run)?.steps[0].status.as_str() == "waiting"))?;
    Ok(run.to_string())
}

/// A command without a server, with this on standard input.
fn fed(words: &[&str], input: &[u8]) -> Result<Output> {
    let mut command = binary::pawl()?;
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("it is piped")?.write_all(input)?;
    Ok(child.wait_with_output()?)
}

#[test]
fn every_answer_is_json_for_programs_and_names_for_scripts() -> Result<()> {
    let pawl = Embedded::start("answers", &["echo"], ECHO)?;
    let run = pawl.submit("echo", &json!({"a": 1}))?;
    pawl.succeeds(run, bounds::RUN)?;
    let id = run.to_string();
    let (file, component) = (pawl.folder().join("pipelines/pipeline.toml"), binary::component_file("echo")?);
    let (file, component) = (file.display().to_string(), component.display().to_string());
    let data = pawl.folder().join("data").display().to_string();
    let backup = pawl.folder().join("backup").display().to_string();
    let version = pawl.try_pawl(&["plugin", "list", "-o", "ids"])?;
    let version = String::from_utf8(version.stdout)?.trim().to_owned();
    for words in [
        &["run", "submit", "echo", "--input", "-1"][..],
        &["run", "submit", "echo", "--input", "null", "--wait"],
        &["run", "list"],
        &["run", "get", &id],
        &["run", "get", &id, "say"],
        &["run", "watch", &id],
        &["run", "events", &id],
        &["run", "logs", &id],
        &["run", "explain", &id],
        &["run", "report", &id],
        &["run", "keep", &id],
        &["run", "inbox", "list", &id],
        &["run", "replay", &id, "say"],
        &["pipeline", "list"],
        &["pipeline", "show", "echo"],
        &["pipeline", "check", &file],
        &["pipeline", "apply", &file],
        &["plugin", "list"],
        &["plugin", "push", &component, "--version", "7"],
        &["plugin", "activate", &version],
        &["queue", "list", "--over", "0s"],
        &["queue", "show", "default", "--over", "0s"],
        &["queue", "watch", "--until-empty"],
        &["worker", "list"],
        &["admin", "workers"],
        &["admin", "queues"],
        &["admin", "requeue-stale"],
        &["admin", "requeue-processing"],
        &["dead-letter", "list"],
        &["dead-letter", "retry", "--pipeline", "echo", "--dry-run"],
        &["incidents", "--since", "1d", "--kind", "store.away"],
        &["circuits"],
        &["retention", "status"],
        &["retention", "run", "--dry-run"],
        &["check-interrupted"],
        &["recover"],
        &["recoveries"],
        &["token", "list"],
        &["audit"],
        &["audit", "--what", "applyPipeline", "--who", "ada", "--since", "1h", "--until", "1ms"],
        &["audit", "--all", "--since", "1h"],
        &["ready"],
        &["doctor", "--data", &data],
        &["backup", &backup, "--force", "--data", &data],
        &["config", "dev"],
    ] {
        for format in ["json", "ids", "table"] {
            let told = pawl.try_pawl(&[words, &["-o", format]].concat())?;
            let (said, why) = (String::from_utf8(told.stdout)?, String::from_utf8_lossy(&told.stderr).into_owned());
            assert!(told.status.success(), "{words:?} -o {format}: {why}");
            assert!(!said.contains('\u{1b}'), "no colours where nobody sees them: {words:?}: {said:?}");
            match format {
                "json" => {
                    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&said).into_iter().collect();
                    values.with_context(|| format!("{words:?}: {said}"))?;
                }
                "ids" => assert!(!said.contains('{') && !said.contains("  "), "{words:?}: {said}"),
                _ => {}
            }
        }
    }
    pawl.finish_with(&[])
}

const RUN: &str = "0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e";

#[test]
fn what_a_person_gives_is_read_before_anybody_is_waited_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, bytes: &[u8]| -> Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.display().to_string())
    };
    let (latin, empty) = (file("latin.toml", b"name = \"p\"\n# gr\xfc\xdfe\n")?, file("empty.json", b"")?);
    let named = file("named.toml", b"name = \"p\"\n")?;
    let marked =
        file("marked.json", b"\xef\xbb\xbf{\"name\": \"p\", \"step\": [{\"name\": \"a\", \"plugin\": \"b\"}]}")?;
    // Nobody listens there: whoever asks waits for ten seconds, since somebody may be about to.
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    for (words, code, says) in [
        (&["run", "submit", "p", "--input", "{"][..], 2, "--input holds no JSON"),
        (&["run", "submit", "p", "--input", ""], 2, "--input holds nothing"),
        (&["run", "submit", "p", "--input", &format!("@{empty}")], 2, "empty.json holds nothing"),
        (&["run", "submit", "p", "--input", "@/nowhere.json"], 2, "can't read the input file /nowhere.json"),
        (&["run", "submit", "p", "--idempotency-key", "a\nb"], 2, "printable ASCII"),
        (&["run", "list", "--limit", "0"], 2, "0 is not in 1.."),
        (&["pipeline", "apply", "/nowhere.toml"], 2, "can't read /nowhere.toml"),
        (&["plugin", "push", "/nowhere.wasm"], 2, "can't read the component /nowhere.wasm"),
        (&["pipeline", "check", &latin], 1, "latin.toml:2:5"),
        (&["pipeline", "apply", &latin], 1, "latin.toml:2:5"),
        (&["pipeline", "apply", &named], 1, "the pipeline has no steps"),
        (&["run", "submit", "p", "{\"a\": 1}"], 2, "the input has a flag: pawl run submit p --input '{\"a\": 1}'"),
        (&["run", "submit", &named], 2, "is a file, and a run is of a pipeline by its name: pawl run submit p"),
        (&["run", "submit", "p", "--input", &named], 2, &format!("for what the file holds, write --input @{named}")),
        (
            &["run", "signal", RUN, "go", "1"],
            2,
            "has a flag: pawl run signal 0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e go --payload '1'",
        ),
        (&["submit", "p"], 2, "there is `pawl run submit`"),
    ] {
        let begun = Instant::now();
        let told = binary::pawl()?.args(words).args(["--api-url", &nobody]).output()?;
        let why = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.code() == Some(code) && why.contains(says) && !why.contains("waiting"), "{words:?}: {why}");
        assert!(begun.elapsed() < Duration::from_secs(9), "{words:?}: it has waited");
    }
    let told = binary::pawl()?.args(["pipeline", "check", &marked, "--api-url", &nobody]).output()?;
    let said = String::from_utf8(told.stdout)?;
    assert!(said.starts_with("p is good: 1 step, plugins not looked up"), "{said}{:?}", told.stderr);
    for piped in [&std::fs::read(&marked)?[3..], b"name = \"p\"\n[[step]]\nname = \"a\"\nplugin = \"b\"\n"] {
        let told = fed(&["pipeline", "check", "-", "--api-url", &nobody], piped)?;
        let said = String::from_utf8(told.stdout)?;
        assert!(said.starts_with("p is good: 1 step"), "{said}{}", String::from_utf8_lossy(&told.stderr));
    }
    Ok(())
}

#[test]
fn a_command_that_waits_ends_with_a_signal_and_says_so_by_its_code() -> Result<()> {
    let pawl = Embedded::start("interrupted_commands", &["waits"], NAP)?;
    let id = sleeping(&pawl)?;
    let postgres = format!("postgres://127.0.0.1:{}/none", free_port()?);
    let orders = r#"[{"do": "sleep", "ms": 3600000}]"#;
    for words in [
        &["run", "watch", &id][..],
        &["run", "logs", &id, "--follow"],
        &["run", "submit", "nap", "--input", orders, "--idempotency-key", "k", "--wait"],
        &["queue", "watch"],
        &["migrate", "--database-url", &postgres],
        &["migrate", "--wait", "1h", "--database-url", &postgres],
        &["doctor", "--database-url", &postgres, "--redis-url", "redis://127.0.0.1:1/"],
    ] {
        for signal in [Signal::INT, Signal::TERM] {
            let mut command = binary::pawl()?;
            command.args(words).env("PAWL_API_URL", pawl.client.url(""));
            let mut process = Process::spawn("pawl", command, &pawl.folder().join("waiting.log"))?;
            wait::until_true(bounds::PROCESS, "it to mind signals", || {
                process.ensure_running()?;
                minds(process.pid(), signal)
            })?;
            process.signal(signal)?;
            let status = process.wait(bounds::PROCESS)?.with_context(|| format!("{words:?} goes on"))?;
            assert_eq!(status.code(), Some(130), "{words:?}, {signal:?}");
        }
    }
    let listed = pawl.try_pawl(&["run", "list", "--status", "running", "-o", "ids"])?;
    for run in String::from_utf8(listed.stdout)?.lines() {
        pawl.try_pawl(&["run", "cancel", run])?;
    }
    pawl.finish_with(&[])
}

/// Whether a process has something of its own to do about a signal.
fn minds(pid: u32, signal: Signal) -> Result<bool> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).context("a mask")?;
    Ok(u64::from_str_radix(mask.trim(), 16)? >> (signal.as_raw() - 1) & 1 == 1)
}

/// Answers each request of a connection, and notes its first line. What is HTTP is not closed from here: a client may ask again on a
/// connection that it finds open, and a close would meet that request halfway.
fn answer_all(mut stream: TcpStream, answer: &str, asked: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        head.extend_from_slice(&buffer[..count]);
        // None of them has a body.
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        lock(asked).extend(String::from_utf8_lossy(&head).lines().next().map(str::to_owned));
        head.clear();
        if stream.write_all(answer.as_bytes()).is_err() || !answer.starts_with("HTTP/") {
            return;
        }
    }
}

#[test]
fn an_address_where_something_else_answers_is_called_that() -> Result<()> {
    for (answer, says) in [
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>", "is no answer of Pawl's API"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found", "404 Not Found with something that is no"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "is no answer of Pawl's API"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "did not answer completely"),
        ("", "did not answer completely"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), kept) = (stream, Arc::clone(&kept)) else { return };
                std::thread::spawn(move || answer_all(stream, answer, &kept));
            }
        });
        let begun = Instant::now();
        for words in [&["run", "list"][..], &["run", "submit", "hello"], &["plugin", "list"], &["ready"]] {
            let told = binary::pawl()?.args(words).args(["--api-url", &url]).output()?;
            let why = String::from_utf8_lossy(&told.stderr);
            assert!(told.status.code() == Some(1) && why.contains(says), "{words:?}, {answer:?}: {why}");
            assert!(why.contains("--api-url"), "it says what to look at: {words:?}, {answer:?}: {why}");
            let asked = std::mem::take(&mut *lock(&asked));
            let is_harmless =
                |line: &String| ["/health ", "/ready ", "/v1/runs?limit=1 "].iter().any(|path| line.contains(path));
            assert!(
                !asked.is_empty() && asked.iter().all(is_harmless),
                "a stranger is asked for no more: {words:?}, {asked:?}"
            );
        }
        assert!(begun.elapsed() < bounds::PROCESS, "{answer:?}");
    }
    Ok(())
}

#[test]
fn a_shell_completes_nouns_verbs_and_flags() -> Result<()> {
    let pawl = binary::programs()?.join("pawl");
    let completed = |words: &[&str]| -> Result<String> {
        let (count, last) = (words.len() - 1, words.last().context("words")?);
        let script = format!(
            "source <(\"$0\" completions bash) && COMP_WORDS=({}) COMP_CWORD={count} && \
             _pawl pawl '{last}' '{}' && echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words[count - 1]
        );
        let told = Command::new("bash").args(["-c", &script]).arg(&pawl).output()?;
        anyhow::ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        Ok(String::from_utf8(told.stdout)?.trim().to_owned())
    };
    assert_eq!(completed(&["pawl", "dead"])?, "dead-letter");
    assert_eq!(completed(&["pawl", "run", "expl"])?, "explain");
    assert_eq!(completed(&["pawl", "run", "submit", "--idem"])?, "--idempotency-key");
    Ok(())
}

#[test]
fn a_terminal_is_shown_tables_of_its_own_width() -> Result<()> {
    let pawl = binary::programs()?.join("pawl").display().to_string();
    let widest = |columns: usize| -> Result<usize> {
        let command = format!("stty cols {columns}; '{pawl}' config worker");
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env_remove("COLUMNS")
            .env("PAWL_CACHE_DIR", format!("/{}", "long/".repeat(30)));
        let told = script.stdin(Stdio::null()).output().context("script is part of util-linux")?;
        anyhow::ensure!(told.status.success(), "{told:?}");
        let shown = String::from_utf8(told.stdout)?;
        anyhow::ensure!(shown.contains("SETTING"), "{shown}");
        Ok(shown.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0))
    };
    let (narrow, wide) = (widest(100)?, widest(160)?);
    assert!(narrow <= 100 && (101..=160).contains(&wide), "{narrow}, {wide}");
    Ok(())
}

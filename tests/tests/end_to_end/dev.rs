//! `pawl dev` as an author has it: sources that are edited, commands in the same folder, and other folders beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pawl_api::client::Client;
use pawl_rehearsal::private::{Process, free_port};
use pawl_tests::process::processor_time;
use pawl_tests::runtime::block_on;
use pawl_tests::wait::{self, Look};
use pawl_tests::{binary, bounds};
use rustix::process::Signal;
use serde_json::Value;

const INPUT: &str = r#"{"name": "Ada", "times": 1}"#;

/// A compiler that has nothing compiled yet.
const BUILD: Duration = Duration::from_secs(500);

/// A `pawl dev` in a folder.
struct Dev {
    process: Process,
    folder: PathBuf,
    log: PathBuf,
}

impl Dev {
    fn start(folder: &Path, words: &[&str]) -> Result<Self> {
        // Beside the author's files, as a shell puts it that is told to.
        let log = folder.join("dev.log");
        let mut command = pawl(folder)?;
        command.arg("dev").args(words);
        Ok(Self { process: Process::spawn("pawl dev", command, &log)?, folder: folder.to_owned(), log })
    }

    fn text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    fn said(&mut self, what: &str, times: usize) -> Result<()> {
        wait::until(BUILD, &format!("pawl dev to say {what:?}"), || {
            let text = self.text()?;
            if text.matches(what).count() >= times {
                return Ok(Look::Done(()));
            }
            self.process.ensure_running()?;
            Ok(Look::NotYet(text))
        })
    }

    fn pawl(&self, words: &[&str]) -> Result<Output> {
        run(&self.folder, words)
    }
}

fn pawl(folder: &Path) -> Result<Command> {
    let mut pawl = binary::pawl()?;
    pawl.current_dir(folder).env("PAWL_CACHE_DIR", binary::programs()?.join("tests/component-cache"));
    Ok(pawl)
}

fn run(folder: &Path, words: &[&str]) -> Result<Output> {
    Ok(pawl(folder)?.args(words).output()?)
}

fn succeeds(folder: &Path, words: &[&str]) -> Result<String> {
    binary::succeeded(words, run(folder, words)?)
}

fn address() -> Result<String> {
    Ok(format!("localhost:{}", free_port()?))
}

/// A folder with one pipeline on a component that was built before.
fn echo(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join(name);
    std::fs::create_dir_all(folder.join("plugins"))?;
    std::fs::copy(binary::component_file("echo")?, folder.join("plugins/echo.wasm"))?;
    let pipeline = format!("name = \"{name}\"\n[[step]]\nname = \"e\"\nplugin = \"echo\"\n");
    std::fs::write(folder.join("pipeline.toml"), pipeline)?;
    Ok(folder)
}

#[test]
fn a_first_build_that_fails_is_mended_by_an_edit_and_nothing_else_makes_it_build() -> Result<()> {
    let root = tempfile::tempdir()?;
    let plugins = root.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    for name in ["hello", "again"] {
        succeeds(&plugins, &["plugin", "new", name])?;
    }
    assert!(root.path().join("pawl-sdk/Cargo.toml").is_file(), "they share one SDK");
    std::fs::rename(plugins.join("hello/pipeline.toml"), root.path().join("pipeline.toml"))?;
    let source = plugins.join("hello/src/lib.rs");
    let good = std::fs::read_to_string(&source)?;
    std::fs::write(&source, good.replace("Ok(Output", "Ok(Outptu"))?;

    let mut dev = Dev::start(root.path(), &["--listen", &address()?])?;
    dev.said("ready at http://127.0.0.1:", 1)?;
    let text = dev.text()?;
    assert!(text.contains("plugins/hello was not activated, and there is no version of it yet"), "{text}");
    assert!(text.contains("plugin again@dev-"), "the other one is built: {text}");
    let hint = "= help: it is here, and did not build: when it does, this is tried again";
    assert!(text.contains(hint) && !text.contains("push it first"), "{text}");
    let refused = dev.pawl(&["run", "submit", "hello", "--input", INPUT])?;
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("there is no pipeline `hello`") && why.contains("plugins/hello"), "{why}");

    std::fs::write(&source, &good)?;
    dev.said("pipeline hello (1 step)", 1)?;
    let told = binary::succeeded(&["submit"], dev.pawl(&["run", "submit", "hello", "--input", INPUT, "--wait"])?)?;
    assert!(told.contains("Hello, Ada, for time number 1!"), "{told}");
    let refused = dev.pawl(&["run", "submit", "hello"])?;
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("error: no --input was given, and so it is null: the input does not fit"), "{why}");

    // What the build did read is watched, wherever it is; what it does not read is not, however often it is written.
    let activations = |dev: &Dev| anyhow::Ok(dev.text()?.matches("is active (").count());
    let before = activations(&dev)?;
    for number in 0..20 {
        for file in ["hello/notes.log", "hello/src/lib.rs~", "hello/src/.lib.rs.swp", "hello/src/lib.rs.bak"] {
            std::fs::write(plugins.join(file), number.to_string())?;
        }
    }
    std::fs::write(root.path().join("greeting.txt"), "Good day")?;
    let includes = "    include_str!(\"../../../greeting.txt\").to_owned() + name + &number.to_string()";
    let edited = good.replace("    format!(\"Hello, {name}, for time number {number}!\")", includes);
    assert_ne!(edited, good);
    std::fs::write(&source, edited)?;
    dev.said("plugin hello@dev-", 2)?;
    assert_eq!(activations(&dev)?, before + 1, "the edit alone: {}", dev.text()?);
    std::fs::write(root.path().join("greeting.txt"), "Good night")?;
    // Who submits right after a save means what was saved.
    let told = dev.pawl(&["run", "submit", "hello", "--input", INPUT, "--wait"])?;
    let waited = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(waited.contains("note: what has changed was being built: the submission waited for it"), "{waited}");
    let told = binary::succeeded(&["submit"], told)?;
    assert!(told.contains("Good night"), "{told}");
    dev.said("plugin hello@dev-", 3)?;
    // And who submits after one that does not build is told on what the run is.
    std::fs::write(&source, "not Rust")?;
    let told = dev.pawl(&["run", "submit", "hello", "--input", INPUT])?;
    let told = binary::succeeded(&["submit"], told)?;
    assert!(told.contains("plugins/hello did not build: the run is on the version before"), "{told}");
    // What both have in common was compiled once.
    assert!(root.path().join(".pawl/target").is_dir() && !plugins.join("hello/target/guest").exists());
    assert!(dev.process.terminate(bounds::PROCESS)?.success());
    Ok(())
}

#[test]
fn files_that_share_a_pipeline_s_name_are_refused_and_one_that_is_gone_leaves_its_pipeline() -> Result<()> {
    let root = tempfile::tempdir()?;
    let folder = echo(root.path(), "twice")?;
    let (file, copy) = (folder.join("pipeline.toml"), folder.join("pipelines/copy.toml"));
    std::fs::create_dir(folder.join("pipelines"))?;
    std::fs::copy(&file, &copy)?;
    let mut dev = Dev::start(&folder, &["--listen", &address()?])?;
    dev.said("ready at ", 1)?;
    let text = dev.text()?;
    assert!(text.contains("pipelines/copy.toml and ./pipeline.toml have a pipeline of one name, `twice`"), "{text}");
    assert_eq!(succeeds(&folder, &["pipeline", "-o", "ids", "list"])?, "", "neither was taken");
    for verb in ["check", "apply"] {
        let refused = dev.pawl(&["pipeline", verb, "pipeline.toml", "pipelines"])?;
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{why}");
        assert!(why.contains("pipeline.toml and pipelines/copy.toml have a pipeline of one name, `twice`"), "{why}");
    }

    let other = std::fs::read_to_string(&file)?.replace("twice", "other");
    std::fs::write(&copy, other)?;
    dev.said("pipeline twice (1 step)", 1)?;
    dev.said("pipeline other (1 step)", 1)?;
    let applied = succeeds(&folder, &["pipeline", "apply", "pipeline.toml", "pipelines"])?;
    assert!(applied.contains("twice is unchanged") && applied.contains("other is unchanged"), "{applied}");
    std::fs::remove_file(&copy)?;
    dev.said("pipelines/copy.toml is gone: pipeline `other` stays active as it was applied last", 1)?;
    succeeds(&folder, &["run", "submit", "other", "--input", "1", "--wait"])?;
    assert!(dev.process.terminate(bounds::PROCESS)?.success());
    Ok(())
}

#[test]
fn what_gets_another_name_stays_under_its_old_one_and_that_is_said() -> Result<()> {
    let root = tempfile::tempdir()?;
    let folder = echo(root.path(), "old")?;
    let listen = address()?;
    let mut dev = Dev::start(&folder, &["--listen", &listen])?;
    dev.said("ready at ", 1)?;
    let file = folder.join("pipeline.toml");
    std::fs::write(&file, std::fs::read_to_string(&file)?.replace("old", "new"))?;
    dev.said("./pipeline.toml makes pipeline `new` now: pipeline `old` stays active as it was applied last", 1)?;
    // A component of another plugin in its place.
    std::fs::copy(binary::component_file("clock")?, folder.join("plugins/echo.wasm"))?;
    dev.said("plugins/echo.wasm makes plugin `clock` now: plugin `echo` stays active as it was built last", 1)?;
    for pipeline in ["old", "new"] {
        let told = succeeds(&folder, &["run", "submit", pipeline, "--input", "[1, 2]", "--wait"])?;
        assert!(told.contains("[1,2]") || told.contains("[1, 2]"), "both run on the component of `echo`: {told}");
    }
    assert!(dev.process.terminate(bounds::PROCESS)?.success());

    // Who starts it anew is told, too: it was not there when that was renamed.
    let mut dev = Dev::start(&folder, &["--listen", &listen])?;
    dev.said("active from before, and made by nothing here: pipeline `old`, plugin `echo`", 1)?;
    dev.said("ready at ", 2)?;
    assert!(dev.process.terminate(bounds::PROCESS)?.success());
    Ok(())
}

#[test]
fn commands_find_the_pawl_dev_of_their_folder_and_are_refused_by_that_of_another() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (one, other) = (echo(root.path(), "one")?, echo(root.path(), "other")?);
    let (first, second) = (address()?, address()?);
    let mut dev = Dev::start(&one, &["--listen", &first])?;
    let mut beside = Dev::start(&other, &["--listen", &second])?;
    for dev in [&mut dev, &mut beside] {
        dev.said("ready at ", 1)?;
    }
    for folder in [&one, &other] {
        let name = folder.file_name().context("it has a name")?.to_string_lossy();
        assert_eq!(succeeds(folder, &["pipeline", "-o", "ids", "list"])?.trim(), name);
        assert_eq!(succeeds(&folder.join("plugins"), &["pipeline", "-o", "ids", "list"])?.trim(), name);
    }
    // The first one is gone, and another one has its address: what is meant for the first is refused.
    assert!(dev.process.terminate(bounds::PROCESS)?.success());
    let client = Client::new(&format!("http://{second}"), None)?.of_folder(&one.canonicalize()?);
    let refused = block_on(client.get::<Value>(&["v1", "plugins"], &[])).err().context("it is refused")?.to_string();
    for part in [&*one.canonicalize()?.to_string_lossy(), &*other.canonicalize()?.to_string_lossy(), "--api-url"] {
        assert!(refused.contains(part), "{refused}");
    }
    // Somebody who names the address means it.
    let url = format!("http://{second}");
    assert_eq!(succeeds(&one, &["pipeline", "-o", "ids", "--api-url", &url, "list"])?.trim(), "other");
    assert!(beside.process.terminate(bounds::PROCESS)?.success());
    Ok(())
}

#[test]
fn a_submission_waits_for_a_pawl_dev_that_is_starting() -> Result<()> {
    let root = tempfile::tempdir()?;
    let folder = echo(root.path(), "soon")?;
    let address = address()?;
    let url = format!("http://{address}");
    let mut waiting =
        pawl(&folder)?.args(["run", "submit", "soon", "--input", "1", "--wait", "--api-url", &url]).spawn()?;
    let mut dev = Dev::start(&folder, &["--listen", &address])?;
    assert!(waiting.wait()?.success(), "{}", dev.text()?);
    assert!(dev.process.terminate(bounds::PROCESS)?.success());
    Ok(())
}

#[test]
fn a_component_that_computes_for_ever_is_stopped_by_either_signal() -> Result<()> {
    let root = tempfile::tempdir()?;
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = pawl(root.path())?;
        command.args(["plugin", "test"]).arg(binary::component_file("runaway")?);
        command.args(["--input", r#"{"mode": "loop"}"#]);
        let mut process = Process::spawn("pawl plugin test", command, &root.path().join("log"))?;
        // It computes when it has used the processor for a while.
        wait::until_true(bounds::RUN, "the step to compute", || {
            Ok(processor_time(process.pid())? > Duration::from_secs(3))
        })?;
        let asked = Instant::now();
        process.signal(signal)?;
        let status = process.wait(bounds::PROCESS)?.with_context(|| format!("{signal:?} stops it"))?;
        assert_eq!(status.code(), Some(130), "{signal:?}, after {:?}", asked.elapsed());
        assert!(asked.elapsed() < Duration::from_secs(10), "{signal:?}: it went on for {:?}", asked.elapsed());
    }
    Ok(())
}

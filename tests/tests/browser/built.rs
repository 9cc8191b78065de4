//! `pawl dev` tells on its pages what it builds, and what could not be built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use pawl_rehearsal::private::{Process, free_port};
use pawl_tests::{Chromium, binary, bounds, wait};
use serde_json::json;

/// A compiler that has nothing compiled yet.
const BUILD: Duration = Duration::from_secs(500);

fn pawl(folder: &Path) -> Result<Command> {
    let mut pawl = binary::pawl()?;
    pawl.current_dir(folder).env("PAWL_CACHE_DIR", binary::programs()?.join("tests/component-cache"));
    Ok(pawl)
}

/// A `pawl dev` in a folder, and the address that it prints for its pages.
fn dev(folder: &Path) -> Result<(Process, String)> {
    let log: PathBuf = folder.join("dev.log");
    let mut command = pawl(folder)?;
    command.args(["dev", "--listen", &format!("localhost:{}", free_port()?)]);
    let process = Process::spawn("pawl dev", command, &log)?;
    let way_in = wait::until(bounds::PROCESS, "the address of the pages", || {
        let text = std::fs::read_to_string(&log)?;
        let found = text.lines().find_map(|line| line.strip_prefix("pages at "));
        Ok(found.map_or_else(|| wait::Look::NotYet(text.clone()), |found| wait::Look::Done(found.trim().to_owned())))
    })?;
    Ok((process, way_in))
}

/// As [`Chromium::shows`], for as long as a build takes.
fn shows_in_time(browser: &Chromium, selector: &str, is_there: impl Fn(&str) -> bool) -> Result<()> {
    wait::until(BUILD, &format!("{selector} to say it"), || {
        let seen = browser.text(selector)?;
        Ok(if is_there(&seen) { wait::Look::Done(()) } else { wait::Look::NotYet(seen) })
    })
}

#[test]
#[ignore = "needs a browser: `make test-pages`"]
fn a_build_error_is_told_on_the_open_page_and_goes_when_it_is_mended() -> Result<()> {
    let root = tempfile::tempdir()?;
    let browser = Chromium::start(&root.path().join("browser"))?;
    let empty = root.path().join("empty");
    std::fs::create_dir_all(&empty)?;
    let (mut process, way_in) = dev(&empty)?;
    browser.open(&way_in)?;
    browser.shows("#first", "pawl plugin new hello")?;
    ensure!(process.terminate(bounds::PROCESS)?.success());

    let folder = root.path().join("work");
    std::fs::create_dir_all(&folder)?;
    binary::succeeded(&["plugin", "new"], pawl(&folder)?.args(["plugin", "new", "hello"]).output()?)?;
    let folder = folder.join("hello");
    let source = folder.join("src/lib.rs");
    let good = std::fs::read_to_string(&source)?;
    std::fs::write(&source, good.replace("Ok(Output", "Ok(Outptu"))?;
    let (mut process, way_in) = dev(&folder)?;
    browser.open(&way_in)?;
    browser.value("window.untouched = true")?;
    shows_in_time(&browser, "#builds", |seen| seen.contains("Outptu") && seen.contains("was not built"))?;
    let said = browser.text("#builds pre")?;
    ensure!(said.starts_with("error") && said.contains("src/lib.rs"), "{said}");
    let picture = browser.picture()?;
    crate::furnished::keep("build-error", &picture)?;

    std::fs::write(&source, &good)?;
    shows_in_time(&browser, "#builds", |seen| !seen.contains("Outptu"))?;
    shows_in_time(&browser, "#builds", str::is_empty)?;
    browser.shows("#first", "hello")?;
    ensure!(browser.value("window.untouched")? == json!(true), "the page was not loaded again");
    // It is active: a run of it is a click away.
    browser.click("#first summary")?;
    browser.fill("#first textarea", "{\"name\": \"Ada\", \"times\": 1}")?;
    browser.click("#first form button")?;
    browser.shows("#head .chip", "succeeded")?;
    browser.shows("#output", "Hello, Ada")?;

    std::fs::write(&source, "not Rust")?;
    shows_in_time(&browser, "#builds", |seen| seen.contains("was not built"))?;
    // A page that is open asks on while its process is away; nothing is asked for elsewhere.
    let complaints = browser.complaints("http://127.0.0.1")?;
    ensure!(complaints.iter().all(|line| !line.starts_with("request: ")), "{complaints:#?}");
    ensure!(process.terminate(bounds::PROCESS)?.success());
    Ok(())
}

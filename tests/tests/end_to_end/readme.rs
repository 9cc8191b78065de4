//! The README as a newcomer uses it: its blocks are pasted into a shell whole, one after the other, as they stand. What
//! is spared is the installation, which takes minutes: `cargo install` puts the program there that was built already.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use pawl_rehearsal::private::{PrivatePostgres, PrivateRedis, free_port};
use pawl_tests::binary;

/// Longer than the whole may take on a busy machine.
const LIMIT: &str = "600";

fn readme() -> Result<String> {
    Ok(std::fs::read_to_string(binary::repository().join("README.md"))?)
}

/// What stands between fences under a heading.
fn blocks(text: &str, heading: &str) -> Result<Vec<String>> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).context("the README has the heading")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    Ok(section.split("```").skip(1).step_by(2).map(|block| block.trim_start_matches('\n').to_owned()).collect())
}

/// A program that goes before others of its name.
fn shim(folder: &Path, name: &str, script: &str) -> Result<()> {
    let file = folder.join(name);
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
    Ok(std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))?)
}

fn on_path(program: &str) -> Option<String> {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().ok()?;
    let found = String::from_utf8(found.stdout).ok()?.trim().to_owned();
    (!found.is_empty()).then_some(found)
}

#[test]
fn the_blocks_of_the_readme_can_be_pasted_whole() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let tools = dir.path().join("bin");
    std::fs::create_dir(&tools)?;
    let (cargo, pawl) = (on_path("cargo").context("cargo is there")?, binary::programs()?.join("pawl"));
    let installs = format!(
        "if [ \"$1\" = install ]; then\n  [ \"$*\" = 'install --locked --path host' ] && ln -s '{}' '{}'\nelse\n  \
         exec '{cargo}' \"$@\"\nfi",
        pawl.display(),
        tools.join("pawl").display()
    );
    shim(&tools, "cargo", &installs)?;
    shim(&tools, "rustup", "[ \"$*\" = 'target add wasm32-unknown-unknown' ]")?;

    let postgres = PrivatePostgres::start(&dir.path().join("postgres"))?;
    let redis = PrivateRedis::start(&dir.path().join("redis"))?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let path = format!("{}:{}", tools.display(), std::env::var("PATH")?);
    let mut shell = Command::new("timeout");
    shell.args([LIMIT, "bash", "-e", "-u", "-o", "pipefail", "-s"]).current_dir(dir.path()).env("PATH", path);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAWL_")) {
        shell.env_remove(name);
    }
    // The usual port may be somebody's on this machine.
    shell.env("PAWL_LISTEN", &address).env("PAWL_API_URL", format!("http://{address}"));
    shell.env("PAWL_DATABASE_URL", postgres.url()).env("PAWL_REDIS_URL", redis.url());
    shell.env("PAWL_CACHE_DIR", dir.path().join("cache"));
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let blocks = blocks(&readme()?, "Use it")?;
    assert_eq!(blocks.len(), 3, "to install, to develop, and in production");
    let ending = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n";
    child.stdin.take().context("it is piped")?.write_all(format!("{ending}{}", blocks.concat()).as_bytes())?;
    let ended = child.wait_with_output()?;

    let (said, told) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let all = format!("stdout:\n{said}\nstderr:\n{told}");
    assert!(ended.status.success(), "{}\n{all}", ended.status);
    let outputs = said.matches("Hello, you, for time number 3!").count();
    assert_eq!(outputs, 3, "once from `pawl dev`, once without a server, once in production\n{all}");
    assert!(told.contains("crashes: it went on after each"), "{all}");
    Ok(())
}

#[test]
fn the_two_commands_are_there() -> Result<()> {
    let makefile = std::fs::read_to_string(binary::repository().join("Makefile"))?;
    let commands = blocks(&readme()?, "Two commands")?.concat();
    let targets: Vec<&str> =
        commands.lines().filter_map(|line| line.strip_prefix("make ")?.split(' ').next()).collect();
    assert_eq!(targets, ["demo", "test"]);
    assert!(targets.iter().all(|target| makefile.contains(&format!("\n{target}: "))), "{targets:?}");
    Ok(())
}

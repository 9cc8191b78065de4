//! The runbooks in docs/runbooks, followed: each test makes a trouble for real, then pastes the page into a shell, block by
//! block, as it stands, and holds what is said against what the page shows. It ends with `pawl doctor`, all ok.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, ensure};
use pawl_tests::{Cluster, binary, bounds, wait};
use serde_json::Value;

use page::Block;
use shell::Shell;

mod compose;
mod page;
mod servers;
mod shell;
mod steps;
mod workers;

/// A page that is being followed.
struct Runbook {
    name: &'static str,
    shell: Shell,
    left: VecDeque<Block>,
}

impl Runbook {
    /// Opens the page of that name, with what its reader fills in.
    fn open(name: &'static str, cluster: &Cluster, fills: &[(&str, String)]) -> Result<Self> {
        let fills: Vec<_> = fills.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Ok(Self { name, shell: Shell::open(cluster, &fills)?, left: page::read(name)?.into() })
    }

    /// Puts a file into the folder in which its reader works.
    fn with_file(self, name: &str, text: &str) -> Result<Self> {
        std::fs::write(self.shell.folder().join(name), text)?;
        Ok(self)
    }

    /// Follows it up to the commands that have this in them.
    fn until(&mut self, cluster: &mut Cluster, words: &str) -> Result<()> {
        while !self.left.front().with_context(|| format!("{words:?} is on the page"))?.commands.contains(words) {
            self.next(cluster)?;
        }
        Ok(())
    }

    /// Follows it to its end, by which all is well.
    fn finish(mut self, cluster: &mut Cluster) -> Result<()> {
        while !self.left.is_empty() {
            self.next(cluster)?;
        }
        let found: Value = serde_json::from_str(&cluster.pawl(&["doctor", "--since", "10s", "-o", "json"])?)?;
        let checks = found["checks"].as_array().context("a checklist")?;
        let others: Vec<&Value> = checks.iter().filter(|check| check["status"] != "ok").collect();
        ensure!(checks.len() > 10 && others.is_empty(), "not ok after {}: {others:#?}", self.name);
        self.shell.close(cluster)
    }

    fn next(&mut self, cluster: &mut Cluster) -> Result<()> {
        let Some(block) = self.left.pop_front() else { return Ok(()) };
        let (said, code) = self.shell.execute(cluster, &block.commands)?;
        let Block { commands, exit_code, .. } = &block;
        ensure!(code == *exit_code, "{}: exit code {code} of\n{commands}\nwhich said:\n{said}", self.name);
        let missed = block.misses(&said);
        ensure!(
            missed.is_none(),
            "{}: no `{}` in what\n{commands}\nsaid:\n{said}",
            self.name,
            missed.unwrap_or_default()
        );
        Ok(())
    }
}

/// Waits until a worker has said so.
fn logged(cluster: &Cluster, worker: &str, words: &str) -> Result<()> {
    let log = cluster.log(worker);
    wait::until_true(bounds::RECOVERY, &format!("{worker} to log {words:?}"), || {
        Ok(std::fs::read_to_string(&log).unwrap_or_default().contains(words))
    })
}

/// Waits until nobody has moved some run for as long as a page asks for.
fn until_interrupted(cluster: &Cluster) -> Result<()> {
    wait::until_true(bounds::RECOVERY, "a run to be interrupted", || {
        Ok(cluster.try_pawl(&["check-interrupted", "--threshold", "10s"])?.status.code() == Some(1))
    })
}

#[test]
fn every_runbook_is_followed_by_a_test() -> Result<()> {
    let here = binary::repository().join("tests/tests/end_to_end/runbooks");
    let mut tests = String::new();
    for entry in std::fs::read_dir(here)? {
        tests += &std::fs::read_to_string(entry?.path())?;
    }
    let mut pages = 0;
    for entry in std::fs::read_dir(binary::repository().join("docs/runbooks"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name")?;
        if name != "README" {
            pages += 1;
            ensure!(tests.contains(&format!("Runbook::open(\"{name}\"")), "no test follows {name}.md");
        }
    }
    ensure!(pages >= 11, "{pages} runbooks");
    Ok(())
}

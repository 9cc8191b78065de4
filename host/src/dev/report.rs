//! What `pawl dev` says of its builds, and what it remembers for that: what there is a version of, and what failed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pawl_api::Building;

/// What there is, and what is missing.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Sources, components and pipeline files of which there is a version.
    there: BTreeSet<PathBuf>,
    failed: BTreeSet<PathBuf>,
    /// Names of pipelines by their files.
    pipelines: BTreeMap<PathBuf, String>,
}

/// What a file or folder is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Plugin,
    Pipeline,
}

impl Report {
    /// A version of it is there.
    pub(super) fn succeeded(&mut self, what: &Path) {
        self.failed.remove(what);
        self.there.insert(what.to_owned());
    }

    /// The pipeline of a file is there.
    pub(super) fn applied(&mut self, file: &Path, name: String) {
        self.succeeded(file);
        self.pipelines.insert(file.to_owned(), name);
    }

    /// There was a version of it before this process.
    pub(super) fn was_there(&mut self, what: &Path) {
        self.there.insert(what.to_owned());
    }

    /// It was not made; what to say of that, after the reason.
    pub(super) fn failed(&mut self, what: &Path, kind: What) -> String {
        self.failed.insert(what.to_owned());
        let name = display(what);
        match (kind, self.there.contains(what)) {
            (What::Plugin, true) => format!("{name} was not activated: the version before stays active"),
            (What::Plugin, false) => format!("{name} was not activated, and there is no version of it yet"),
            (What::Pipeline, true) => format!("{name} was not applied: the version before stays the current one"),
            (What::Pipeline, false) => format!("{name} was not applied, and there is no version of it yet"),
        }
    }

    /// It is gone, and misses nobody.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Path) -> bool) {
        self.failed.retain(|what| !is_gone(what));
    }

    /// Whether the last attempt at it failed.
    pub(super) fn has_failed(&self, what: &Path) -> bool {
        self.failed.contains(what)
    }

    /// For those who miss a pipeline.
    pub(super) fn building(&self) -> Building {
        Building::Done { failed: self.failed.iter().map(|what| display(what)).collect() }
    }

    /// What to do now that all is built that can be. `address` is said if commands would not find it.
    pub(super) fn ready(&self, url: &str, address: Option<&str>) -> String {
        let pipeline = self.pipelines.values().next().map_or("PIPELINE", String::as_str);
        let address = address.map(|url| format!(" --api-url {url}")).unwrap_or_default();
        let without = match self.failed.len() {
            0 => String::new(),
            _ => format!(", without {}", self.failed.iter().map(|what| display(what)).collect::<Vec<_>>().join(", ")),
        };
        format!("ready at {url}{without}: pawl run submit {pipeline} --input JSON --wait{address}")
    }
}

fn display(what: &Path) -> String {
    if what == Path::new(".") { "the plugin in this folder".to_owned() } else { what.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_before_is_named_only_where_there_was_one() {
        let (mut report, plugin) = (Report::default(), Path::new("plugins/hello"));
        let said = report.failed(plugin, What::Plugin);
        assert!(said.ends_with("there is no version of it yet"), "{said}");
        report.succeeded(plugin);
        assert_eq!(report.building(), Building::Done { failed: Vec::new() });
        let said = report.failed(plugin, What::Plugin);
        assert!(said.ends_with("the version before stays active"), "{said}");
        assert_eq!(report.building(), Building::Done { failed: vec!["plugins/hello".to_owned()] });
    }

    #[test]
    fn what_is_ready_says_where_and_how_to_go_on() {
        let mut report = Report::default();
        report.applied(Path::new("./pipeline.toml"), "hello".to_owned());
        let url = "http://127.0.0.1:1";
        assert_eq!(report.ready(url, None), format!("ready at {url}: pawl run submit hello --input JSON --wait"));
        report.failed(Path::new("."), What::Plugin);
        let said = report.ready(url, Some(url));
        assert!(said.contains("without the plugin in this folder: ") && said.ends_with("--api-url http://127.0.0.1:1"));
    }
}

//! What `pawl dev` says of its builds, and what it remembers for that: what there is a version of, and what failed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pawl_api::types::FailedBuild;
use pawl_api::{Building, Unbuilt};

use super::made::Made;

/// Bytes of a reason.
const WHY: usize = 8 << 10;

/// What there is, and what is missing.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Sources, components and pipeline files of which there is a version.
    there: BTreeSet<PathBuf>,
    /// What failed, each with the reason.
    failed: BTreeMap<PathBuf, String>,
    made: Made,
}

/// What a file or folder is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Plugin,
    Pipeline,
}

impl What {
    /// What people call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Pipeline => "pipeline",
        }
    }
}

impl Report {
    /// A version of it is there, of that name.
    pub(super) fn succeeded(&mut self, of: &Path, what: What, name: &str) {
        self.failed.remove(of);
        self.there.insert(of.to_owned());
        self.made.of(of, what, name);
    }

    /// There was a version of it before this process.
    pub(super) fn was_there(&mut self, what: &Path) {
        self.there.insert(what.to_owned());
    }

    /// It was not made; what to say of that, after the reason.
    pub(super) fn failed(&mut self, what: &Path, kind: What, why: &str) -> String {
        self.failed.insert(what.to_owned(), why[..why.floor_char_boundary(WHY)].to_owned());
        let name = display(what);
        match (kind, self.there.contains(what)) {
            (What::Plugin, true) => format!("{name} was not activated: the version before stays active"),
            (What::Plugin, false) => format!("{name} was not activated, and there is no version of it yet"),
            (What::Pipeline, true) => format!("{name} was not applied: the version before stays the current one"),
            (What::Pipeline, false) => format!("{name} was not applied, and there is no version of it yet"),
        }
    }

    /// What is gone is missed by nobody.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Path) -> bool) {
        self.failed.retain(|what, _| !is_gone(what));
        self.there.retain(|what| !is_gone(what));
        self.made.forget(is_gone);
    }

    /// What to say of names that nothing is made into any more, and that stay; once.
    pub(super) fn left_behind(&mut self) -> Vec<String> {
        self.made.left_behind()
    }

    /// What to say of names that were `known` before this process and are made by nothing here. Those that are `behind` are:
    /// they failed.
    pub(super) fn made_by_nothing(&self, known: &Unbuilt, behind: &Unbuilt) -> Option<String> {
        self.made.made_by_nothing(known, behind)
    }

    /// Whether the last attempt at it failed.
    pub(super) fn has_failed(&self, what: &Path) -> bool {
        self.failed.contains_key(what)
    }

    /// For those who miss a pipeline.
    pub(super) fn building(&self, behind: Unbuilt) -> Building {
        Building::Done { failed: self.failures(), behind }
    }

    /// What failed, as people know it.
    pub(super) fn failures(&self) -> Vec<FailedBuild> {
        let told = |(what, why): (&PathBuf, &String)| FailedBuild { what: display(what), why: why.clone() };
        self.failed.iter().map(told).collect()
    }

    /// Sources, components and pipeline files of which the last attempt failed.
    pub(super) fn failed_paths(&self) -> impl Iterator<Item = &Path> {
        self.failed.keys().map(PathBuf::as_path)
    }

    /// What to do now that all is built that can be. `address` is said if commands would not find it.
    pub(super) fn ready(&self, url: &str, address: Option<&str>) -> String {
        let pipeline = self.made.a_pipeline().unwrap_or("PIPELINE");
        let address = address.map(|url| format!(" --api-url {url}")).unwrap_or_default();
        let without = match self.failed.len() {
            0 => String::new(),
            _ => format!(", without {}", self.failed.keys().map(|what| display(what)).collect::<Vec<_>>().join(", ")),
        };
        format!("ready at {url}{without}: pawl run submit {pipeline} --input JSON --wait{address}")
    }
}

/// As people know it.
pub(super) fn display(what: &Path) -> String {
    if what == Path::new(".") { "the plugin in this folder".to_owned() } else { what.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_before_is_named_only_where_there_was_one() {
        let (mut report, plugin) = (Report::default(), Path::new("plugins/hello"));
        let said = report.failed(plugin, What::Plugin, "error: no");
        assert!(said.ends_with("there is no version of it yet"), "{said}");
        report.succeeded(plugin, What::Plugin, "hello");
        let building = |report: &Report| report.building(Unbuilt::default());
        assert_eq!(building(&report), Building::Done { failed: Vec::new(), behind: Unbuilt::default() });
        let said = report.failed(plugin, What::Plugin, "error: no");
        assert!(said.ends_with("the version before stays active"), "{said}");
        let failed = vec![FailedBuild { what: "plugins/hello".to_owned(), why: "error: no".to_owned() }];
        assert_eq!(building(&report), Building::Done { failed, behind: Unbuilt::default() });
    }

    #[test]
    fn what_is_ready_says_where_and_how_to_go_on() {
        let mut report = Report::default();
        report.succeeded(Path::new("./pipeline.toml"), What::Pipeline, "hello");
        let url = "http://127.0.0.1:1";
        assert_eq!(report.ready(url, None), format!("ready at {url}: pawl run submit hello --input JSON --wait"));
        report.failed(Path::new("."), What::Plugin, "");
        let said = report.ready(url, Some(url));
        assert!(said.contains("without the plugin in this folder: ") && said.ends_with("--api-url http://127.0.0.1:1"));
    }
}

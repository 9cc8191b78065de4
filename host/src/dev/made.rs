//! What is made of each file and folder that `pawl dev` looks after, by name. A plugin or a pipeline outlives what it was
//! made of: when its file goes, or gives another name, it stays active as it was, and its author is told so, since nothing
//! else would: runs of the old name go on succeeding, on what nobody edits any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pawl_api::Unbuilt;

use super::super::here::DATA;
use super::report::{What, display};

/// Names by what they were made of.
#[derive(Debug, Default)]
pub(super) struct Made {
    made: BTreeMap<PathBuf, Named>,
    /// What files and folders were made into that are gone or give another name now.
    left: Vec<(PathBuf, Named)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    what: What,
    name: String,
}

impl Made {
    /// Something was made of it.
    pub(super) fn of(&mut self, path: &Path, what: What, name: &str) {
        let now = Named { what, name: name.to_owned() };
        match self.made.insert(path.to_owned(), now.clone()) {
            Some(before) if before != now => self.left.push((path.to_owned(), before)),
            _ => {}
        }
    }

    /// These are gone.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Path) -> bool) {
        let (gone, there) = std::mem::take(&mut self.made).into_iter().partition(|(path, _)| is_gone(path));
        self.made = there;
        self.left.extend::<BTreeMap<_, _>>(gone);
    }

    /// What to say of names that stay active and that nothing is made into any more; once. What was only moved, or has changed
    /// names with another one, is still made.
    pub(super) fn left_behind(&mut self) -> Vec<String> {
        let left = std::mem::take(&mut self.left);
        let left = left.iter().filter(|(_, old)| !self.made.values().any(|now| now == old));
        let said = left.map(|(path, old)| {
            let happened = match self.made.get(path) {
                Some(now) => format!("{} makes {} `{}` now", display(path), now.what.word(), now.name),
                None => format!("{} is gone", display(path)),
            };
            format!("{happened}: {}", old.stays())
        });
        said.collect()
    }

    /// What to say of names that are active and that nothing here is made into, in `known`, but for those that are `behind`.
    pub(super) fn made_by_nothing(&self, known: &Unbuilt, behind: &Unbuilt) -> Option<String> {
        let of_kind = |what: What, known: &BTreeSet<String>, behind| {
            let is_made = |name: &String| self.made.values().any(|now| now.what == what && now.name == *name);
            let names = known.difference(behind).filter(|name| !is_made(name));
            names.map(|name| format!("{} `{name}`", what.word())).collect::<Vec<_>>()
        };
        let pipelines = of_kind(What::Pipeline, &known.pipelines, &behind.pipelines);
        let plugins = of_kind(What::Plugin, &known.plugins, &behind.plugins);
        let names = [pipelines, plugins].concat();
        (!names.is_empty()).then(|| format!("active from before, and made by nothing here: {}", names.join(", ")))
    }

    /// The first pipeline.
    pub(super) fn a_pipeline(&self) -> Option<&str> {
        let mut pipelines = self.made.values().filter(|named| named.what == What::Pipeline);
        pipelines.next().map(|named| named.name.as_str())
    }
}

impl Named {
    fn stays(&self) -> String {
        let name = &self.name;
        match self.what {
            What::Plugin => {
                format!("plugin `{name}` stays active as it was built last, for each pipeline that names it")
            }
            What::Pipeline => format!(
                "pipeline `{name}` stays active as it was applied last, and its runs go on. Nothing removes a pipeline but \
                 its data, {DATA}/, with all runs: submit it no more (`pawl pipeline pause {name}` lets nothing of it start)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "pipelines/old.toml";
    const NEW: &str = "pipelines/new.toml";

    #[test]
    fn a_pipeline_whose_file_is_gone_stays_and_that_is_said_unless_another_file_has_it() {
        let mut made = Made::default();
        let (old, new) = (Path::new(OLD), Path::new(NEW));
        made.of(old, What::Pipeline, "hello");
        made.forget(|_| false);
        assert_eq!(made.left_behind(), Vec::<String>::new());
        made.of(new, What::Pipeline, "hello");
        made.forget(|file| file == old);
        assert_eq!(made.left_behind(), Vec::<String>::new(), "it was only moved");
        made.forget(|file| file == new);
        let said = made.left_behind();
        assert!(said.len() == 1 && said[0].starts_with("pipelines/new.toml is gone: pipeline `hello` stays active"));
        assert_eq!(made.left_behind(), Vec::<String>::new(), "it is said once");
    }

    #[test]
    fn what_was_renamed_in_its_file_stays_under_its_old_name_and_that_is_said() {
        let mut made = Made::default();
        made.of(Path::new(OLD), What::Pipeline, "hello");
        made.of(Path::new("plugins/a"), What::Plugin, "hello");
        made.of(Path::new(OLD), What::Pipeline, "hallo");
        made.of(Path::new("plugins/a"), What::Plugin, "hallo");
        let said = made.left_behind();
        assert!(
            said[0].starts_with("pipelines/old.toml makes pipeline `hallo` now: pipeline `hello` stays"),
            "{said:?}"
        );
        assert!(said[1].starts_with("plugins/a makes plugin `hallo` now: plugin `hello` stays"), "{said:?}");

        // Two files that swap their names leave none.
        made.of(Path::new(NEW), What::Pipeline, "welcome");
        made.of(Path::new(NEW), What::Pipeline, "hallo");
        made.of(Path::new(OLD), What::Pipeline, "welcome");
        assert_eq!(made.left_behind(), Vec::<String>::new());
    }

    #[test]
    fn what_is_active_and_made_by_nothing_is_told_at_the_start() {
        let mut made = Made::default();
        made.of(Path::new(NEW), What::Pipeline, "new");
        let names = |plugins: &[&str], pipelines: &[&str]| {
            let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
            Unbuilt { plugins: set(plugins), pipelines: set(pipelines) }
        };
        let known = names(&["echo", "broken"], &["new", "old"]);
        let said = made.made_by_nothing(&known, &names(&["broken"], &[]));
        assert_eq!(said.unwrap(), "active from before, and made by nothing here: pipeline `old`, plugin `echo`");
        assert_eq!(made.made_by_nothing(&names(&["broken"], &["new"]), &names(&["broken"], &[])), None);
    }
}

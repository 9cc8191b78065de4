//! Makes the component of a [`Script`] with its language's compiler.
//!
//! The world and the SDK come from this program, so that a plugin is always built against the host that
//! builds it, and nothing has to be installed for them.

use std::path::PathBuf;

use anyhow::Context as _;
use pawl_base::tell;

use super::heard::{self, NotMade};
use super::script::{Language, Script};
use super::{Purpose, javascript, python, replace};

/// The world of steps.
const WIT: &str = include_str!("../../carried/step.wit");

impl Language {
    /// What makes the components.
    pub(super) fn compiler(self) -> &'static str {
        match self {
            Self::Python => python::COMPILER,
            Self::JavaScript => javascript::COMPILER,
        }
    }
}

impl Script {
    /// Makes the component; where it is.
    pub(super) fn componentize(&self, purpose: Purpose) -> anyhow::Result<PathBuf> {
        let work = self.dir.join("target/guest");
        replace(&work.join("wit/step.wit"), WIT.as_bytes())
            .with_context(|| format!("can't write {}", work.display()))?;
        let out = work.join("made.wasm");
        // Left from before, it would hide that this build made none.
        let _ = std::fs::remove_file(&out);
        let mut compiler = match self.language {
            Language::Python => python::command(self, &work, &out)?,
            Language::JavaScript => javascript::command(self, &work, &out)?,
        };
        let name = self.language.compiler();
        // What it has to say to people goes to standard error, where all is that is no data.
        let (output, mut said) = heard::run(&mut compiler, purpose == Purpose::Development)
            .with_context(|| format!("can't start {name}"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if !printed.is_empty() {
            tell!("{}", printed.trim_end());
            said.push_str(&printed);
        }
        if !output.status.success() || !out.exists() {
            let what = format!("`{}` can't be made a component; {name}'s messages are above", self.name);
            return Err(NotMade::new(what, &said).into());
        }
        Ok(out)
    }
}

//! A step on the command line: a command that is about a run takes it after the run. `--step` says the same, as some of them
//! wanted it before; it is not shown. Where many runs are meant, `--step` is one of the filters, and is shown.

use clap::Args;

use crate::exit::usage;

/// The way to name a step that is not shown. The command has another argument called `step`.
#[derive(Debug, Args)]
pub(crate) struct Flagged {
    /// What stands after the run
    #[arg(long = "step", value_name = "STEP", conflicts_with = "step", hide = true)]
    flagged: Option<String>,
}

impl Flagged {
    /// The step, whichever way it was named.
    pub(crate) fn or(self, step: Option<String>) -> Option<String> {
        step.or(self.flagged)
    }

    /// The same, borrowed.
    pub(crate) fn either<'a>(&'a self, step: &'a Option<String>) -> Option<&'a str> {
        step.as_ref().or(self.flagged.as_ref()).map(String::as_str)
    }

    /// The same where the command line wants one.
    pub(crate) fn must(self, step: Option<String>) -> anyhow::Result<String> {
        self.or(step).ok_or_else(|| usage("name the step, after the run"))
    }
}

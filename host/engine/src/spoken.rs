//! A line of a step's log on its way to the log of the process, where whoever starts a worker or `pawl dev` reads along. It is
//! ready to be printed; the [recorder](crate::recorder) says when: of an attempt whose claim is not confirmed, perhaps never.

use pawl_domain::id::StepId;
use pawl_domain::log::Level;

/// What a line takes beside its text and the step's name, about, bytes.
const LINE_BYTES: usize = 64;

/// The line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// Whose it is.
    pub step: StepId,
    /// The step's name in the pipeline.
    pub step_name: String,
    /// How much it matters.
    pub level: Level,
    /// Message and fields on one line, without the values of secrets.
    pub text: String,
}

impl Spoken {
    /// Prints it.
    pub fn print(&self) {
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "guest",
                    tracing::Level::$level,
                    run.id = %self.step.run,
                    step.no = %self.step.step,
                    step.name = %self.step_name,
                    "{}",
                    self.text
                )
            };
        }
        match self.level {
            Level::Trace => event!(TRACE),
            Level::Debug => event!(DEBUG),
            Level::Info => event!(INFO),
            Level::Warn => event!(WARN),
            Level::Error => event!(ERROR),
        }
    }

    /// What it takes in memory, about, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        LINE_BYTES + self.step_name.len() + self.text.len()
    }
}

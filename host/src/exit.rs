//! How a command ends the process: one place knows the exit codes.
//!
//! 0 ok, 1 failed, 2 usage, 3 not allowed, 4 not found, 130 interrupted.

use std::borrow::Cow;
use std::io;

use pawl_api::client;
use pawl_base::tell;
use pawl_base::terminal::harmless;
use pawl_queue as queue;
use pawl_store as store;

use super::settings;

/// Everything went well.
pub(super) const OK: u8 = 0;
/// The command, or the run that it watched, failed.
pub(super) const FAILED: u8 = 1;
/// The command line or a setting is wrong.
pub(super) const USAGE: u8 = 2;
/// The API wants another token.
pub(super) const AUTH: u8 = 3;
/// Nothing of that name or id.
pub(super) const NOT_FOUND: u8 = 4;
/// Ctrl-C or SIGTERM.
pub(super) const INTERRUPTED: u8 = 130;

/// An end that is not just a failure.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// A flag, a setting or a file given on the command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Nothing is called so.
    #[error("{0}")]
    NotFound(String),
    /// Failed, and everything was said.
    #[error("failed")]
    Said,
}

/// An error that names a wrong flag, setting or file.
pub(super) fn usage(message: impl Into<String>) -> anyhow::Error {
    End::Usage(message.into()).into()
}

/// An error that names what there is not.
pub(super) fn not_found(message: impl Into<String>) -> anyhow::Error {
    End::NotFound(message.into()).into()
}

/// Tells what is wrong with a command line, or the help that was asked for, and decides the exit code. What a terminal would
/// obey is in it only if it was given as an argument.
pub(super) fn not_understood(error: &clap::Error) -> u8 {
    let told = error.render().to_string();
    match harmless(&told) {
        Cow::Borrowed(_) => error.exit(),
        Cow::Owned(_) => tell!("{}", told.trim_end()),
    }
    u8::try_from(error.exit_code()).unwrap_or(USAGE)
}

/// Tells the user, on standard error, and decides the exit code.
pub(super) fn report(error: &anyhow::Error) -> u8 {
    if error.chain().any(is_broken_pipe) {
        // `pawl run list | head`: the reader has what it wanted.
        return OK;
    }
    if !matches!(error.downcast_ref(), Some(End::Said)) {
        tell!("error: {error:#}");
        if let Some(help) = error.chain().find_map(|cause| cause.downcast_ref::<client::Error>()?.help()) {
            tell!("help: {help}");
        }
    }
    code(error)
}

fn code(error: &anyhow::Error) -> u8 {
    // `anyhow` finds what was given as context, the chain finds sources.
    match error.downcast_ref() {
        Some(End::Usage(_)) => return USAGE,
        Some(End::NotFound(_)) => return NOT_FOUND,
        Some(End::Said) | None => {}
    }
    error.chain().find_map(code_of_cause).unwrap_or(FAILED)
}

fn code_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<client::Error>() {
        return Some(code_of_answer(error));
    }
    if cause.is::<settings::Error>() {
        return Some(USAGE);
    }
    if let Some(queue::Error::Config(_)) = cause.downcast_ref() {
        return Some(USAGE);
    }
    match cause.downcast_ref::<store::Error>() {
        Some(store::Error::NotFound(_)) => Some(NOT_FOUND),
        Some(store::Error::Config(_) | store::Error::Denied(..) | store::Error::Unsafe(..)) => Some(USAGE),
        _ => None,
    }
}

fn code_of_answer(error: &client::Error) -> u8 {
    match error {
        client::Error::Problem(problem) => match problem.status {
            401 | 403 => AUTH,
            404 => NOT_FOUND,
            _ => FAILED,
        },
        client::Error::Url(_) => USAGE,
        _ => FAILED,
    }
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use pawl_api::types::Problem;

    fn answered(status: u16) -> anyhow::Error {
        let problem =
            Problem { kind: String::new(), title: String::new(), status, detail: String::new(), problems: Vec::new() };
        client::Error::Problem(Box::new(problem)).into()
    }

    #[test]
    fn exit_codes_survive_context() {
        for (error, expected) in [
            (usage("no"), USAGE),
            (not_found("no"), NOT_FOUND),
            (answered(401), AUTH),
            (answered(404), NOT_FOUND),
            (answered(409), FAILED),
            (anyhow::anyhow!("other"), FAILED),
        ] {
            let error = Err::<(), _>(error).context("while doing something").expect_err("it is one");
            assert_eq!(code(&error), expected, "{error:#}");
        }
    }

    #[test]
    fn a_cause_is_explained_as_wrong_usage() {
        let missing = std::fs::read("/no/such/file").context(End::Usage("can't read the file".into()));
        assert_eq!(code(&missing.expect_err("it is missing")), USAGE);
    }
}

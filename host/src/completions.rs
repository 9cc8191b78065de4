//! `pawl completions`: scripts by which shells complete commands, verbs and flags.

use clap::ValueEnum;
use clap_complete::{Generator, shells};

use super::output::print_exactly;

/// Shells with a script.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Shell {
    // No doc comments: the names say it.
    Bash,
    Zsh,
    Fish,
}

/// Prints the script for `command`, which has all its flags.
pub(super) fn print_for(shell: Shell, command: clap::Command) -> anyhow::Result<()> {
    let script = match shell {
        Shell::Bash => script(shells::Bash, command),
        Shell::Zsh => script(shells::Zsh, command),
        Shell::Fish => script(shells::Fish, command),
    };
    Ok(print_exactly(&script)?)
}

fn script(shell: impl Generator, mut command: clap::Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "pawl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_completes_nouns_and_verbs() {
        let command = crate::command_line;
        for script in [script(shells::Bash, command()), script(shells::Zsh, command()), script(shells::Fish, command())]
        {
            for word in ["pipeline", "explain", "rollback", "--idempotency-key"] {
                assert!(script.contains(word.trim_start_matches('-')), "{word} is missing");
            }
        }
    }
}

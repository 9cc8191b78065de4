//! What holds for all commands alike, whichever noun and verb: given to the command line as a whole, so that no command
//! forgets it.

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Characters of a line of help where the terminal is wider.
const WIDEST: usize = 100;

/// The two words for one thing that is looked at. Each noun has one of them; whoever knows it of another noun may say that.
const LOOK: [&str; 2] = ["show", "get"];

/// Gives them to a command and all below it.
pub(super) fn everywhere(command: Command) -> Command {
    below(command).max_term_width(WIDEST)
}

/// Whoever leaves the noun out of a command, or takes another one, is told which of them have that verb.
pub(super) fn with_nouns(mut error: clap::Error, all: &Command) -> clap::Error {
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(verb))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    {
        let nouns = all.get_subcommands().filter(|noun| noun.find_subcommand(verb).is_some());
        let tips: Vec<StyledStr> =
            nouns.map(|noun| format!("there is `pawl {} {verb}`", noun.get_name()).into()).collect();
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
    }
    error
}

fn below(mut command: Command) -> Command {
    // A value that begins with a minus is one: JSON may be a negative number, and a count that is one is told so.
    command = command.mut_args(|arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    });
    let [show, get] = LOOK.map(|word| command.find_subcommand(word).is_some());
    command = match (show, get) {
        (true, false) => command.mut_subcommand(LOOK[0], |verb| verb.alias(LOOK[1])),
        (false, true) => command.mut_subcommand(LOOK[1], |verb| verb.alias(LOOK[0])),
        _ => command,
    };
    command.mut_subcommands(below)
}

#[cfg(test)]
mod tests {
    fn understood(words: &[&str]) -> Result<clap::ArgMatches, String> {
        crate::command_line().try_get_matches_from(words).map_err(|error| error.to_string())
    }

    /// The files of a folder and of those in it, with this ending.
    fn files(folder: &std::path::Path, ending: &str, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                if !entry.ends_with("target") {
                    files(&entry, ending, found);
                }
            } else if entry.extension().is_some_and(|extension| extension == ending) {
                found.push(entry);
            }
        }
    }

    /// What is wrong with a command, as it is named to people: placeholders are in capitals or braces.
    fn wrong(named: &str, all: &clap::Command) -> Option<String> {
        let mut command = all;
        let words = named.split_whitespace().skip(1).map(|word| word.trim_end_matches([',', '.', ';', '\\']));
        let mut may_be_verb = true;
        for word in words {
            if let Some(flag) = word.strip_prefix("--") {
                let flag = flag.split(['=', '|']).next().unwrap_or_default();
                let is_known = |arg: &clap::Arg| {
                    arg.get_long() == Some(flag) || arg.get_all_aliases().unwrap_or_default().contains(&flag)
                };
                if !flag.is_empty() && !flag.contains(['{', '"']) && !command.get_arguments().any(is_known) {
                    return Some(format!("`{}` has no --{flag}", command.get_name()));
                }
            } else if may_be_verb && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
                match command.find_subcommand(word) {
                    Some(verb) => {
                        command = verb;
                        continue;
                    }
                    None if command.has_subcommands() && command.get_positionals().next().is_none() => {
                        return Some(format!("`{}` has no {word}", command.get_name()));
                    }
                    None => {}
                }
            }
            may_be_verb = false;
        }
        None
    }

    #[test]
    fn a_command_that_a_message_or_a_page_names_exists_with_its_flags() {
        let mut command = crate::command_line();
        command.build();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = vec![root.join("../README.md")];
        files(root, "rs", &mut all);
        files(&root.join("../docs"), "md", &mut all);
        let (mut named, mut found) = (0, Vec::new());
        for file in all {
            let text = std::fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let ends = |rest: &str| rest.find('`').unwrap_or(rest.len());
                for (at, _) in line.match_indices("`pawl ") {
                    let rest = &line[at + 1..];
                    named += 1;
                    let why = wrong(&rest[..ends(rest)], &command);
                    found.extend(why.map(|why| format!("{}:{}: {why}: {line}", file.display(), number + 1)));
                }
            }
        }
        assert!(named > 200 && found.is_empty(), "{named}\n{}", found.join("\n"));
        for (bad, why) in [
            ("pawl run explian RUN", "`run` has no explian"),
            ("pawl queue list --over 1s --limit 3", "`list` has no --limit"),
            ("pawl explain", "`pawl` has no explain"),
        ] {
            assert_eq!(wrong(bad, &command).as_deref(), Some(why));
        }
        assert_eq!(wrong("pawl dlq list --group {group} -o ids", &command), None);
    }

    #[test]
    fn a_negative_number_is_a_value() {
        let matches = understood(&["pawl", "run", "submit", "temperatures", "--input", "-7.5"]).unwrap();
        let submit = matches.subcommand_matches("run").and_then(|run| run.subcommand_matches("submit")).unwrap();
        assert_eq!(submit.get_one::<String>("input").unwrap(), "-7.5");
        let error = understood(&["pawl", "run", "list", "--limit", "-1"]).unwrap_err();
        assert!(error.contains("'-1' for '--limit <N>'"), "{error}");
    }

    #[test]
    fn what_one_noun_calls_show_and_another_get_is_known_to_both() {
        let run = "0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e";
        for words in [
            &["pawl", "run", "show", run][..],
            &["pawl", "run", "inbox", "show", run, "1"],
            &["pawl", "pipeline", "get", "temperatures"],
            &["pawl", "queue", "get", "default"],
            &["pawl", "dead-letter", "get", run, "load"],
        ] {
            understood(words).unwrap();
        }
    }

    #[test]
    fn a_step_is_named_after_its_run_wherever_one_is_wanted_and_the_flag_of_older_scripts_still_means_it() {
        let run = "0199b2c4-6e1f-7c3a-9d52-7f0a1b2c3d4e";
        for (words, more) in [
            (["run", "get"], &[][..]),
            (["run", "logs"], &[]),
            (["run", "retry"], &[]),
            (["run", "resume"], &[]),
            (["run", "replay"], &[]),
            (["run", "skip"], &["--with", "1"]),
            (["dead-letter", "show"], &[]),
        ] {
            let understood = |step: &[&str]| understood(&[&["pawl"][..], &words[..], &[run], step, more].concat());
            understood(&["load"]).unwrap();
            understood(&["--step", "load"]).unwrap();
            understood(&["load", "--step", "mean"]).unwrap_err();
        }
        for words in [["run", "replay"], ["dead-letter", "show"]] {
            let error = understood(&[&["pawl"][..], &words[..], &[run]].concat()).unwrap_err();
            assert!(error.contains("<STEP>"), "{error}");
        }
        understood(&["pawl", "run", "retry", run, "load", "--from", "mean"]).unwrap_err();
    }

    #[test]
    fn no_command_has_another_way_to_name_a_step() {
        let mut commands = vec![crate::command_line()];
        let mut found = 0;
        while let Some(command) = commands.pop() {
            let has = |name: &str| command.get_arguments().any(|arg| arg.get_id() == name);
            let after_run = command.get_positionals().any(|arg| arg.get_id() == "step");
            let flag = command.get_arguments().find(|arg| arg.get_long() == Some("step"));
            match flag {
                Some(flag) if flag.is_hide_set() => assert!(after_run, "{}", command.get_name()),
                // A filter, beside others, or a part of a grant.
                Some(_) => assert!(has("pipeline") && (has("cause") || has("plugin")), "{}", command.get_name()),
                None => assert!(!after_run, "{} takes a STEP and not --step", command.get_name()),
            }
            found += u32::from(after_run);
            commands.extend(command.get_subcommands().cloned());
        }
        assert!(found >= 7, "{found}");
    }

    #[test]
    fn a_verb_without_its_noun_is_told_where_it_is() {
        let said = |words: &[&str]| {
            let error = crate::command_line().try_get_matches_from(words).expect_err("no such command");
            super::with_nouns(error, &crate::command_line()).to_string()
        };
        let submit = said(&["pawl", "submit", "temperatures"]);
        assert!(submit.contains("tip: there is `pawl run submit`") && submit.contains("Usage: pawl"), "{submit}");
        let cancel = said(&["pawl", "plugin", "cancel", "0199"]);
        assert!(cancel.contains("tip: there is `pawl run cancel`"), "{cancel}");
        let list = said(&["pawl", "list"]);
        for noun in ["run", "pipeline", "plugin", "queue"] {
            assert!(list.contains(&format!("there is `pawl {noun} list`")), "{list}");
        }
        assert!(!said(&["pawl", "frobnicate"]).contains("there is"), "nobody has that");
    }

    #[test]
    fn help_has_lines_that_a_terminal_shows() {
        let mut command = crate::command_line();
        command.build();
        let mut commands = vec![command];
        while let Some(mut command) = commands.pop() {
            let help = command.render_long_help().to_string();
            let long = help.lines().find(|line| line.chars().count() > super::WIDEST);
            assert_eq!(long, None, "{}", command.get_name());
            commands.extend(command.get_subcommands().cloned());
        }
    }
}

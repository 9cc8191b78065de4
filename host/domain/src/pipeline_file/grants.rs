//! What a pipeline grants a step: secrets by their names, and hosts that it may reach.

use super::Report;
use super::fields::text_in;
use super::source::{Kind, Node};
use crate::reach::Grant;
use crate::secret::check_secret_name;

/// Hosts of one step. Each is looked at for every request.
const MOST_HOSTS: usize = 1_000;

pub(super) fn allow_in(node: &Node, report: &mut Report<'_>) -> Vec<Grant> {
    let Kind::Array(nodes) = &node.kind else {
        let message = format!("`allow` must be a list of hosts, it is {}", node.type_name());
        report.problem(&node.span, message, "write allow = [\"https://api.example.org\"]".to_owned());
        return Vec::new();
    };
    if nodes.len() > MOST_HOSTS {
        let message = format!("`allow` has {} hosts, {MOST_HOSTS} are allowed", nodes.len());
        report.problem(&node.span, message, "write \"https://*.example.org\" for all below a name".to_owned());
        return Vec::new();
    }
    let mut grants: Vec<Grant> = Vec::new();
    for node in nodes {
        let Some(text) = text_in(node, "each of `allow`", report) else { continue };
        match text.parse() {
            Err(rule) => report.problem(&node.span, format!("\"{text}\" {rule}"), None),
            Ok(grant) if grants.contains(&grant) => {
                report.problem(&node.span, format!("\"{text}\" is granted twice"), "remove one".to_owned());
            }
            Ok(grant) => grants.push(grant),
        }
    }
    grants
}

pub(super) fn secrets_in(node: &Node, report: &mut Report<'_>) -> Vec<String> {
    let Kind::Array(nodes) = &node.kind else {
        let message = format!("`secrets` must be a list of names of secrets, it is {}", node.type_name());
        report.problem(&node.span, message, "write secrets = [\"...\"]".to_owned());
        return Vec::new();
    };
    let mut names: Vec<String> = Vec::new();
    for node in nodes {
        let Some(name) = text_in(node, "each of `secrets`", report) else { continue };
        if let Err(rule) = check_secret_name(name) {
            let help = "a worker finds its value in the variable PAWL_SECRET_<NAME IN UPPER CASE>".to_owned();
            report.problem(&node.span, format!("the name of a secret {rule}"), help);
        } else if names.iter().any(|other| other == name) {
            report.problem(&node.span, format!("the secret `{name}` is granted twice"), "remove one".to_owned());
        } else {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use crate::limits::Limits;
    use crate::pipeline::Pipeline;
    use crate::pipeline_file::{Format, read};

    fn read_step(more: &str) -> Result<Pipeline, Vec<String>> {
        let text = format!("name = \"p\"\n[[step]]\nname = \"s\"\nplugin = \"x\"\n{more}");
        let problems = |problems: Vec<super::super::Problem>| problems.iter().map(ToString::to_string).collect();
        read(text.as_bytes(), Format::Toml, &Limits::default(), None).map_err(problems)
    }

    #[test]
    fn what_a_step_may_call_is_told_or_not_and_nothing_is_not_the_same_as_silence() {
        let allowed = |more: &str| {
            let pipeline = read_step(more).expect("it is sound");
            let told = |grants: &Vec<crate::reach::Grant>| grants.iter().map(ToString::to_string).collect::<Vec<_>>();
            (pipeline.steps[0].allow.as_ref().map(told), String::from_utf8(pipeline.canonical()).expect("JSON"))
        };
        // Versions are digests of the canonical form: those of pipelines that were applied before must stay.
        let (silent, canonical) = allowed("");
        assert!(silent.is_none() && !canonical.contains("allow"), "{canonical}");
        let (nothing, canonical) = allowed("allow = []");
        assert!(nothing == Some(vec![]) && canonical.contains("\"allow\":[]"), "{canonical}");
        let (two, canonical) = allowed("allow = [\"HTTPS://API.example.org:443\", \"http://localhost:*\"]");
        assert_eq!(two.unwrap_or_default(), ["https://api.example.org", "http://localhost:*"]);
        let again: Pipeline = serde_json::from_str(&canonical).expect("it is read as it was written");
        assert_eq!(String::from_utf8(again.canonical()).expect("JSON"), canonical);
    }

    #[test]
    fn what_is_no_grant_is_refused_where_it_stands() {
        for (more, says) in [
            ("allow = \"https://*\"", "line 5, column 9: `allow` must be a list of hosts, it is a string"),
            ("allow = [\"api.example.org\"]", "line 5, column 10: \"api.example.org\" has no scheme: write https://"),
            ("allow = [\"https://a.org\", \"https://A.org\"]", "line 5, column 27: \"https://A.org\" is granted twice"),
            ("allow = [7]", "each of `allow` must be a string"),
        ] {
            let problems = read_step(more).expect_err(more);
            assert!(problems[0].contains(says), "{more}: {problems:?} should say {says:?}");
        }
    }
}

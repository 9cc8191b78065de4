//! The page of the guide on the pipeline file: its example is a pipeline, and no key is missing.

use pawl_domain::limits::Limits;
use pawl_domain::pipeline_file::{Format, read};

use crate::tree::root;

fn page() -> String {
    let file = root().join("docs/guide/pipelines.md");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What a pipeline that has a wrong key is told of the right ones.
fn keys(text: &str) -> Vec<String> {
    let problems = read(text.as_bytes(), Format::Toml, &Limits::default(), None).expect_err("a key that there is not");
    let told = problems.iter().find(|problem| problem.message.contains("has no key")).expect("it is told");
    let help = told.help.as_deref().unwrap_or_default();
    help.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_example_is_a_pipeline() {
    let page = page();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let pipeline = read(example.as_bytes(), Format::Toml, &Limits::default(), None).expect("it is sound");
    assert_eq!(pipeline.steps.len(), 2);
}

#[test]
fn every_key_is_told() {
    let page = page();
    let step = "name = 'p'\n[[step]]\nname = 's'\nplugin = 'p'\n";
    let of_retry = format!("{step}retry = {{ qqqqqqqqq = 1 }}\n");
    let of_step = format!("{step}qqqqqqqqq = 1\n");
    for text in [format!("qqqqqqqqq = 1\n{step}"), of_step, of_retry] {
        let keys = keys(&text);
        assert!(keys.len() > 2, "{keys:?}");
        for key in keys {
            assert!(page.contains(&format!("`{key}`")), "`{key}` is missing");
        }
    }
}

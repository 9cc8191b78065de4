//! `docs/metrics.md` is made of the definitions, so that it can't say anything else.
//! `PAWL_BLESS=1 cargo nextest run -p pawl-metrics -E 'test(page)'` writes it anew.

use std::path::Path;

use crate::definition::{Definition, Kind, Role};
use crate::figure::{Count, Figure as _, Level, Spread};
use crate::figures::{DEFINITIONS, Figures};
use crate::pipeline::PIPELINES;

const HEAD: &str = r#"# Metrics

<!-- Made of host/metrics/src/figures.rs by a test; PAWL_BLESS=1 writes it anew. -->

`pawl api` and `pawl dev` tell their figures at `/metrics`, where the API listens; `pawl worker` where `metrics_listen` says,
and nowhere without it: several workers of one machine can't share an address. All of them want a token with the role `read`
([access.md](access.md)), and go by addresses: names under which they are read are listed in `allowed_hosts`:

```yaml
scrape_configs:
  - job_name: pawl
    authorization: { credentials_file: /etc/pawl/token }
    static_configs:
      - targets: ["api:7340", "worker-1:7341", "worker-2:7341"]
```

Rules and dashboards for them are in [deploy](../deploy): [alerts.md](alerts.md) says what each alert means. `metrics = false`
switches all of it off. What a single run does, and how long which part of it takes, is told by [traces](traces.md).

- A figure is its process's: sums are made by Prometheus, and a process that is killed takes with it what nobody has read.
- What is true of the whole installation (queues, parked steps, workers) is told by the API, which asks store and queue for
  it at most every two seconds, and only when somebody reads it. With several APIs, take `max`.
- A pipeline's name is a label, a run's id never. The first hundred pipelines that a process meets have figures of their
  own, all others share `pipeline="other"`.
"#;

/// The whole page.
fn page() -> String {
    let mut page = format!("{HEAD}\n| metric | type | labels | told by | what |\n|---|---|---|---|---|\n");
    DEFINITIONS.iter().for_each(|it| page.push_str(&row(it)));
    page
}

fn row(it: &Definition) -> String {
    let labels: Vec<String> = it.labels.iter().map(|label| format!("`{label}`")).collect();
    let roles: Vec<&str> = it.roles.iter().map(|role| role.name()).collect();
    let roles = if roles.len() == 3 { "all".to_owned() } else { roles.join(", ") };
    format!("| `{}` | {} | {} | {roles} | {} |\n", it.name, it.kind.as_str(), labels.join(", "), it.sentence())
}

#[test]
fn the_page_of_metrics_says_what_the_definitions_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os("PAWL_BLESS").is_some() {
        std::fs::write(&file, page()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&file).expect("the page is there");
    assert!(
        written == page(),
        "docs/metrics.md is out of date: PAWL_BLESS=1 cargo nextest run -p pawl-metrics -E 'test(page)'"
    );
    assert_eq!(PIPELINES, 100, "the page says how many");
}

/// <https://prometheus.io/docs/practices/naming/>
#[test]
fn names_follow_the_conventions() {
    for (place, it) in DEFINITIONS.iter().enumerate() {
        let name = it.name;
        let is_plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(name.starts_with("pawl_") && is_plain(name), "{name}");
        assert_eq!(it.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(it.kind == Kind::Histogram, !it.buckets.is_empty(), "{name}");
        assert!(it.buckets.is_sorted_by(|low, high| low < high), "{name}: bounds grow");
        assert!(it.labels.iter().all(|label| is_plain(label) && *label != "le"), "{name}");
        assert!(it.sentence().ends_with('.') && !it.roles.is_empty(), "{name}");
        assert!(DEFINITIONS[..place].iter().all(|other| other.name != name), "{name} stands there twice");
    }
}

#[test]
fn a_figure_is_told_as_it_is_defined() {
    let figures = Figures::default();
    figures.takeovers.add(3);
    figures.slots_used.set_count(7);
    figures.run_seconds.of(&["p"]).took(std::time::Duration::from_millis(1_500));
    let families = figures.registry.gather();
    for it in DEFINITIONS.iter().filter(|it| it.labels.is_empty()) {
        let family = families.iter().find(|family| family.name() == it.name).expect(it.name);
        assert_eq!(family.help(), it.sentence());
        assert_eq!(format!("{:?}", family.get_field_type()).to_lowercase(), it.kind.as_str(), "{}", it.name);
    }
    let text = prometheus::TextEncoder::new().encode_to_string(&families).expect("it is text");
    for line in [
        "pawl_takeovers_total 3",
        "pawl_slots_used 7",
        "# TYPE pawl_run_duration_seconds histogram",
        "pawl_run_duration_seconds_bucket{pipeline=\"p\",le=\"1\"} 0",
        "pawl_run_duration_seconds_bucket{pipeline=\"p\",le=\"2.5\"} 1",
        "pawl_run_duration_seconds_sum{pipeline=\"p\"} 1.5",
        concat!("pawl_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    assert_eq!((Count::KIND, Level::KIND, Spread::KIND), (Kind::Counter, Kind::Gauge, Kind::Histogram));
}

#[test]
fn a_role_tells_nothing_of_another() {
    let worker = crate::exposition(Role::Worker);
    assert!(worker.contains("pawl_slots_used") && !worker.contains("pawl_parked_steps"), "{worker}");
    let api = crate::exposition(Role::Api);
    assert!(!api.contains("pawl_slots_used") && api.contains("pawl_parked_steps"), "{api}");
}

#[test]
fn nothing_is_counted_while_figures_are_switched_off() {
    // Nextest gives each test a process of its own.
    let figures = Figures::default();
    crate::switch(false);
    figures.takeovers.one();
    assert!(!crate::is_on());
    crate::switch(true);
    assert_eq!(figures.takeovers.get(), 0);
    figures.takeovers.one();
    assert_eq!(figures.takeovers.get(), 1);
}

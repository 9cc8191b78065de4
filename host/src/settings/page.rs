//! `docs/settings.md` is made of the definitions, so that it can't say anything else.
//! `PAWL_BLESS=1 cargo nextest run -p pawl -E 'test(page)'` writes it anew.

use std::path::Path;

use super::all::GROUPS;
use super::config::Config;
use super::setting::{Role, Setting, key, variable};

const HEAD: &str = r#"# Settings

<!-- Made of host/src/settings/all.rs by a test; PAWL_BLESS=1 writes it anew. -->

A setting has one name. For `lease`, in the order in which they win:

| | |
|---|---|
| a flag | `pawl worker --lease 5s` |
| the environment | `PAWL_LEASE=5s` |
| a TOML file: `pawl.toml` in the folder, or that of `--config` and `PAWL_CONFIG` | `lease = "5s"` |
| for some, a variable that other programs know, too | `OTEL_SERVICE_NAME=pawl` |

`-` in flags is `_` elsewhere. In the file, a key at the top is for all who read the setting; the same key in a table
`[api]`, `[worker]`, `[dev]` or `[client]` is for that role, and wins. `pawl dev` is API and worker in one process, `client`
is every other command.

```toml
database_url = "postgres://pawl@db/pawl"
redis_url = "redis://redis/"
limit_input = "2MiB"

[worker]
slots = 32
queues = ["default", "gpu"]
```

`pawl config worker`, with the flags of `pawl worker` if you like, shows each value and where it comes from; secrets
are hidden. A key of the file that is no setting's is refused, and so is a value out of its bounds. Times are written
`500ms`, `5s`, `10m`, `2h`, sizes `16KiB`, `64MiB`, `1GiB`. An empty `PAWL_API_TOKEN` is none.

Give every process of an installation the same limits, best in one file: the API checks what comes in, the worker what a
step does, and a component that the API has accepted may be too large for a worker with another limit.

Secrets of steps (`PAWL_SECRET_*`) and `PAWL_OUTPUT`, the default of `-o`, are no settings: they stand in the environment
alone.
"#;

/// The whole page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    for group in GROUPS {
        page.push_str(&format!("\n## {}\n\n", group.heading));
        page.push_str("| setting | what | values | default | read by |\n|---|---|---|---|---|\n");
        group.settings.iter().for_each(|setting| page.push_str(&row(setting)));
    }
    page
}

fn row(setting: &Setting) -> String {
    let readers: Vec<_> = setting.readers.iter().map(|role| role.name()).collect();
    let readers = if readers.len() == Role::ALL.len() { "all".to_owned() } else { readers.join(", ") };
    let former = setting.former.map(|name| format!("; `{}` still works", variable(name))).unwrap_or_default();
    let standard: Vec<_> = setting.standard.iter().map(|(variable, _)| format!("`{variable}`")).collect();
    let standard = if standard.is_empty() { String::new() } else { format!("; else by {}", standard.join(", ")) };
    format!(
        "| `{}` | {}{former}{standard} | {} | {} | {readers} |\n",
        key(setting.name),
        setting.what,
        setting.kind.values(),
        default(setting),
    )
}

/// Its default, and that of roles that have another.
fn default(setting: &Setting) -> String {
    if let Some(words) = setting.usually {
        return words.to_owned();
    }
    let of = |role| setting.shown(&mut Config::of(role)).map_or_else(|| "none".to_owned(), |it| format!("`{it}`"));
    let usual = of(setting.readers[0]);
    let others = setting.readers.iter().filter(|role| of(**role) != usual);
    let others: String = others.map(|role| format!("; {} {}", role.name(), of(*role))).collect();
    usual + &others
}

#[test]
fn the_page_of_settings_says_what_the_definitions_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    if std::env::var_os("PAWL_BLESS").is_some() {
        std::fs::write(&file, page()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&file).expect("the page is there");
    assert!(
        written == page(),
        "docs/settings.md is out of date: PAWL_BLESS=1 cargo nextest run -p pawl -E 'test(page)'"
    );
}

//! Which value wins, what is refused with which words, and what is shown.

use std::collections::HashMap;
use std::time::Duration;

use clap::CommandFactory as _;
use pawl_domain::limits::Limits;
use pawl_worker as worker;

use super::*;
use crate::output::Answer as _;

/// A command line, an environment and a file.
#[derive(Default)]
struct Scene {
    words: Vec<&'static str>,
    environment: HashMap<&'static str, &'static str>,
    file: &'static str,
}

impl Scene {
    fn words(mut self, words: &[&'static str]) -> Self {
        self.words.extend(words);
        self
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.insert(name, value);
        self
    }

    fn file(mut self, text: &'static str) -> Self {
        self.file = text;
        self
    }

    fn load(&self, role: Role) -> Result<Settings, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pawl.toml");
        std::fs::write(&path, self.file).expect("the file can be written");
        let command = if role == Role::Client { "migrate" } else { role.name() };
        let words = ["pawl", command].into_iter().chain(self.words.iter().copied());
        let matches = add_flags(crate::Command::command()).try_get_matches_from(words).expect("a command line");
        let environment = |name: &str| self.environment.get(name).map(|value| (*value).to_owned());
        Settings::of(role, &Flags::of(&matches), &environment, &path)
    }

    fn worker(&self) -> worker::Config {
        self.load(Role::Worker).expect("settings").worker()
    }

    /// What is said instead of settings, with the file named by its name alone.
    fn refusal(&self, role: Role) -> String {
        let error = self.load(role).expect_err("it is refused").to_string();
        match error.split_once("pawl.toml") {
            Some((before, after)) => {
                let kept = before.rfind(['(', ' ']).map_or("", |at| &before[..=at]);
                format!("{kept}pawl.toml{after}")
            }
            None => error,
        }
    }
}

#[test]
fn flags_win_over_the_environment_that_over_the_file_and_that_over_defaults() {
    let scene = Scene::default();
    assert_eq!(scene.worker().slots, 256);
    let scene = scene.file("slots = 10");
    assert_eq!(scene.worker().slots, 10);
    let scene = scene.variable("PAWL_SLOTS", "20");
    assert_eq!(scene.worker().slots, 20);
    let scene = scene.words(&["--slots", "30"]);
    assert_eq!(scene.worker().slots, 30);
}

#[test]
fn variables_of_the_standard_are_read_where_pawl_is_told_nothing() {
    let endpoint = |scene: Scene| scene.load(Role::Worker).expect("settings").traces().expect("sound").map(|it| it.url);
    let scene = Scene::default();
    assert_eq!(endpoint(scene), None);
    let scene = || Scene::default().variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/");
    assert_eq!(endpoint(scene()).as_deref(), Some("http://a:4318/v1/traces"));
    let named = scene().variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/own");
    assert_eq!(endpoint(named).as_deref(), Some("http://b/own"));
    let empty = scene().variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "");
    assert_eq!(endpoint(empty).as_deref(), Some("http://a:4318/v1/traces"), "as good as not there");
    assert_eq!(endpoint(scene().variable("OTEL_SDK_DISABLED", "True")), None);
    let own = scene().file("traces_url = \"http://c/v1/traces\"");
    assert_eq!(endpoint(own).as_deref(), Some("http://c/v1/traces"));
    let shown = scene().load(Role::Worker).expect("settings").show().text();
    assert!(shown.contains("environment OTEL_EXPORTER_OTLP_ENDPOINT"), "{shown}");
    let wrong = scene().variable("OTEL_TRACES_SAMPLER", "xray").refusal(Role::Worker);
    assert!(wrong.starts_with("traces_sampler is \"xray\" (OTEL_TRACES_SAMPLER): write always_on or"), "{wrong}");
    let said = scene().variable("OTEL_EXPORTER_OTLP_HEADERS", "t0k3n").refusal(Role::Worker);
    assert!(said.contains("traces_headers") && !said.contains("t0k3n"), "{said}");
}

#[test]
fn a_roles_table_wins_over_the_top_of_the_file_for_that_role_alone() {
    let scene = Scene::default().file("slots = 10\nlisten = \"127.0.0.1:1\"\n[worker]\nslots = 5\n[dev]\nslots = 2\n");
    assert_eq!(scene.worker().slots, 5);
    let dev = scene.load(Role::Dev).expect("settings");
    assert_eq!((dev.worker().slots, dev.api().listen.as_str()), (2, "127.0.0.1:1"));
}

#[test]
fn the_keys_of_older_files_and_the_names_of_older_flags_go_on_working() {
    let scene = Scene::default()
        .file(
            "api_url = \"http://a\"\napi_token = \"t\"\ndatabase_url = \"postgres://d\"\nredis_url = \"redis://r\"\n\
             listen = \"127.0.0.1:9\"\nslots = 3\nqueues = [\"gpu\", \"default\"]\n",
        )
        .variable("PAWL_LEASE_MS", "1500")
        .words(&["--drain-ms", "20"]);
    let worker = scene.worker();
    assert_eq!((worker.lease, worker.drain), (Duration::from_millis(1_500), Duration::from_millis(20)));
    assert_eq!((worker.slots, worker.queues), (3, vec!["gpu".to_owned(), "default".to_owned()]));
    let api = Scene { words: Vec::new(), ..scene }.load(Role::Api).expect("settings");
    assert_eq!((api.api().listen.as_str(), api.api_token().expect("one").as_deref()), ("127.0.0.1:9", Some("t")));
    assert_eq!(api.database_url().expect("an address"), "postgres://d");
    let queues = Scene::default().words(&["--queue", "a", "b", "--queue", "c,d"]).worker().queues;
    assert_eq!(queues, ["a", "b", "c", "d"]);
}

#[test]
fn one_setting_under_two_names_is_refused() {
    let scene = Scene::default().variable("PAWL_LEASE", "2s").variable("PAWL_LEASE_MS", "1500");
    let said = scene.refusal(Role::Worker);
    assert_eq!(said, "lease is given twice, by PAWL_LEASE and by PAWL_LEASE_MS: they are two names for one setting");
}

#[test]
fn a_key_that_is_no_settings_is_refused_with_its_line_and_the_nearest_one() {
    for (file, said) in [
        ("listen = \"a:1\"\n\nslot = 3\n", "pawl.toml:3: there is no setting `slot`; did you mean `slots`?"),
        ("[worker]\nsolts = 3\n", "pawl.toml:2: there is no setting `solts`; did you mean `slots`?"),
        ("[wroker]\nslots = 3\n", "pawl.toml:1: there is no setting `wroker`; did you mean `worker`?"),
        ("colour = \"red\"\n", "pawl.toml:1: there is no setting `colour`"),
        (
            "[api]\nslots = 3\n",
            "pawl.toml:2: `slots` is no setting of [api]; it may stand at the top or in [worker], [dev]",
        ),
        ("slots = 1.5\n", "pawl.toml:1: `slots` must be from 1 to 10000, in quotes if it is not a bare number"),
        ("slots = \n", "pawl.toml:1: not valid TOML: "),
    ] {
        for role in Role::ALL {
            let refusal = Scene::default().file(file).refusal(role);
            assert!(refusal.starts_with(said), "{refusal}");
        }
    }
}

#[test]
fn a_value_out_of_bounds_is_refused_with_its_source_and_the_bounds() {
    for (scene, said) in [
        (Scene::default().words(&["--slots", "0"]), "slots is \"0\" (--slots): it must be from 1 to 10000"),
        (
            Scene::default().variable("PAWL_LEASE_MS", "100"),
            "lease is \"100ms\" (PAWL_LEASE_MS): it must be from 500ms to 10m",
        ),
        (
            Scene::default().file("\n[worker]\nlimit_output = \"1GiB\"\n"),
            "limit_output is \"1GiB\" (pawl.toml:3): it must be from 1KiB to 16MiB",
        ),
        (Scene::default().variable("PAWL_QUEUES", ""), "queues is \"\" (PAWL_QUEUES): the name of a queue is empty"),
        (
            Scene::default().variable("PAWL_RUN_AHEAD", "no"),
            "run_ahead is \"no\" (PAWL_RUN_AHEAD): write true or false",
        ),
    ] {
        assert_eq!(scene.refusal(Role::Worker), said);
    }
    let together = Scene::default().variable("PAWL_SUSPECT_FROM", "9").refusal(Role::Worker);
    assert!(together.contains("suspect_from is 9 and crash_limit 5"), "{together}");
}

#[test]
fn a_role_minds_no_setting_of_others() {
    let scene = Scene::default().variable("PAWL_LEASE", "never").file("lanes = 100");
    assert!(scene.load(Role::Client).is_ok() && scene.load(Role::Api).is_ok());
    assert!(scene.load(Role::Worker).is_err());
}

#[test]
fn what_has_no_default_is_named_with_all_ways_to_give_it() {
    let error = Scene::default().load(Role::Worker).expect("settings").redis_url().expect_err("it is missing");
    let said = error.to_string();
    for way in ["--redis-url", "PAWL_REDIS_URL", "`redis_url = \"...\"`", "`pawl dev` alone needs no servers"] {
        assert!(said.contains(way), "{said}");
    }
}

#[test]
fn every_limit_reaches_the_engine_and_the_api() {
    let scene = Scene::default().file("limit_input = \"2KiB\"\nlimit_memory = \"1MiB\"\nlimit_steps = 7\n");
    let dev = scene.load(Role::Dev).expect("settings");
    let limits = Limits { input_bytes: 2_048, memory_bytes: 1 << 20, steps: 7, ..Limits::default() };
    assert_eq!((dev.api().limits, dev.config.engine(1).limits, *dev.limits()), (limits, limits, limits));
}

#[test]
fn every_value_and_its_source_is_shown_and_no_secret() {
    let scene = Scene::default()
        .file("[client]\nlog_format = \"json\"\n")
        .variable("PAWL_API_TOKEN", "hunter2")
        .variable("PAWL_DATABASE_URL", "postgres://pawl:hunter2@db/pawl")
        .variable("PAWL_CACHE_DIR", "/var/cache/pawl");
    let shown = scene.load(Role::Client).expect("settings").show();
    let text = shown.text();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(words).collect();
    assert_eq!(
        lines[..lines.len() - 1],
        [
            "SETTING VALUE FROM",
            "api_url http://127.0.0.1:7340 default",
            "api_ca - default",
            "api_certificate - default",
            "api_key - default",
            "api_token *** environment PAWL_API_TOKEN",
            "api_token_file - default",
            "namespace - default",
            "database_url postgres://pawl:***@db/pawl environment PAWL_DATABASE_URL",
            "database_url_file - default",
            "redis_url - default",
            "redis_url_file - default",
            "redis_prefix pawl default",
            "redis_ca - default",
            "redis_certificate - default",
            "redis_key - default",
            "limit_entry 1MiB default",
            "limit_checkpoint 64MiB default",
            "limit_component 64MiB default",
            "limit_memory 256MiB default",
            "limit_attempt_time 10m default",
            "limit_log_line 16KiB default",
            "limit_log 1MiB default",
            "limit_log_lines 10000 default",
            "limit_steps 10000 default",
            "limit_entries 100000 default",
            "cache_dir /var/cache/pawl environment PAWL_CACHE_DIR",
            "cache_dir_size 512MiB default",
            "log warn default",
        ]
    );
    let last = &lines[lines.len() - 1];
    assert!(last.starts_with("log_format json file ") && last.ends_with("pawl.toml:2"), "{last}");
    let json = serde_json::to_string(&shown).expect("JSON");
    assert!(!text.contains("hunter2") && !json.contains("hunter2"), "{text}{json}");
}

#[test]
fn a_refused_secret_is_not_told() {
    let file = "database_url = [\"postgres://pawl:hunter2@db/pawl\", \"x\"]\nlog_format = \"hunter3\"\n";
    let said = Scene::default().file(file).refusal(Role::Client);
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn the_file_of_a_folder_does_not_decide_where_a_token_of_mine_goes() {
    let file = "api_url = \"https://evil.example\"\n";
    let goes = |scene: Scene| scene.load(Role::Client).expect("settings").client().map(|_| ());
    let refused =
        goes(Scene::default().file(file).variable("PAWL_API_TOKEN", "mine")).expect_err("refused").to_string();
    assert!(refused.contains("PAWL_API_TOKEN") && refused.contains("https://evil.example"), "{refused}");
    assert!(refused.contains("name the address yourself, with PAWL_API_URL or --api-url"), "{refused}");
    assert!(!refused.contains("mine"), "{refused}");
    for fine in [
        Scene::default().file("api_url = \"https://evil.example\"\napi_token = \"its-own\"\n"),
        Scene::default().file("api_url = \"http://localhost:1\"\n").variable("PAWL_API_TOKEN", "mine"),
        Scene::default().file(file).variable("PAWL_API_TOKEN", "mine").variable("PAWL_API_URL", "https://pawl.example"),
        Scene::default().file(file),
    ] {
        goes(fine).expect("a client");
    }
}

#[test]
fn nor_does_it_name_a_file_of_mine_for_that() {
    let file = "api_url = \"https://evil.example\"\napi_token_file = \"/home/ada/.pawl/token\"\n";
    let refused = Scene::default().file(file).load(Role::Client).expect("settings").client().map(|_| ());
    let said = refused.expect_err("refused").to_string();
    assert!(said.contains("https://evil.example") && said.contains("pawl.toml:2"), "{said}");
}

#[test]
fn nor_does_it_say_who_is_trusted_on_the_way_to_my_api() {
    let goes = |scene: Scene| {
        let scene = scene.variable("PAWL_API_TOKEN", "mine").variable("PAWL_API_URL", "https://pawl.example");
        scene.load(Role::Client).expect("settings").client().map(|_| ())
    };
    let refused = goes(Scene::default().file("api_ca = \"theirs.pem\"\n")).expect_err("refused").to_string();
    assert!(refused.contains("api_ca is theirs.pem") && refused.contains("with PAWL_API_CA or --api-ca"), "{refused}");
    goes(Scene::default()).expect("a client");
}

#[test]
fn what_is_secret_may_stand_in_a_file_that_is_read_when_it_is_wanted() {
    let missing = || Scene::default().variable("PAWL_DATABASE_URL_FILE", "/nowhere/url");
    let settings = missing().load(Role::Client).expect("what is not wanted is not read");
    let said = settings.database_url().expect_err("it is not there").to_string();
    assert!(said.starts_with("database_url_file is /nowhere/url: ") && settings.has_database(), "{said}");
    let both = missing().variable("PAWL_DATABASE_URL", "postgres://ann:hunter2@db/pawl").refusal(Role::Client);
    assert!(both.contains("give one of them") && !both.contains("hunter2"), "{both}");
    let token = Scene::default().variable("PAWL_API_TOKEN_FILE", "/dev/null").load(Role::Api).expect("settings");
    assert!(token.api_token().expect_err("nothing is in it").to_string().contains("api_token_file is /dev/null"));
}

#[test]
fn a_password_in_a_flag_is_told() {
    let told = |words: &[&'static str]| {
        Scene::default().words(words).load(Role::Client).expect("settings").passwords_in_flags()
    };
    assert_eq!(told(&["--database-url", "postgres://ann:hunter2@db/pawl"]), ["database-url"]);
    assert_eq!(told(&["--database-url", "postgres://ann@db/pawl", "--redis-url", "redis://cache/"]), [""; 0]);
    assert_eq!(told(&["--redis-url", "redis://:hunter2@cache/"]), ["redis-url"]);
    let variable = Scene::default().variable("PAWL_DATABASE_URL", "postgres://ann:hunter2@db/pawl");
    assert_eq!(variable.load(Role::Client).expect("settings").passwords_in_flags(), [""; 0]);
}

#[test]
fn a_certificate_goes_with_its_key_and_clients_are_asked_for_one_over_tls_alone() {
    for (role, variable, said) in [
        (Role::Api, "PAWL_TLS_CERTIFICATE", "tls_certificate and tls_key go together"),
        (Role::Worker, "PAWL_TLS_KEY", "tls_certificate and tls_key go together"),
        (Role::Api, "PAWL_TLS_CLIENT_CA", "tls_client_ca is for TLS alone"),
        (Role::Client, "PAWL_API_KEY", "api_certificate and api_key go together"),
        (Role::Client, "PAWL_REDIS_CERTIFICATE", "redis_certificate and redis_key go together"),
    ] {
        let refused = Scene::default().variable(variable, "/etc/pawl/one.pem").refusal(role);
        assert!(refused.contains(said), "{variable}: {refused}");
    }
}

#[test]
fn definitions_agree_with_themselves() {
    let mut names: Vec<_> = all().flat_map(Setting::names).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is one setting's");
    for setting in all() {
        assert!(!setting.what.is_empty() && !setting.readers.is_empty(), "{}", setting.name);
        for role in setting.readers {
            // What is shown can be given: the default keeps its own bounds.
            let mut config = Config::of(*role);
            if let Some(shown) = (setting.field)(&mut config).show(&setting.kind) {
                let read = (setting.field)(&mut config).read(&shown, &setting.kind);
                assert_eq!(read, Ok(()), "{}", setting.name);
                assert_eq!((setting.field)(&mut config).show(&setting.kind), Some(shown), "{}", setting.name);
            }
        }
    }
}

#[test]
fn a_variable_that_looks_like_a_setting_and_is_none_is_told() {
    let said = |name: &str| misspelt([name.to_owned()].into_iter()).pop().map(|(_, meant)| meant);
    assert_eq!(said("PAWL_SLOT").as_deref(), Some("PAWL_SLOTS"));
    assert_eq!(said("PAWL_API_TOKN").as_deref(), Some("PAWL_API_TOKEN"));
    for fine in ["PAWL_SLOTS", "PAWL_LEASE_MS", "PAWL_SECRET_SLOT", "PAWL_CONFIG", "PAWL_SEED", "SLOT", "PAWL_"] {
        assert_eq!(said(fine), None, "{fine}");
    }
}

//! The image, the compose file and the manifests of `deploy/`: read by the tools that they are written for, and sound in what
//! no tool knows: that what is stopped has the time that its settings take, that guests have room, that nothing is root. That
//! what they start does start is tested in tests/tests/end_to_end/deployed.rs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pawl_tests::deployed::{
    self, Image, KUSTOMIZATIONS, Probe, Program, compose, compose_file, kubernetes, manifests, tool,
};
use serde_json::Value;

use crate::{deploy, tree};

fn lines_of_ignored() -> Vec<String> {
    let text = std::fs::read_to_string(tree::root().join("deploy/Dockerfile.dockerignore")).expect("it is there");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_image_has_one_program_and_no_root_and_a_linter_has_nothing_to_say() {
    deployed::said(Command::new(tool("hadolint").unwrap()).arg("deploy/Dockerfile")).unwrap();
    let image = Image::read().unwrap();
    assert!(image.the("FROM").unwrap().starts_with("gcr.io/distroless/"), "no shell");
    assert_eq!(image.the("USER").unwrap(), "65532:65532", "a number, not root's");
    assert_eq!(image.the("STOPSIGNAL").unwrap(), "SIGTERM");
    let program =
        serde_json::from_str::<Vec<String>>(image.the("ENTRYPOINT").unwrap()).expect("a list: there is no shell");
    assert_eq!(program, ["/usr/local/bin/pawl"]);
    assert_eq!(image.health().unwrap(), ["/usr/local/bin/pawl", "ready"]);
    assert!(image.instructions.iter().all(|(name, _)| name != "RUN"), "there is nothing to run it with");
    let workspace = std::fs::read_to_string(tree::root().join("Cargo.toml")).unwrap();
    let rust = workspace.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
    let file = std::fs::read_to_string(tree::root().join("deploy/Dockerfile")).unwrap();
    assert!(
        file.contains(&format!("FROM rust:{rust}-slim-bookworm AS build")),
        "the builder is the Rust that we build with"
    );
}

#[test]
fn a_fault_in_the_dockerfile_is_seen() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = std::fs::read_to_string(tree::root().join("deploy/Dockerfile")).unwrap();
    std::fs::write(file.path(), text.replace("gcr.io/distroless/cc-debian12:nonroot", "debian")).unwrap();
    let output = Command::new(tool("hadolint").unwrap()).arg(file.path()).output().unwrap();
    assert!(!output.status.success(), "an image without a version: {output:?}");
}

/// What is left out of the build's context is not needed: the workspace is whole without it, and so are links into it.
#[test]
fn the_build_has_all_that_it_reads() {
    let ignored = lines_of_ignored();
    assert!(ignored.iter().any(|it| it == "target") && ignored.iter().all(|it| !it.contains('*')), "{ignored:?}");
    let is_left_out = |path: &str| ignored.iter().any(|it| path.split('/').next() == Some(it.as_str()));
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in tree::texts().iter().filter(|(path, _)| !is_left_out(path)) {
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--locked", "--offline", "--format-version", "1", "--no-deps"]);
    let output = metadata.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let workspace: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = workspace["packages"].as_array().unwrap();
    let pawl = packages.iter().find(|it| it["name"] == "pawl").expect("--package pawl");
    let is_program = |it: &Value| it["name"] == "pawl" && it["kind"][0] == "bin";
    assert!(pawl["targets"].as_array().unwrap().iter().any(is_program), "--bin pawl");
    let carried = std::fs::read_dir(tree::root().join("host/carried")).unwrap().map(|it| it.unwrap().path());
    let links = carried.chain(["host/store/migrations", "host/engine/wit"].map(|it| tree::root().join(it)));
    for link in links.filter(|it| it.is_symlink()) {
        let target = link.canonicalize().unwrap();
        let target = target.strip_prefix(tree::root().canonicalize().unwrap()).unwrap().to_str().unwrap().to_owned();
        assert!(!is_left_out(&target), "{} leads to {target}", link.display());
    }
}

#[test]
fn prometheus_can_read_how_it_finds_the_roles() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["prometheus.yaml", "rules.yaml"] {
        std::fs::copy(tree::root().join("deploy/prometheus").join(file), folder.path().join(file)).unwrap();
    }
    let config = folder.path().join("prometheus.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let (token, seen) = (folder.path().join("token"), text.matches("/run/secrets/pawl_token").count());
    std::fs::write(&token, "t").unwrap();
    std::fs::write(&config, text.replace("/run/secrets/pawl_token", &token.display().to_string())).unwrap();
    let checked = deploy::promtool(&["check", "config", &config.display().to_string()], "");
    deploy::succeeded(&checked);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("1 rule files found"), "{checked:?}");

    // And Compose gives it what it names.
    let file = compose_file().unwrap();
    let prometheus = &file["services"]["prometheus"];
    assert_eq!((seen, &prometheus["secrets"][0]["source"]), (1, &Value::from("pawl_token")));
    let mounts: Vec<&str> =
        prometheus["volumes"].as_array().unwrap().iter().filter_map(|it| it["source"].as_str()).collect();
    for name in ["prometheus.yaml", "rules.yaml"] {
        assert!(
            mounts.iter().any(|it| Path::new(it) == tree::root().join("deploy/prometheus").join(name)),
            "{mounts:?}"
        );
    }
    for (service, port) in [("api", "7340"), ("worker", "7341")] {
        assert!(text.contains(&format!("names: [{service}], type: A, port: {port}")), "{service}");
        assert!(file["services"][service].is_object(), "{service} is the name of a service");
    }
}

#[test]
fn the_compose_file_has_two_workers_that_begin_after_the_migration_and_no_password() {
    let file = compose_file().unwrap();
    let services = file["services"].as_object().unwrap();
    for (name, service) in services {
        let command = service["command"].to_string();
        let secrets = [deployed::POSTGRES_PASSWORD, deployed::API_TOKEN];
        assert!(secrets.iter().all(|secret| !command.contains(secret)), "{name}: {command}");
        assert_eq!(service["healthcheck"]["test"][0].as_str().unwrap_or("CMD"), "CMD", "{name}: an image has no shell");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} is open to this machine alone");
        }
    }
    for role in ["api", "worker"] {
        let waits = &services[role]["depends_on"]["migrate"]["condition"];
        assert_eq!(waits, "service_completed_successfully", "{role}");
    }
    let mut without = Command::new(tool("docker-compose").unwrap());
    without
        .args(["--env-file", "/dev/null", "--file", "deploy/compose.yaml", "config", "--quiet"])
        .current_dir(tree::root());
    let refused = without.env_remove("POSTGRES_PASSWORD").env_remove("PAWL_API_TOKEN").output().unwrap();
    // This build of compose says so, and its exit code does not.
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("required variable"), "without passwords it does not start: {refused:?}");
    let programs = compose().unwrap();
    let names: Vec<(&str, u64)> = programs.iter().map(|it| (it.name.as_str(), it.copies)).collect();
    assert_eq!(names, [("api", 1), ("migrate", 1), ("worker", 2)]);
    programs.iter().for_each(has_room);
}

/// A role has the time that its stop may take, and memory for what its settings allow.
fn has_room(program: &Program) {
    let shown = effective(program);
    let of = |name: &str| shown.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let longest = of("drain").or_else(|| of("grace")).map_or(Duration::ZERO, |it| time(&it));
    assert!(
        program.stop >= longest + Duration::from_secs(5),
        "{}: it has {:?} to end, its settings take {longest:?}",
        program.name,
        program.stop
    );
    let Some(guest) = of("limit_memory").filter(|_| of("slots").is_some()) else { return };
    let guests = program.memory_bytes / 8 * 5;
    assert!(guests >= 2 * bytes(&guest), "{}: {guests} bytes are no room for two guests of {guest}", program.name);
}

/// Its settings, as `pawl config` shows them: a wrong one is refused.
fn effective(program: &Program) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = pawl_tests::binary::pawl().expect("it is built");
    let role =
        program.words.first().filter(|it| ["api", "worker"].contains(&it.as_str())).map_or("client", String::as_str);
    command.args(["config", role, "-o", "json"]).current_dir(folder.path()).envs(&program.environment);
    for (path, text) in &program.files {
        let file = folder.path().join("pawl.toml");
        std::fs::write(&file, text).expect("written");
        assert_eq!(program.environment.get("PAWL_CONFIG"), Some(path), "{}: its file is read", program.name);
        command.env("PAWL_CONFIG", file);
    }
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}: {}", program.name, String::from_utf8_lossy(&output.stderr));
    let shown: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let lines = shown["settings"].as_array().expect("a list").iter();
    lines.filter_map(|it| Some((it["name"].as_str()?.to_owned(), it["value"].as_str()?.to_owned()))).collect()
}

fn time(text: &str) -> Duration {
    Duration::from_millis(pawl_domain::pipeline_file::parse_duration_ms(text).expect("a time"))
}

fn bytes(text: &str) -> u64 {
    text.strip_suffix("MiB").unwrap_or_else(|| panic!("{text} is in MiB")).parse::<u64>().expect("a number") << 20
}

#[test]
fn what_is_set_is_a_setting() {
    let known: BTreeSet<String> = ["api", "worker", "dev", "client"]
        .into_iter()
        .flat_map(|role| {
            let output = pawl_tests::binary::pawl().unwrap().args(["config", role, "-o", "ids"]).output().unwrap();
            String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .map(|it| format!("PAWL_{}", it.to_uppercase()))
                .collect::<Vec<_>>()
        })
        .chain(["PAWL_CONFIG".to_owned()])
        .collect();
    assert!(known.len() > 40 && known.contains("PAWL_DATABASE_URL"), "{known:?}");
    let texts = tree::texts();
    let mut seen = 0;
    for (path, text) in texts.iter().filter(|(path, _)| path.starts_with("deploy/") || *path == "docs/deploy.md") {
        let words = text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        // Those of steps may have any name.
        for word in words.filter(|word| word.starts_with("PAWL_") && !word.starts_with("PAWL_SECRET_")) {
            assert!(known.contains(word), "{path}: there is no setting {word}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} places in all");
}

#[test]
fn manifests_fit_their_schemas_and_one_that_does_not_is_seen() {
    for folder in KUSTOMIZATIONS {
        let all = manifests(folder).unwrap();
        let kinds: BTreeSet<&str> = all.iter().filter_map(|it| it["kind"].as_str()).collect();
        let expected = BTreeSet::from([
            "ConfigMap",
            "Deployment",
            "Job",
            "Namespace",
            "PodDisruptionBudget",
            "Service",
            "ServiceAccount",
        ]);
        assert!(kinds.is_superset(&expected), "{folder}: {kinds:?}");
        let replicas = all.iter().find(|it| it["metadata"]["name"] == "pawl-worker" && it["kind"] == "Deployment");
        let is_said = replicas.is_some_and(|it| it["spec"]["replicas"].is_u64());
        assert_eq!(is_said, folder == "base", "{folder}: how many workers there are is the autoscaler's to say");
    }
    let job = |member: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{ name: a }}\nspec:\n  template:\n    spec:\n      \
             restartPolicy: OnFailure\n      containers: [{{ name: a, image: a, {member} }}]\n"
        )
    };
    deployed::checked(&job("args: [migrate]")).expect("a good one");
    let refused =
        deployed::checked(&job("arguments: [migrate]")).expect_err("one of them has no such member").to_string();
    assert!(refused.contains("Job a") && refused.contains("arguments"), "{refused}");
    let trigger =
        "apiVersion: keda.sh/v1alpha1\nkind: TriggerAuthentication\nmetadata: { name: a }\nspec: { secrets: [] }\n";
    let refused = deployed::checked(trigger).expect_err("it has no such member").to_string();
    assert!(refused.contains("secret"), "{refused}");
}

#[test]
fn pods_are_restricted_and_end_in_their_time() {
    let all = manifests("base").unwrap();
    let programs = kubernetes(&all).unwrap();
    let names: Vec<(&str, bool)> = programs.iter().map(|it| (it.name.as_str(), it.is_before)).collect();
    for expected in [
        ("pawl-api/wait-for-schema", true),
        ("pawl-api/api", false),
        ("pawl-worker/wait-for-schema", true),
        ("pawl-worker/worker", false),
        ("pawl-migrate/migrate", true),
    ] {
        assert!(names.contains(&expected), "{expected:?} is not in {names:?}");
    }
    programs.iter().filter(|it| !it.is_before).for_each(has_room);
    for role in ["pawl-api/api", "pawl-worker/worker"] {
        let program = programs.iter().find(|it| it.name == role).unwrap();
        let paths: Vec<&str> = program
            .probes
            .iter()
            .map(|it| match it {
                Probe::Get(path, _) => path.as_str(),
                Probe::Words(_) => "",
            })
            .collect();
        assert_eq!(paths, ["/health", "/health", "/ready"], "{role}: started, alive, ready");
        assert!(program.copies >= 2, "{role}: one may go while another works");
    }
    for workload in all.iter().filter(|it| it["spec"]["template"].is_object()) {
        let (name, pod) = (&workload["metadata"]["name"], &workload["spec"]["template"]["spec"]);
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        let containers =
            ["initContainers", "containers"].iter().flat_map(|it| pod[*it].as_array().into_iter().flatten());
        for container in containers {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
            for amount in [&container["resources"]["requests"]["memory"], &container["resources"]["requests"]["cpu"]] {
                assert!(amount.is_string(), "{name}: the scheduler knows what it takes");
            }
        }
        // A cache that grows over its volume has its pod evicted.
        let cache = pod["volumes"].as_array().into_iter().flatten().find(|it| it["name"] == "cache");
        if let Some(cache) = cache {
            assert_eq!(cache["emptyDir"]["sizeLimit"], "1Gi", "{name}");
            let role = programs.iter().find(|it| it.files.len() == 1).unwrap();
            let size = effective(role).into_iter().find(|(known, _)| known == "cache_dir_size").unwrap().1;
            assert!(2 * bytes(&size) <= 1 << 30, "{name}: `cache_dir_size` is {size}, about");
        }
    }
    for budget in all.iter().filter(|it| it["kind"] == "PodDisruptionBudget") {
        let labels = &budget["spec"]["selector"]["matchLabels"];
        let chosen =
            all.iter().filter(|it| it["kind"] == "Deployment" && it["spec"]["selector"]["matchLabels"] == *labels);
        assert_eq!(chosen.count(), 1, "{}: it is for one Deployment", budget["metadata"]["name"]);
    }
}

//! What the compose file and the manifests of `deploy/` start does start, and works: the very words, environments and settings
//! files, with the probes that are asked there, on private servers. What is another's there, names and ports, is put in the
//! place of private ones; containers there are none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use pawl_rehearsal::private::{PrivatePostgres, PrivateRedis, Process, free_port};
use pawl_tests::deployed::{self, API_TOKEN, POSTGRES_PASSWORD, Probe, Program};
use pawl_tests::runtime::block_on;
use pawl_tests::wait::{self, Look};
use pawl_tests::{Client, Database, Scrape, binary, bounds};
use serde_json::Value;

/// Where the roles listen in their containers.
const API_PORT: u16 = 7340;
const WORKER_PORT: u16 = 7341;

const PIPELINE: &str = "name = \"pair\"\n[[step]]\nname = \"first\"\nplugin = \"echo\"\n\
                        [[step]]\nname = \"second\"\nplugin = \"echo\"\nneeds = [\"first\"]\n";

/// An installation's servers, and a folder.
struct Ground {
    postgres: PrivatePostgres,
    redis: PrivateRedis,
    folder: PathBuf,
}

/// A program that runs in its place.
struct Running {
    program: Program,
    /// For its port in its container, one of this machine.
    ports: BTreeMap<u16, u16>,
    process: Process,
}

impl Ground {
    fn new(name: &str) -> Result<Self> {
        let folder = binary::programs()?.join("tests").join(format!("{name}-{}", std::process::id()));
        let postgres = PrivatePostgres::start(&folder.join("postgres"))?;
        Database::new(&postgres.url())?.execute("create database pawl")?;
        let redis = PrivateRedis::start(&folder.join("redis"))?;
        Ok(Self { postgres, redis, folder })
    }

    /// What stands for a container's names and ports on this machine.
    fn translated(&self, text: &str, ports: &BTreeMap<u16, u16>) -> String {
        let mut text = text.replace("@postgres:5432/", &format!("@127.0.0.1:{}/", self.postgres.port()));
        text = text.replace("redis://redis:6379/", &self.redis.url());
        for (inside, here) in ports {
            text = text.replace(&format!("0.0.0.0:{inside}"), &format!("127.0.0.1:{here}"));
            text = text.replace(&format!("127.0.0.1:{inside}"), &format!("127.0.0.1:{here}"));
        }
        text
    }

    fn command(
        &self,
        program: &Program,
        ports: &BTreeMap<u16, u16>,
        words: &[String],
    ) -> Result<std::process::Command> {
        // Nothing is written beside the program: its folder is empty, and stays so.
        let place = self.folder.join("places").join(program.name.replace('/', "-"));
        std::fs::create_dir_all(&place)?;
        let mut command = binary::pawl()?;
        // Nor is anything else of this machine's settings its own.
        command.env_remove("PAWL_RUN_AHEAD").env("HOME", "/nonexistent").current_dir(&place);
        command.args(words.iter().map(|word| self.translated(word, ports)));
        // Where a client looks, if nothing is said.
        command.env("PAWL_API_URL", self.translated("http://127.0.0.1:7340", ports));
        for (variable, value) in &program.environment {
            command.env(variable, self.translated(value, ports));
        }
        for (path, text) in &program.files {
            let file = self.folder.join("files").join(path.trim_start_matches('/'));
            std::fs::create_dir_all(file.parent().context("a folder")?)?;
            std::fs::write(&file, self.translated(text, ports))?;
            for (variable, _) in program.environment.iter().filter(|(_, value)| *value == path) {
                command.env(variable, &file);
            }
        }
        // A volume there; components are compiled once for all tests.
        ensure!(program.environment["PAWL_CACHE_DIR"] == "/var/cache/pawl", "the image says where compiled ones lie");
        command.env("PAWL_CACHE_DIR", self.folder.parent().context("a folder")?.join("component-cache"));
        Ok(command)
    }

    fn start(&self, program: &Program, number: u64) -> Result<Running> {
        let ports = BTreeMap::from([(API_PORT, free_port()?), (WORKER_PORT, free_port()?)]);
        let command = self.command(program, &ports, &program.words)?;
        let log = self.folder.join("logs").join(format!("{}-{number}.log", program.name.replace('/', "-")));
        let process = Process::spawn(program.name.clone(), command, &log)?;
        Ok(Running { program: program.clone(), ports, process })
    }

    fn all(&self, programs: &[Program], is_wanted: impl Fn(&Program) -> bool) -> Result<Vec<Running>> {
        let wanted = programs.iter().filter(|it| is_wanted(it));
        wanted.flat_map(|it| (0..it.copies).map(move |number| self.start(it, number))).collect()
    }

    /// Whether one of its probes is answered as it should be now.
    fn answers(&self, running: &mut Running, probe: &Probe) -> Result<bool> {
        running.process.ensure_running()?;
        match probe {
            Probe::Words(words) => {
                Ok(self.command(&running.program, &running.ports, words)?.output()?.status.success())
            }
            Probe::Get(path, port) => {
                let client = Client::new(format!("http://127.0.0.1:{}", running.ports[port]))?;
                Ok(client.get(path).is_ok_and(|answer| answer.status == 200))
            }
        }
    }

    fn until_healthy(&self, all: &mut [Running]) -> Result<()> {
        for running in all {
            ensure!(!running.program.probes.is_empty(), "{} is asked for its health", running.program.name);
            for probe in running.program.probes.clone() {
                let what = format!("{} to answer {probe:?}", running.program.name);
                wait::until_true(bounds::PROCESS, &what, || self.answers(running, &probe))?;
            }
        }
        Ok(())
    }

    /// `pawl` as a person at the API uses it.
    fn pawl(&self, api: &Running, words: &[&str]) -> Result<String> {
        let mut command = binary::pawl()?;
        command.args(words).env("PAWL_API_URL", api.url(API_PORT)).env("PAWL_API_TOKEN", API_TOKEN);
        let output = command.current_dir(&self.folder).output()?;
        binary::succeeded(words, output)
    }

    fn prepare(&self, api: &Running) -> Result<()> {
        let component = binary::component_file("echo")?.display().to_string();
        ensure!(binary::component_file("echo")?.is_file(), "{component} is missing: run `make guests`");
        self.pawl(api, &["plugin", "push", &component, "--name", "echo", "--version", "1"])?;
        std::fs::write(self.folder.join("pipeline.toml"), PIPELINE)?;
        self.pawl(api, &["pipeline", "apply", "pipeline.toml"]).map(drop)
    }

    /// Ends everything as it is ended there: politely, and in the time that it has.
    fn end(self, all: Vec<Running>) -> Result<()> {
        for mut running in all {
            let status = running.process.terminate(running.program.stop)?;
            ensure!(status.success(), "{} ended with {status}", running.program.name);
        }
        for place in std::fs::read_dir(self.folder.join("places"))? {
            let place = place?.path();
            ensure!(std::fs::read_dir(&place)?.next().is_none(), "something was written into {}", place.display());
        }
        let folder = self.folder.clone();
        drop(self);
        Ok(std::fs::remove_dir_all(folder)?)
    }
}

impl Running {
    fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{}", self.ports[&port])
    }

    fn get(&self, port: u16, path: &str) -> Result<String> {
        let client = Client::new(self.url(port))?;
        let authorization = format!("Bearer {API_TOKEN}");
        let answer = block_on(client.send("GET", path, &[("authorization", &authorization)], Vec::new()))?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(String::from_utf8(answer.body)?)
    }

    /// Waits for its end, which must be a good one.
    fn ended(&mut self) -> Result<()> {
        let status =
            self.process.wait(bounds::PROCESS)?.with_context(|| format!("{} does not end", self.program.name))?;
        ensure!(status.success(), "{} ended with {status}: {}", self.program.name, self.said()?);
        Ok(())
    }

    fn said(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.process.log())?)
    }
}

fn is(role: &'static str) -> impl Fn(&Program) -> bool {
    move |it| !it.is_before && it.words.first().is_some_and(|word| word == role)
}

#[test]
fn what_the_compose_file_starts_carries_out_a_run() -> Result<()> {
    let (mut ground, programs) = (Ground::new("deployed_compose")?, deployed::compose()?);
    for mut migrate in ground.all(&programs, |it| it.is_before)? {
        migrate.ended()?;
    }
    let mut api = ground.all(&programs, is("api"))?;
    ground.until_healthy(&mut api)?;
    let mut workers = ground.all(&programs, is("worker"))?;
    ground.until_healthy(&mut workers)?;
    assert_eq!((api.len(), workers.len()), (1, 2));

    ground.prepare(&api[0])?;
    let output = ground.pawl(&api[0], &["run", "submit", "pair", "--input", "{\"a\": 1}", "--wait"])?;
    ensure!(output.contains("\"a\""), "{output}");
    // Prometheus has the same token, and reads the same ports.
    for (running, port, figure) in [(&api[0], API_PORT, "pawl_workers"), (&workers[0], WORKER_PORT, "pawl_slots_free")]
    {
        let told = Scrape::parse(&running.get(port, "/metrics")?)?;
        ensure!(told.sum(figure, &[]) >= 2.0, "{figure} of {}", running.program.name);
    }
    let said = workers[0].said()?;
    ensure!(said.lines().any(|line| line.starts_with('{') && line.contains("the worker is ready")), "JSON: {said}");
    ensure!(!said.contains(POSTGRES_PASSWORD) && !said.contains(API_TOKEN), "{said}");

    // Without its queue the API is not ready, and the worker keeps its lease.
    let healths = [&api[0], &workers[0]].map(|it| it.program.probes[0].clone());
    ground.redis.stop();
    wait::until_true(bounds::PROCESS, "the API to miss its queue", || Ok(!ground.answers(&mut api[0], &healths[0])?))?;
    ensure!(ground.answers(&mut workers[0], &healths[1])?, "it takes what comes when the queue is back");
    ground.redis.launch()?;
    workers.append(&mut api);
    ground.until_healthy(&mut workers)?;
    ground.end(workers)
}

#[test]
fn what_the_manifests_start_carries_out_a_run_and_tells_the_autoscalers() -> Result<()> {
    let (ground, manifests) = (Ground::new("deployed_manifests")?, deployed::manifests("keda")?);
    let programs = deployed::kubernetes(&manifests)?;
    // Pods and the Job begin at the same time: they wait for its work.
    let is_job = |it: &Program| it.is_before && it.words == ["migrate"];
    let mut waiting = ground.all(&programs, |it| it.is_before && !is_job(it))?;
    assert_eq!(waiting.len(), 3, "of two APIs and, as no autoscaler has spoken, one worker");
    for pod in &mut waiting {
        wait::until(bounds::PROCESS, "a pod to wait for the schema", || {
            pod.process.ensure_running()?;
            let said = pod.said()?;
            Ok(if said.contains("for the schema") { Look::Done(()) } else { Look::NotYet(said) })
        })?;
    }
    for mut job in ground.all(&programs, is_job)? {
        job.ended()?;
    }
    for pod in &mut waiting {
        pod.ended()?;
    }

    let mut api = ground.all(&programs, is("api"))?;
    ground.until_healthy(&mut api)?;
    ground.prepare(&api[0])?;
    for number in 0..5 {
        ground.pawl(&api[1], &["run", "submit", "pair", "--input", &number.to_string()])?;
    }
    let trigger = trigger(&manifests)?;
    let wanted = |api: &Running| -> Result<Value> {
        let told: Value = serde_json::from_str(&api.get(API_PORT, &trigger.path)?)?;
        Ok(told.pointer(&trigger.pointer).with_context(|| format!("{} in {told}", trigger.pointer))?.clone())
    };
    wait::until(bounds::PROCESS, "five steps to be wanted", || {
        let wanted = wanted(&api[0])?;
        Ok(if wanted == 5 { Look::Done(()) } else { Look::NotYet(wanted.to_string()) })
    })?;
    let told = Scrape::parse(&api[0].get(API_PORT, "/metrics")?)?;
    let (figure, queue) = external_metric(&deployed::manifests("hpa")?)?;
    assert_eq!(told.sum(&figure, &[("queue", queue.as_str())]), 5.0, "the other autoscaler is told the same");

    let mut workers = ground.all(&programs, is("worker"))?;
    ground.until_healthy(&mut workers)?;
    wait::until(bounds::RUN, "all to have succeeded", || {
        let ended = ground.pawl(&api[0], &["run", "list", "--status", "succeeded", "-o", "ids"])?;
        Ok(if ended.lines().count() == 5 { Look::Done(()) } else { Look::NotYet(ended) })
    })?;
    wait::until(bounds::RUN, "nothing to be wanted any more", || {
        let left = wanted(&api[0])?;
        Ok(if left == 0 { Look::Done(()) } else { Look::NotYet(left.to_string()) })
    })?;
    workers.append(&mut api);
    ground.end(workers)
}

/// What KEDA asks.
struct Trigger {
    path: String,
    /// Where the number stands.
    pointer: String,
}

fn the<'a>(manifests: &'a [Value], kind: &str) -> Result<&'a Value> {
    manifests.iter().find(|it| it["kind"] == kind).with_context(|| format!("there is a {kind}"))
}

fn trigger(manifests: &[Value]) -> Result<Trigger> {
    let metadata = &the(manifests, "ScaledObject")?["spec"]["triggers"][0]["metadata"];
    let url = metadata["url"].as_str().context("a URL")?;
    let service = the(manifests, "Service")?;
    let (name, namespace) = (&service["metadata"]["name"], &service["metadata"]["namespace"]);
    let host = format!("http://{}.{}.svc:{}", text(name)?, text(namespace)?, service["spec"]["ports"][0]["port"]);
    let Some(path) = url.strip_prefix(&host) else { bail!("{url} is not at the Service, {host}") };
    let place = text(&metadata["valueLocation"])?.replace('.', "/");
    Ok(Trigger { path: path.to_owned(), pointer: format!("/{place}") })
}

fn external_metric(manifests: &[Value]) -> Result<(String, String)> {
    let metric = &the(manifests, "HorizontalPodAutoscaler")?["spec"]["metrics"][0]["external"]["metric"];
    Ok((text(&metric["name"])?.to_owned(), text(&metric["selector"]["matchLabels"]["queue"])?.to_owned()))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("text")
}

/// The one rollout that matters: a schema that is newer than a process, which goes on serving until its successor does.
#[test]
fn a_process_stays_ready_while_the_next_version_brings_the_schema_up_to_date() -> Result<()> {
    let (ground, programs) = (Ground::new("deployed_rollout")?, deployed::compose()?);
    for mut migrate in ground.all(&programs, |it| it.is_before)? {
        migrate.ended()?;
    }
    let mut all = ground.all(&programs, |it| !it.is_before)?;
    ground.until_healthy(&mut all)?;
    let database = Database::new(&ground.postgres.database_url("pawl"))?;
    database.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (99990101, 'of the next version', true, '', 0)",
    )?;
    for running in &mut all {
        let probe = running.program.probes[0].clone();
        ensure!(ground.answers(running, &probe)?, "{} is still ready", running.program.name);
    }
    // It says itself which builds still work with it, and this one is none of them any more.
    database.execute("update works_with set oldest = 99990101")?;
    let api = all.iter_mut().find(|it| it.program.name == "api").context("the API")?;
    let probe = api.program.probes[0].clone();
    ensure!(!ground.answers(api, &probe)?, "it works with that schema no more, and says so");
    let waits = Program { words: ["migrate", "--wait", "1s"].map(str::to_owned).to_vec(), ..all[0].program.clone() };
    let mut late = ground.start(&waits, 9)?;
    let status = late.process.wait(bounds::PROCESS)?.context("it ends")?;
    ensure!(!status.success() && late.said()?.contains("use a newer pawl"), "{}", late.said()?);

    database.execute("delete from _sqlx_migrations where version = 99990101; update works_with set oldest = 25")?;

    // An older one lacks what it calls.
    let api = all.iter_mut().find(|it| it.program.name == "api").context("the API")?;
    let probe = api.program.probes[0].clone();
    let newest = "select * from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    database.execute(&format!(
        "create table kept as {newest}; delete from _sqlx_migrations using kept \
                               where _sqlx_migrations.version = kept.version"
    ))?;
    ensure!(!ground.answers(api, &probe)?, "its schema is older");
    database.execute("insert into _sqlx_migrations select * from kept; drop table kept")?;
    ensure!(ground.answers(api, &probe)?, "and its own again");
    ground.end(all)
}

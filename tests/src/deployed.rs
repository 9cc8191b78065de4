//! What the files of `deploy/` start, as Docker Compose and Kubernetes read them: programs with their words, their
//! environment and files, how they are asked for health, and how long they have to end. Compose and kubectl themselves read
//! the files and hold them against their schemas; no container is made of it. The tools come with `.ci/setup test`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::binary;

/// What a person gives: passwords of the compose file, and the Secret of the manifests.
pub const POSTGRES_PASSWORD: &str = "s3cret0fP0stgres";
/// The token of the API.
pub const API_TOKEN: &str = "s3cret0fTheApi";

/// Folders with a kustomization.
pub const KUSTOMIZATIONS: [&str; 3] = ["base", "hpa", "keda"];

/// The program of the image, in the image.
const PROGRAM: &str = "/usr/local/bin/pawl";

/// A container that runs `pawl`.
#[derive(Debug, Clone)]
pub struct Program {
    /// For example `api` or `pawl-api/wait-for-schema`.
    pub name: String,
    /// What follows the program's name on its command line.
    pub words: Vec<String>,
    /// Whether it has to end before the next of its pod begins.
    pub is_before: bool,
    /// All of it, that of the image included.
    pub environment: BTreeMap<String, String>,
    /// Settings files, by their path in the container.
    pub files: BTreeMap<String, String>,
    /// How its health is asked for.
    pub probes: Vec<Probe>,
    /// The memory that it may take.
    pub memory_bytes: u64,
    /// How many of it there are.
    pub copies: u64,
    /// How long it has from SIGTERM to its end.
    pub stop: Duration,
}

/// A question that is answered with success.
#[derive(Debug, Clone)]
pub enum Probe {
    /// `pawl` with these words ends with 0.
    Words(Vec<String>),
    /// This path at this port gives 200.
    Get(String, u16),
}

/// The last stage of the Dockerfile.
#[derive(Debug)]
pub struct Image {
    /// Its instructions, in their order.
    pub instructions: Vec<(String, String)>,
}

/// Where a tool of `.ci/setup test` is.
///
/// # Errors
/// If it is not installed.
pub fn tool(name: &str) -> Result<PathBuf> {
    let file = binary::repository().join(".pawl/deploy/bin").join(name);
    ensure!(file.is_file(), "{} is missing: run `.ci/setup test`", file.display());
    Ok(file)
}

/// What a tool prints that must succeed, in the root of the repository.
///
/// # Errors
/// If it doesn't, with what it says.
pub fn said(command: &mut Command) -> Result<String> {
    let output = command.current_dir(binary::repository()).stdin(Stdio::null()).output()?;
    told(command, output)
}

fn told(command: &Command, Output { status, stdout, stderr }: Output) -> Result<String> {
    let stderr = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "{} ended with {status}: {stderr}", command.get_program().display());
    Ok(String::from_utf8(stdout)?)
}

impl Image {
    /// Reads the Dockerfile.
    ///
    /// # Errors
    /// If it is none.
    pub fn read() -> Result<Self> {
        let text = std::fs::read_to_string(binary::repository().join("deploy/Dockerfile"))?;
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let whole = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
        let (_, last) = whole.rsplit_once("\nFROM ").context("a stage")?;
        let instruction = |line: &str| {
            let (name, rest) = line.trim().split_once(char::is_whitespace)?;
            Some((name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        let from = ("FROM".to_owned(), last.lines().next().unwrap_or_default().to_owned());
        let instructions = std::iter::once(from).chain(last.lines().skip(1).filter_map(instruction)).collect();
        Ok(Self { instructions })
    }

    /// What stands after an instruction that is there once.
    ///
    /// # Errors
    /// If it is not there, or more than once.
    pub fn the(&self, name: &str) -> Result<&str> {
        let mut found = self.instructions.iter().filter(|(known, _)| known == name);
        match (found.next(), found.next()) {
            (Some((_, rest)), None) => Ok(rest),
            _ => bail!("the image has no {name}, or several"),
        }
    }

    /// The words of the health check.
    ///
    /// # Errors
    /// If there is none in the form of a list.
    pub fn health(&self) -> Result<Vec<String>> {
        let (_, words) = self.the("HEALTHCHECK")?.split_once("CMD ").context("a command")?;
        Ok(serde_json::from_str(words)?)
    }

    /// Its environment.
    ///
    /// # Errors
    /// If there is none.
    pub fn environment(&self) -> Result<BTreeMap<String, String>> {
        let pairs = self.the("ENV")?.split(' ').filter_map(|pair| pair.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// The words after the program's name.
fn after_program(words: &[String]) -> Result<Vec<String>> {
    match words.split_first() {
        Some((program, words)) if program == PROGRAM => Ok(words.to_vec()),
        _ => bail!("{words:?} does not begin with {PROGRAM}"),
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|it| Some(it.as_str()?.to_owned())).collect()
}

/// `45s`, `1m`, `1m30s`: as Compose writes times.
fn time(text: &str) -> Result<Duration> {
    let (minutes, seconds) = match text.split_once('m') {
        Some((minutes, seconds)) => (minutes.parse()?, seconds),
        None => (0, text),
    };
    let seconds: u64 = match seconds.strip_suffix('s') {
        Some(seconds) => seconds.parse()?,
        None => 0,
    };
    Ok(Duration::from_secs(60 * minutes + seconds))
}

/// `512Mi`, `1Gi`: as Kubernetes writes sizes.
fn size(text: &str) -> Result<u64> {
    let (number, shift) = match (text.strip_suffix("Mi"), text.strip_suffix("Gi")) {
        (Some(number), _) => (number, 20),
        (_, Some(number)) => (number, 30),
        _ => bail!("{text} is no size in Mi or Gi"),
    };
    Ok(number.parse::<u64>()? << shift)
}

/// All of compose.yaml, as Compose understands it.
///
/// # Errors
/// If Compose refuses it.
pub fn compose_file() -> Result<Value> {
    let mut command = Command::new(tool("docker-compose")?);
    command.args(["--env-file", "/dev/null", "--file", "deploy/compose.yaml", "config", "--format", "json"]);
    command.env("POSTGRES_PASSWORD", POSTGRES_PASSWORD).env("PAWL_API_TOKEN", API_TOKEN);
    Ok(serde_json::from_str(&said(&mut command)?)?)
}

/// The services of compose.yaml that run the image.
///
/// # Errors
/// If Compose refuses it, or something of it is missing.
pub fn compose() -> Result<Vec<Program>> {
    let (file, image) = (compose_file()?, Image::read()?);
    let services = file["services"].as_object().context("services")?;
    let ours = services.iter().filter(|(_, service)| service["image"] == "pawl");
    let program = |(name, service): (&String, &Value)| -> Result<Program> {
        let mut environment = image.environment()?;
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            environment.insert(variable.clone(), value.as_str().context("a value")?.to_owned());
        }
        let check = &service["healthcheck"];
        let health = match (check["disable"].as_bool(), check["test"].as_array()) {
            (Some(true), _) => None,
            (_, None) => Some(image.health()?),
            (_, Some(_)) => Some(texts(&check["test"]).split_off(1)),
        };
        let health = health.map(|words| Ok::<_, anyhow::Error>(Probe::Words(after_program(&words)?))).transpose()?;
        Ok(Program {
            name: name.clone(),
            words: texts(&service["command"]),
            is_before: service["restart"] == "on-failure",
            environment,
            files: BTreeMap::new(),
            probes: health.into_iter().collect(),
            memory_bytes: service["mem_limit"].as_str().map_or(Ok(u64::MAX), str::parse)?,
            copies: service["deploy"]["replicas"].as_u64().unwrap_or(1),
            stop: time(service["stop_grace_period"].as_str().unwrap_or("10s"))?,
        })
    };
    let mut programs = ours.map(program).collect::<Result<Vec<_>>>()?;
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

/// The manifests of a folder of deploy/kubernetes, each held against the schema of its kind.
///
/// # Errors
/// If kubectl or a schema refuses one.
pub fn manifests(folder: &str) -> Result<Vec<Value>> {
    let folder = Path::new("deploy/kubernetes").join(folder);
    let built = said(Command::new(tool("kubectl")?).arg("kustomize").arg(&folder))?;
    checked(&built).with_context(|| folder.display().to_string())
}

/// The same of manifests in YAML.
///
/// # Errors
/// If a schema refuses one.
pub fn checked(manifests: &str) -> Result<Vec<Value>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), manifests)?;
    let mut command = Command::new(tool("python")?);
    command.arg("tests/fixtures/deploy/manifests.py").current_dir(binary::repository()).stdin(file.reopen()?);
    let output = command.output()?;
    Ok(serde_json::from_str(&told(&command, output)?)?)
}

/// What is in the Secret that docs/deploy.md has people make.
fn secret(key: &str) -> Result<String> {
    Ok(match key {
        "database-url" => format!("postgres://pawl:{POSTGRES_PASSWORD}@postgres:5432/pawl"),
        "redis-url" => "redis://redis:6379/".to_owned(),
        "api-token" => API_TOKEN.to_owned(),
        _ => bail!("the Secret has no {key}"),
    })
}

/// The containers of some manifests, in the order in which the kinds are started.
///
/// # Errors
/// If something of them is missing.
pub fn kubernetes(manifests: &[Value]) -> Result<Vec<Program>> {
    let image = Image::read()?;
    let mut programs = Vec::new();
    for workload in manifests.iter().filter(|it| it["spec"]["template"].is_object()) {
        let (pod, name) =
            (&workload["spec"]["template"]["spec"], workload["metadata"]["name"].as_str().context("a name")?);
        let is_job = workload["kind"] == "Job";
        for (containers, is_before) in [("initContainers", true), ("containers", is_job)] {
            for container in pod[containers].as_array().into_iter().flatten() {
                let mut program = of_container(manifests, pod, container, &image)?;
                program.name = format!("{name}/{}", container["name"].as_str().context("a name")?);
                program.is_before = is_before;
                program.copies = workload["spec"]["replicas"].as_u64().unwrap_or(1);
                programs.push(program);
            }
        }
    }
    Ok(programs)
}

fn of_container(manifests: &[Value], pod: &Value, container: &Value, image: &Image) -> Result<Program> {
    let mut environment = image.environment()?;
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().context("a name")?.to_owned();
        let value = match variable["valueFrom"]["secretKeyRef"]["key"].as_str() {
            Some(key) => secret(key)?,
            None => variable["value"].as_str().context("a value")?.to_owned(),
        };
        environment.insert(name, value);
    }
    let mut probes = Vec::new();
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        let Some(path) = get["path"].as_str() else { continue };
        let ports = container["ports"].as_array().context("ports")?;
        let port = ports.iter().find(|port| port["name"] == get["port"]).context("the port of a probe has a name")?;
        probes.push(Probe::Get(path.to_owned(), u16::try_from(port["containerPort"].as_u64().context("a port")?)?));
    }
    let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0);
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    Ok(Program {
        name: String::new(),
        words: texts(&container["args"]),
        is_before: false,
        environment,
        files: mounted(manifests, pod, container)?,
        probes,
        memory_bytes: size(container["resources"]["limits"]["memory"].as_str().context("a limit of memory")?)?,
        copies: 1,
        stop: Duration::from_secs(grace - pause),
    })
}

/// What ConfigMaps put into a container, by paths.
fn mounted(manifests: &[Value], pod: &Value, container: &Value) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
        let volumes = pod["volumes"].as_array().context("volumes")?;
        let volume = volumes.iter().find(|it| it["name"] == mount["name"]).context("a mount has its volume")?;
        let Some(name) = volume["configMap"]["name"].as_str() else { continue };
        let map = manifests.iter().find(|it| it["kind"] == "ConfigMap" && it["metadata"]["name"] == name);
        for (file, text) in map.context("the ConfigMap is there")?["data"].as_object().into_iter().flatten() {
            let path = format!("{}/{file}", mount["mountPath"].as_str().context("a path")?);
            files.insert(path, text.as_str().context("text")?.to_owned());
        }
    }
    Ok(files)
}

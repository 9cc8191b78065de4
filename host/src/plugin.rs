//! `pawl plugin`: build components, push, list, activate them and go back.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pawl_api::types::{ActivatePlugin, ActivatedPlugin, PluginDetail, PluginList, PushedPlugin, Standing};
use pawl_base::tell;

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::busy::Busy;
use super::exit::{End, usage};
use super::output::{Answer, Output, Table, ago, or_dash, print, size};
use super::plugin_build;
use super::plugin_new::{self, New};
use super::plugin_sign::{self, Sign};
use super::plugin_test::{self, SOON, Test, compiling};
use super::project::{self, Project};
use super::settings::Settings;

/// Verbs of `pawl plugin`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Begin a plugin: a step that builds, a pipeline with it, and how to go on
    #[command(
        after_help = "In a project (a folder with pawl.toml, plugins/ or pipelines/) it goes to plugins/NAME, and its \
                            pipeline to pipelines/NAME.toml, where `pawl dev` finds them.\n\n\
                            Examples:\n  pawl plugin new hello\n  pawl plugin new hello --lang python"
    )]
    New(New),
    /// Make components of plugins in Rust, Python or JavaScript
    #[command(
        after_help = "Examples:\n  pawl plugin build    # in a plugin's folder, or in the project's: all in its plugins/\n  \
                            pawl plugin build plugins/echo -o echo.wasm\n  \
                            pawl plugin build plugins --out-dir components"
    )]
    Build(Build),
    /// Bring the SDK that plugins in Rust have in their repositories up to date
    #[command(after_help = "Examples:\n  pawl plugin update\n  pawl plugin update plugins/echo")]
    Update {
        /// Plugins, or folders of several [default: the plugin in this folder, or all of the project]
        #[arg(value_name = "DIR")]
        folders: Vec<PathBuf>,
    },
    /// Execute a component once, outside any server, and let it crash on the way
    #[command(after_help = "Requests are really sent, also once more after a crash.\n\nExamples:\n  \
                            pawl plugin test target/plugins/batch.wasm --input '{\"items\": 5}'\n  \
                            pawl plugin test target/plugins/batch.wasm --input @job.json --crash-at 3\n  \
                            pawl plugin test target/plugins/batch.wasm --input @job.json --crash-everywhere\n  \
                            pawl plugin test target/plugins/batch.wasm --input @job.json --attempts 3")]
    Test(Test),
    /// Store a component and make it its plugin's active version
    #[command(after_help = "Example:\n  pawl plugin push target/plugins/echo.wasm --version 1.2.0")]
    Push(Push),
    /// Sign a component, for installations that let in only what is signed
    #[command(after_help = "The other half of the key belongs into the file that the API's `trusted_keys` names.\n\n\
                            Examples:\n  openssl genpkey -algorithm ed25519 -out signing.pem\n  \
                            openssl pkey -in signing.pem -pubout >> trusted.pem\n  \
                            pawl plugin sign target/plugins/echo.wasm --key signing.pem\n  \
                            pawl plugin push target/plugins/echo.wasm --signature target/plugins/echo.wasm.sig")]
    Sign(Sign),
    /// Plugins and their versions
    List {
        #[command(flatten)]
        output: Output,
    },
    /// A plugin's versions and what keeps each, and the pipelines that use it
    Show {
        /// The plugin's name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Make a pushed version the active one; steps that have begun keep theirs
    #[command(after_help = "Example:\n  pawl plugin activate echo@1.1.0")]
    Activate {
        /// For example echo@1.1.0
        #[arg(value_name = "NAME@VERSION")]
        plugin: String,
        /// Of the component, as `pawl plugin sign` has written it, for installations that let in only some
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Go back in history: make the version active again that was so before this one
    #[command(after_help = "Example:\n  pawl plugin rollback echo")]
    Rollback {
        /// The plugin's name
        name: String,
        /// Of the component, as `pawl plugin sign` has written it, for installations that let in only some
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
}

/// Arguments of `pawl plugin build`.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// Folders with a Cargo.toml, pyproject.toml or package.json, or folders of several such [default: the plugin in this folder,
    /// or all of the project]
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Where the component of a single plugin goes [default: target/plugins/NAME.wasm]
    #[arg(short = 'o', long, value_name = "FILE", conflicts_with = "out_dir")]
    out: Option<PathBuf>,
    /// Where components go, as NAME.wasm
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
}

/// Arguments of `pawl plugin push`.
#[derive(Debug, Args)]
pub(super) struct Push {
    /// A component (.wasm)
    file: PathBuf,
    /// The plugin's name [default: what the component says]
    #[arg(long)]
    name: Option<String>,
    /// The version [default: what the component says]
    #[arg(long = "version", value_name = "V")]
    version: Option<String>,
    /// Store it without making it the active version
    #[arg(long)]
    no_activate: bool,
    /// Of the component, as `pawl plugin sign` has written it, for installations that let in only some
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Verb {
    /// Whether it is about the sources of plugins, which lie where `pawl dev` looks.
    pub(super) fn is_about_sources(&self) -> bool {
        matches!(self, Self::New(_) | Self::Build(_) | Self::Update { .. })
    }
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, settings: &Settings) -> anyhow::Result<()> {
    match verb {
        Verb::New(new) => plugin_new::run(&new, Project::here(settings).as_ref())?,
        // They compute for long, on a thread of their own: this one hears the signal that ends them.
        Verb::Build(mut build) => {
            build.folders = project::folders(&build.folders, settings)?;
            spawn_blocking(move || self::build(&build)).await??;
        }
        Verb::Update { folders } => {
            project::folders(&folders, settings)?.iter().try_for_each(|folder| update(folder))?
        }
        Verb::Test(test) => {
            let settings = settings.clone();
            spawn_blocking(move || plugin_test::run(&test, &settings)).await??;
        }
        Verb::Sign(sign) => plugin_sign::run(&sign)?,
        Verb::Push(push) => {
            let bytes = read_component(&push.file)?;
            let signature = plugin_sign::read(push.signature.as_deref())?;
            let client = settings.reach().await?;
            let what = compiling(&push.file.display().to_string(), bytes.len() as u64);
            let busy = Busy::with(what, SOON);
            let pushed = client
                .push_signed(
                    bytes,
                    push.name.as_deref(),
                    push.version.as_deref(),
                    !push.no_activate,
                    signature.as_ref(),
                )
                .await
                .with_context(|| format!("{} was not pushed", push.file.display()))?;
            drop(busy);
            push.output.print(&pushed)?;
        }
        Verb::List { output } => output.print(&settings.client()?.get::<PluginList>(&["v1", "plugins"], &[]).await?)?,
        Verb::Show { name, output } => {
            output.print(&settings.client()?.get::<PluginDetail>(&["v1", "plugins", &name], &[]).await?)?;
        }
        Verb::Activate { plugin, signature, output } => {
            let Some((name, version)) = plugin.split_once('@') else {
                return Err(usage(format!("`{plugin}` names no version; write NAME@VERSION, see `pawl plugin list`")));
            };
            let body = ActivatePlugin { version: version.to_owned() };
            let path = ["v1", "plugins", name, "activate"];
            let signature = plugin_sign::read(signature.as_deref())?;
            let client = settings.client()?;
            output.print(&client.post_signed::<ActivatedPlugin>(&path, &body, signature.as_ref()).await?)?;
        }
        Verb::Rollback { name, signature, output } => {
            let path = ["v1", "plugins", &name, "rollback"];
            let empty = serde_json::json!({});
            let signature = plugin_sign::read(signature.as_deref())?;
            let client = settings.client()?;
            let gone_back = client.post_signed::<ActivatedPlugin>(&path, &empty, signature.as_ref()).await?;
            output.print(&RolledBack(gone_back))?;
        }
    }
    Ok(())
}

/// The bytes of a component's file.
pub(super) fn read_component(file: &Path) -> anyhow::Result<Vec<u8>> {
    if plugin_build::is_source(file) {
        let (folder, name) = (file.display(), plugin_build::name_of(file).unwrap_or_else(|| "NAME".to_owned()));
        let made = file.join("target/plugins").join(format!("{name}.wasm"));
        return Err(usage(format!(
            "{folder} is a plugin's source: `pawl plugin build {folder}` makes its component, {}",
            made.display()
        )));
    }
    std::fs::read(file).with_context(|| End::Usage(format!("can't read the component {}", file.display())))
}

/// Builds, and prints where the components are.
fn build(build: &Build) -> anyhow::Result<()> {
    let built = match (&build.out, build.folders.as_slice()) {
        (Some(out), [folder]) => vec![plugin_build::build(folder, Some(out))?],
        (Some(_), _) => return Err(usage("-o takes the component of one plugin; for several use --out-dir")),
        (None, folders) => plugin_build::build_many(folders, plugin_build::Purpose::Release)?,
    };
    let of_another = |folder: &&PathBuf| plugin_build::Sdk::of(folder).is_some_and(|sdk| !sdk.is_current());
    for folder in build.folders.iter().filter(of_another) {
        tell!("{}: its SDK is not the one of this build; `pawl plugin update` writes that", folder.display());
    }
    for component in built {
        let file = match &build.out_dir {
            Some(folder) => copy(&component.path, folder)?,
            None => component.path,
        };
        tell!("{} ({}, {})", component.name, size(component.size_bytes), component.target);
        tell!("  asks the host for {}", asked(&component.imports));
        print(&file.display().to_string())?;
    }
    Ok(())
}

/// Brings a plugin's SDK up to date, and prints where it is.
fn update(folder: &Path) -> anyhow::Result<()> {
    if !plugin_build::is_source(folder) {
        return Err(usage(format!("there is no plugin in {}; `pawl plugin new` makes one", folder.display())));
    }
    match plugin_build::update_sdk(folder)? {
        Some(sdk) => {
            tell!("{}: its SDK is up to date; commit it with the plugin", folder.display());
            Ok(print(&sdk.display().to_string())?)
        }
        None => {
            tell!("{}: nothing to do, it has no SDK of its own", folder.display());
            Ok(())
        }
    }
}

/// The interfaces of Pawl by name, and how many of WASI, which is what a language's runtime wants.
fn asked(imports: &[String]) -> String {
    let name = |import: &String| Some(import.strip_prefix("pawl:step/")?.split('@').next()?.to_owned());
    let mut names: Vec<_> = imports.iter().filter_map(name).collect();
    let wasi = imports.len() - names.len();
    // Types are nothing that is asked for.
    names.retain(|name| name != "types");
    match wasi {
        0 => {}
        wasi => names.push(format!("{wasi} interfaces of WASI")),
    }
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Copies a file into a folder, unless it is there already.
fn copy(file: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
    let target = folder.join(file.file_name().context("a component has a name")?);
    if target.canonicalize().ok() != file.canonicalize().ok() {
        std::fs::copy(file, &target).with_context(|| format!("can't write {}", target.display()))?;
    }
    Ok(target)
}

impl Answer for PushedPlugin {
    fn ids(&self) -> Vec<String> {
        vec![format!("{}@{}", self.name, self.version)]
    }

    fn text(&self) -> String {
        let what = if self.created { "stored" } else { "was there before" };
        let active = if self.active { "active" } else { "not active" };
        let (size, digest) = (size(self.size_bytes), self.digest.short());
        format!("{}@{} {what}, {active} ({size}, component {digest})", self.name, self.version)
    }
}

/// A version that is active again.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct RolledBack(ActivatedPlugin);

impl Answer for RolledBack {
    fn ids(&self) -> Vec<String> {
        self.0.ids()
    }

    fn text(&self) -> String {
        let from = self.0.previous.as_deref().map(|previous| format!("; it went back from {previous}"));
        format!("{}@{} is active again{}", self.0.name, self.0.version, from.unwrap_or_default())
    }
}

impl Answer for ActivatedPlugin {
    fn ids(&self) -> Vec<String> {
        vec![format!("{}@{}", self.name, self.version)]
    }

    fn text(&self) -> String {
        let back = match &self.previous {
            Some(previous) if *previous != self.version => format!(" (before: {previous})"),
            _ => String::new(),
        };
        format!("{}@{} is active{back}", self.name, self.version)
    }
}

impl Answer for PluginDetail {
    fn ids(&self) -> Vec<String> {
        self.versions.iter().map(|version| format!("{}@{}", self.name, version.version)).collect()
    }

    fn text(&self) -> String {
        let mut versions = Table::new(["VERSION", "KEPT AS", "OPEN RUNS", "COMPONENT", "SIZE", "PUSHED"]);
        for version in &self.versions {
            let more = if self.more_runs && version.open_runs > 0 { "+" } else { "" };
            versions.row([
                version.version.clone(),
                kept_as(version.standing).to_owned(),
                format!("{}{more}", version.open_runs),
                version.digest.short(),
                size(version.size_bytes),
                ago(version.created_at_ms),
            ]);
        }
        if self.used_by.is_empty() {
            return versions.to_string();
        }
        let mut users = Table::new(["PIPELINE", "VERSION", "STEPS"]);
        for user in &self.used_by {
            users.row([user.pipeline.clone(), or_dash(user.version.clone()), user.steps.to_string()]);
        }
        format!("{versions}\n{users}")
    }
}

fn kept_as(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Named => "named by a pipeline",
        Standing::Open => "in use",
        Standing::History => "was active",
        Standing::Unused => "unused",
    }
}

impl Answer for PluginList {
    fn ids(&self) -> Vec<String> {
        let of = |plugin: &pawl_api::types::Plugin| {
            plugin.versions.iter().map(|version| format!("{}@{}", plugin.name, version.version)).collect::<Vec<_>>()
        };
        self.plugins.iter().flat_map(of).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["PLUGIN", "VERSION", "ACTIVE", "COMPONENT", "SIZE", "PUSHED"]);
        for plugin in &self.plugins {
            for version in &plugin.versions {
                let active = plugin.active_version.as_ref() == Some(&version.version);
                table.row([
                    plugin.name.clone(),
                    version.version.clone(),
                    if active { "yes" } else { "-" }.to_owned(),
                    version.digest.short(),
                    size(version.size_bytes),
                    ago(version.created_at_ms),
                ]);
            }
        }
        table.to_string()
    }
}

//! Plugins: names with versions, each a component; one version is active. A version never changes. Names belong to a
//! namespace; a component is found by its digest alone.

use async_trait::async_trait;
use pawl_domain::id::{Digest, StepNo};
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline_file::{KnownPlugins, closest};

use super::{Error, Result};

/// How many versions a plugin's history has below the one that a rollback goes back to.
pub(super) const EARLIER_VERSIONS: i32 = 100;

/// A version that somebody wants to store.
#[derive(Debug, Clone, Copy)]
pub struct NewVersion<'a> {
    /// Whose it is.
    pub namespace: &'a Namespace,
    /// The plugin.
    pub name: &'a str,
    /// The version.
    pub version: &'a str,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The component.
    pub bytes: &'a [u8],
    /// What the component says about itself: JSON.
    pub manifest: &'a [u8],
    /// Whether it becomes the active version.
    pub activate: bool,
}

/// What became of a pushed version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushedVersion {
    /// False if the same bytes were there before.
    pub created: bool,
    /// Whether it is the active version now.
    pub active: bool,
}

/// A plugin and its versions, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginRow {
    /// Unique in its namespace.
    pub name: String,
    /// The version for steps that ask for none.
    pub active_version: Option<String>,
    /// What a rollback goes back to.
    pub previous_version: Option<String>,
    /// What further ones go back to, the latest last.
    pub earlier_versions: Vec<String>,
    /// Newest first.
    pub versions: Vec<VersionRow>,
}

/// A version of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRow {
    /// As pushed.
    pub version: String,
    /// The component.
    pub digest: Digest,
    /// The component's size.
    pub size_bytes: u64,
    /// JSON.
    pub manifest: Vec<u8>,
    /// When it was pushed.
    pub created_at_ms: i64,
}

/// The components that the first steps of a pipeline's current version get now: those that need nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSteps {
    /// The pipeline version.
    pub pipeline: Digest,
    /// The steps on components, by number.
    pub components: Vec<(StepNo, Digest)>,
}

/// Plugins and their versions.
#[async_trait]
pub trait Plugins {
    /// Stores a version of a plugin and its component. Pushing the same bytes again changes nothing but,
    /// if asked for, the active version.
    ///
    /// # Errors
    /// [`Error::Conflict`] if that version has other bytes.
    async fn push_version(&self, new: NewVersion<'_>) -> Result<PushedVersion>;

    /// Makes a version the active one. Returns the one that was active before.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such plugin or version.
    async fn activate(&self, namespace: &Namespace, name: &str, version: &str) -> Result<Option<String>>;

    /// Goes back in history, to the version that was active before the one that is; again, to the one before that. What
    /// it goes back from is no part of the history any more. Returns the version that is active now, and that which was.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such plugin; [`Error::Conflict`] if no other version was active before.
    async fn rollback(&self, namespace: &Namespace, name: &str) -> Result<(String, String)>;

    /// All plugins of a namespace, by name; or only the one of that name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn plugins(&self, namespace: &Namespace, only: Option<&str>) -> Result<Vec<PluginRow>>;

    /// What to tell somebody who named a plugin that is not there.
    async fn unknown_plugin(&self, namespace: &Namespace, name: &str) -> Error;

    /// What pipelines of a namespace may refer to.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn known_plugins(&self, namespace: &Namespace) -> Result<KnownPlugins>;

    /// The component that a step of this plugin and version gets now.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such plugin or version, or none is active.
    async fn component_of(&self, namespace: &Namespace, name: &str, version: Option<&str>) -> Result<Digest>;

    /// What a run that is submitted now begins with; none if there is no such pipeline.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn first_steps(&self, namespace: &Namespace, pipeline: &str) -> Result<Option<FirstSteps>>;

    /// What a component says about itself: JSON, none if there is no version on it. It never changes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn manifest(&self, component: Digest) -> Result<Option<Vec<u8>>>;

    /// Whether there is a component of that digest.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn has_component(&self, digest: Digest) -> Result<bool>;
}

pub(super) fn missing_version(known: &KnownPlugins, name: &str, version: &str) -> Error {
    Error::NotFound(match known.0.get(name) {
        Some(plugin) => {
            let versions: Vec<&str> = plugin.versions.iter().map(String::as_str).collect();
            format!("plugin `{name}` has no version `{version}`; it has {}", versions.join(", "))
        }
        None => return no_plugin(known, name),
    })
}

pub(super) fn no_plugin(known: &KnownPlugins, name: &str) -> Error {
    let meant = closest(name, known.0.keys().map(String::as_str));
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    Error::NotFound(format!("there is no plugin `{name}`{meant}"))
}

pub(super) fn no_version(name: &str, version: Option<&str>) -> Error {
    Error::NotFound(format!("plugin `{name}` has no version {}", version.unwrap_or("that is active")))
}

pub(super) fn other_bytes(new: &NewVersion<'_>, stored: Digest) -> Error {
    Error::Conflict(format!(
        "plugin `{}` has a version `{}` with other bytes (component {}, this one is {}): push it as another version",
        new.name,
        new.version,
        stored.short(),
        new.digest.short()
    ))
}

pub(super) fn nothing_before(known: &KnownPlugins, name: &str) -> Error {
    if known.0.contains_key(name) {
        Error::Conflict(format!("plugin `{name}` has no version that was active before: use `activate`"))
    } else {
        missing_version(known, name, "")
    }
}

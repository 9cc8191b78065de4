//! Plugins over HTTP: push, list, activate. A component is compiled and asked what it is before anything
//! is stored, so that what can be claimed can also be loaded.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pawl_domain::id::Digest;
use pawl_domain::name::{Name, NoName, Version};
use pawl_engine::Manifest;
use pawl_store as store;
use pawl_store::plugins::{NewVersion, PluginRow, VersionRow};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::activation::until_all_can_load;
use super::aside::Unfinished;
use super::problem::{Result, SizeLimit};
use super::recorded::{Noted, Subject, noted};
use super::request::{Params, Path, plugin_name, read_body, read_json, require_media_type};
use super::routes::WASM;
use super::state::AppState;
use super::trusted;
use super::types::{ActivatePlugin, ActivatedPlugin, Plugin, PluginList, PluginVersion, Problem, PushedPlugin};
use super::whose::Scoped;

pub(super) mod show;

const REQUEST_BYTES: usize = 4 << 10;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushParams {
    /// Whether it becomes the active version.
    #[serde(default = "yes")]
    activate: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushAsDescribedParams {
    /// The plugin's name; without it that of the component.
    name: Option<Name>,
    /// The version; without it that of the component.
    version: Option<Version>,
    /// Whether it becomes the active version.
    #[serde(default = "yes")]
    activate: bool,
}

fn yes() -> bool {
    true
}

pub(super) async fn push(
    Scoped(state): Scoped,
    Path((name, version)): Path<(String, String)>,
    Params(params): Params<PushParams>,
    Extension(subject): Extension<Subject>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let (name, version) = (name.try_into().map_err(bad)?, version.try_into().map_err(bad)?);
    let (bytes, place) = read_component(&state, body, &headers).await?;
    store(&state, &subject, (bytes, place), &headers, Some(name), Some(version), params.activate).await
}

pub(super) async fn push_as_described(
    Scoped(state): Scoped,
    Params(params): Params<PushAsDescribedParams>,
    Extension(subject): Extension<Subject>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let (bytes, place) = read_component(&state, body, &headers).await?;
    store(&state, &subject, (bytes, place), &headers, params.name, params.version, params.activate).await
}

/// A component is held in memory until it is stored, and for as long as it is being compiled, whatever becomes of the
/// request: the place is for both.
type Place = Arc<OwnedSemaphorePermit>;

async fn read_component(state: &AppState, body: Body, headers: &HeaderMap) -> Result<(Vec<u8>, Place)> {
    let place = Arc::clone(&state.pushes).try_acquire_owned();
    let place = place.map_err(|_| Problem::busy("other components are being pushed", "push this one after them"))?;
    let limit = SizeLimit::set_by("limit_component", state.limits.component_bytes);
    let bytes = read_body(body, headers, "a component", limit).await?;
    require_media_type(headers, &[WASM])?;
    Ok((bytes, Arc::new(place)))
}

async fn store(
    state: &AppState,
    subject: &Subject,
    (bytes, place): (Vec<u8>, Place),
    headers: &HeaderMap,
    name: Option<Name>,
    version: Option<Version>,
    activate: bool,
) -> Result<Response> {
    let (digest, bytes) = state.check(move || (Digest::of(&bytes), bytes)).await?;
    // Also where it does not become active: a pipeline may name its version.
    trusted::check(state, digest, headers).await?;
    state.must_have_room_for(digest).await?;
    let (bytes, manifest) = describe(state, digest, bytes, Arc::clone(&place)).await?;
    let own = |what: &str, rule: NoName| {
        Problem::invalid_component(format!("the component's own {what}: {rule}; give another one with --{what}"))
    };
    let name: String = name.map_or_else(|| manifest.name.parse(), Ok).map_err(|rule| own("name", rule))?.into();
    let version = version.map_or_else(|| manifest.version.parse(), Ok);
    let version: String = version.map_err(|rule| own("version", rule))?.into();
    subject.is(format!("{name}@{version} {digest}"));
    let manifest = serde_json::to_value(&manifest).map_err(|error| Problem::internal(&error))?;
    let manifest_bytes = manifest.to_string().into_bytes();
    // Stored first: workers read it from there.
    let manifest_of = &manifest_bytes;
    let new = NewVersion {
        namespace: &state.namespace,
        name: &name,
        version: &version,
        digest,
        bytes: &bytes,
        manifest: manifest_of,
        activate: false,
    };
    let mut pushed = state.store.push_version(new).await.map_err(|error| match error {
        store::Error::Conflict(detail) => Problem::version_exists(detail),
        error => error.into(),
    })?;
    let is_new = activate && !pushed.active;
    if is_new {
        until_all_can_load(state, digest).await?;
        state.store.activate(&state.namespace, &name, &version).await?;
        pushed.active = true;
    }
    let changed = is_new || pushed.created;
    state.schemas.forget();
    let status = if pushed.created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = PushedPlugin {
        size_bytes: bytes.len() as u64,
        active: pushed.active,
        created: pushed.created,
        name,
        version,
        digest,
        manifest,
    };
    Ok((status, noted(changed, answer)).into_response())
}

/// What a component says it is: it is compiled and asked in a process of its own, unless it was let in before.
async fn describe(state: &AppState, digest: Digest, bytes: Vec<u8>, place: Place) -> Result<(Vec<u8>, Manifest)> {
    if let Some(manifest) = let_in_before(state, digest).await? {
        return Ok((bytes, manifest));
    }
    let (apart, limits) = (state.apart.clone(), state.limits);
    let patience = apart.time;
    let examining = state.compiling.carry_out(patience, async move {
        let _place = place;
        let manifest = apart.examine(&bytes, &limits).await;
        (bytes, manifest)
    });
    let (bytes, manifest) = examining.await.map_err(|unfinished| match unfinished {
        Unfinished::Busy => Problem::busy("another component is being compiled for long", "push this one after it"),
        Unfinished::Late => Problem::busy("the component is still being compiled", "push it again"),
        Unfinished::Panicked(panic) => Problem::internal(&panic),
    })?;
    Ok((bytes, manifest?))
}

/// What was stored of the same bytes: nothing else would come of them.
async fn let_in_before(state: &AppState, digest: Digest) -> Result<Option<Manifest>> {
    let known = state.store.manifest(digest).await?;
    Ok(known.and_then(|manifest| serde_json::from_slice(&manifest).ok()))
}

pub(super) async fn list(Scoped(state): Scoped) -> Result<Json<PluginList>> {
    let plugins = state.store.plugins(&state.namespace, None).await?;
    Ok(Json(PluginList { plugins: plugins.into_iter().map(Plugin::from).collect() }))
}

pub(super) async fn activate(
    Scoped(state): Scoped,
    Path(name): Path<String>,
    Extension(subject): Extension<Subject>,
    headers: HeaderMap,
    body: Body,
) -> Result<Noted<ActivatedPlugin>> {
    let name: String = plugin_name(&name)?.into();
    let ActivatePlugin { version } = read_json(body, &headers, "a request to activate", REQUEST_BYTES).await?;
    let version: String = Version::try_from(version).map_err(bad)?.into();
    subject.is(format!("{name}@{version}"));
    let digest = state.store.component_of(&state.namespace, &name, Some(&version)).await;
    if let Ok(digest) = digest {
        trusted::check(&state, digest, &headers).await?;
        until_all_can_load(&state, digest).await?;
    }
    // It says better than the lookup what is wrong with the name.
    let previous = state.store.activate(&state.namespace, &name, &version).await.map_err(unknown)?;
    state.schemas.forget();
    let changed = previous.as_ref() != Some(&version);
    Ok(noted(changed, ActivatedPlugin { name, version, previous }))
}

/// Workers that have loaded the version before answer at once.
pub(super) async fn rollback(
    Scoped(state): Scoped,
    Path(name): Path<String>,
    Extension(subject): Extension<Subject>,
    headers: HeaderMap,
) -> Result<Json<ActivatedPlugin>> {
    let name: String = plugin_name(&name)?.into();
    let plugins = state.store.plugins(&state.namespace, Some(&name)).await?;
    let before = plugins.first().and_then(|plugin| {
        plugin.versions.iter().find(|version| plugin.previous_version.as_ref() == Some(&version.version))
    });
    if let Some(before) = before {
        trusted::check(&state, before.digest, &headers).await?;
        until_all_can_load(&state, before.digest).await?;
    }
    let (version, previous) = state.store.rollback(&state.namespace, &name).await.map_err(unknown)?;
    subject.is(format!("{name}@{version}"));
    state.schemas.forget();
    Ok(Json(ActivatedPlugin { name, version, previous: Some(previous) }))
}

fn bad(rule: NoName) -> Problem {
    Problem::bad_request(rule.to_string())
}

fn unknown(error: store::Error) -> Problem {
    match error {
        store::Error::NotFound(detail) => Problem::unknown_plugin(&detail),
        error => error.into(),
    }
}

impl From<PluginRow> for Plugin {
    fn from(row: PluginRow) -> Self {
        let versions = row.versions.into_iter().map(PluginVersion::from);
        Self { name: row.name, active_version: row.active_version, versions: versions.collect() }
    }
}

impl From<VersionRow> for PluginVersion {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version,
            digest: row.digest,
            size_bytes: row.size_bytes,
            manifest: serde_json::from_slice(&row.manifest).unwrap_or_default(),
            created_at_ms: row.created_at_ms,
        }
    }
}

//! Secrets over HTTP: set, grant, list, remove, and put under another master key. A value comes in as the body of one request,
//! which nobody parses, and goes out by none. Of grants the record of changes has all, since they stand in the query.

use axum::Json;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{HeaderMap, StatusCode};
use pawl_dispatch::seals;
use pawl_dispatch::secrets::{Change, Refused, Rotated, change, rotate as rotate_piece};
use pawl_domain::name::Name;
use pawl_domain::pipeline_file::closest;
use pawl_domain::reach;
use pawl_domain::secret::grant::Grant;
use pawl_domain::secret::{VALUE_BYTES, check_secret_name, check_value};
use pawl_store::secrets::SecretRow;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::Caller;
use super::problem::Result;
use super::recorded::{Noted, Subject, noted};
use super::request::{Params, Path, read_body, require_media_type};
use super::routes::BYTES;
use super::state::AppState;
use super::types::{Problem, RemovedSecret, RotatedSecrets, SecretGrant, SecretList, StoredSecret, StuckSecret};
use super::whose::Scoped;

/// Secrets of a page.
const PAGE: u32 = 500;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AfterParams {
    /// Only those after this name: `next` of the page before.
    after: Option<String>,
}

/// Whom a grant is about.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhomParams<P: OfPipeline = Name> {
    #[schemars(description = P::SAYS)]
    pipeline: P,
    /// Only the step of this name.
    step: Option<Name>,
    /// Only if it executes this plugin.
    plugin: Option<Name>,
    /// Only in requests to these, with commas between them, as in `https://api.example.org,http://localhost:*`; the step is given
    /// the value itself if nothing is said.
    hosts: Option<String>,
}

/// Whom a grant is about that a new value may bring along.
pub(super) type GrantParams = WhomParams<Option<Name>>;

/// The pipeline of a grant, or that there may be none.
pub(super) trait OfPipeline {
    /// What the document says of it.
    const SAYS: &str;
}

impl OfPipeline for Name {
    const SAYS: &str = "Steps of this pipeline.";
}

impl OfPipeline for Option<Name> {
    const SAYS: &str = "Steps of this pipeline are given it; nobody more than before if nothing is said, which only a new value may do.";
}

impl GrantParams {
    fn perhaps(self) -> Result<Option<Grant>> {
        match self {
            Self { pipeline: Some(pipeline), step, plugin, hosts } => {
                WhomParams { pipeline, step, plugin, hosts }.grant().map(Some)
            }
            Self { pipeline: None, step: None, plugin: None, hosts: None } => Ok(None),
            _ => Err(Problem::bad_request("a grant names the pipeline whose steps it is for: `pipeline` is missing")),
        }
    }
}

impl WhomParams {
    fn grant(self) -> Result<Grant> {
        let Self { pipeline, step, plugin, hosts } = self;
        let texts = hosts.as_deref().map(|hosts| hosts.split(',').map(str::trim).collect::<Vec<_>>());
        let hosts = texts.unwrap_or_default().into_iter().map(|text| {
            text.parse::<reach::Grant>()
                .map_err(|rule| Problem::bad_request(format!("`hosts` has {text:?}, which {rule}")))
        });
        Ok(Grant { pipeline, step, plugin, hosts: hosts.collect::<Result<_>>()? })
    }
}

pub(super) async fn list(
    Scoped(state): Scoped,
    Params(AfterParams { after }): Params<AfterParams>,
) -> Result<Json<SecretList>> {
    let rows = state.store.secrets(&state.namespace, after.as_deref(), PAGE).await?;
    let next = rows.last().filter(|_| rows.len() >= PAGE as usize).map(|row| row.name.clone());
    Ok(Json(SecretList { secrets: rows.into_iter().filter_map(told).collect(), next }))
}

pub(super) async fn set(
    Scoped(state): Scoped,
    Extension(caller): Extension<Caller>,
    Extension(subject): Extension<Subject>,
    Path(name): Path<String>,
    Params(params): Params<GrantParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<StoredSecret>)> {
    check_secret_name(&name).map_err(|rule| Problem::bad_request(format!("the name of a secret {rule}")))?;
    let grant = params.perhaps()?;
    let value = read_body(body, &headers, "a secret's value", *VALUE_BYTES.end()).await?;
    require_media_type(&headers, &[BYTES])?;
    let value = check_value(&value).map_err(Problem::bad_request)?;
    let wanted = Change::Set { value, grant: grant.as_ref(), by: caller.name.as_deref() };
    let (told, _) = changed(&state, &name, wanted).await?;
    subject.is(format!("version {}", told.version));
    Ok((if told.version == 1 { StatusCode::CREATED } else { StatusCode::OK }, Json(told)))
}

pub(super) async fn grant(
    Scoped(state): Scoped,
    Path(name): Path<String>,
    Params(whom): Params<WhomParams>,
) -> Result<Noted<StoredSecret>> {
    let (told, is_new) = changed(&state, &name, Change::Grant(&whom.grant()?)).await?;
    Ok(noted(is_new, told))
}

pub(super) async fn revoke(
    Scoped(state): Scoped,
    Path(name): Path<String>,
    Params(whom): Params<WhomParams>,
) -> Result<Json<StoredSecret>> {
    changed(&state, &name, Change::Revoke(&whom.grant()?)).await.map(|(told, _)| Json(told))
}

pub(super) async fn remove(Scoped(state): Scoped, Path(name): Path<String>) -> Result<Json<RemovedSecret>> {
    match change(&*state.store, &state.secret_keys, &state.namespace, &name, Change::Remove).await {
        Ok(_) => Ok(Json(RemovedSecret { name })),
        Err(refused) => Err(problem(&state, refused).await),
    }
}

pub(super) async fn rotate(
    Scoped(state): Scoped,
    Params(AfterParams { after }): Params<AfterParams>,
) -> Result<Noted<RotatedSecrets>> {
    match rotate_piece(&*state.store, &state.secret_keys, &state.namespace, after.as_deref()).await {
        Ok(Rotated { mut rotated, mut stuck, next }) => {
            if after.is_none() {
                // The keys of payloads are few: they go with the first piece.
                let keys = seals::rotate(&*state.store, &state.secret_keys, &state.namespace).await?;
                rotated += keys.rotated;
                let named = |(version, why)| (format!("key {version} of the namespace {}", state.namespace), why);
                stuck.extend(keys.stuck.into_iter().map(named));
            }
            let stuck = stuck.into_iter().map(|(name, reason)| StuckSecret { name, reason }).collect();
            Ok(noted(rotated > 0, RotatedSecrets { rotated, stuck, next }))
        }
        Err(refused) => Err(problem(&state, refused).await),
    }
}

/// Makes a change, and tells what is there then; whether it is another thing than before.
async fn changed(state: &AppState, name: &str, wanted: Change<'_>) -> Result<(StoredSecret, bool)> {
    let (row, is_new) = match change(&*state.store, &state.secret_keys, &state.namespace, name, wanted).await {
        Ok(changed) => changed,
        Err(refused) => return Err(problem(state, refused).await),
    };
    let told = told(row).ok_or_else(|| Problem::conflict("it was set, and is removed again"))?;
    Ok((told, is_new))
}

async fn problem(state: &AppState, refused: Refused) -> Problem {
    match refused {
        Refused::NotThere(name) => {
            let known = state.store.secrets(&state.namespace, None, PAGE).await.unwrap_or_default();
            let meant = closest(&name, known.iter().map(|row| row.name.as_str()));
            let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
            let all = "`pawl secret list` shows all that it keeps, `pawl secret set` makes one";
            Problem::not_found(format!("the store keeps no secret {name:?}{meant}: {all}"))
        }
        Refused::Store(error) => error.into(),
        Refused::Conflict(_) | Refused::Keys(_) => Problem::conflict(refused.to_string()),
    }
}

fn told(row: SecretRow) -> Option<StoredSecret> {
    Some(StoredSecret {
        key_id: row.sealed?.key_id,
        name: row.name,
        version: row.version,
        set_at_ms: row.set_at_ms.unwrap_or_default(),
        set_by: row.set_by,
        grants: row.grants.into_iter().map(SecretGrant::from).collect(),
    })
}

impl From<Grant> for SecretGrant {
    fn from(Grant { pipeline, step, plugin, hosts }: Grant) -> Self {
        Self { pipeline, step, plugin, hosts: hosts.iter().map(ToString::to_string).collect() }
    }
}

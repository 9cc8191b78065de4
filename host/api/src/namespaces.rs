//! Namespaces over HTTP: make, list. Which one a request is about is found in `whose.rs`.

use std::time::Duration;

use axum::Json;
use axum::extract::Extension;
use axum::http::StatusCode;
use pawl_domain::namespace::Namespace;
use pawl_store as store;
use pawl_store::namespaces::NamespaceRow;

use super::access::Caller;
use super::problem::Result;
use super::recorded::{Noted, noted};
use super::request::Path;
use super::types::{MadeNamespace, NamespaceList, NamespaceSummary};
use super::whose::Scoped;

/// How long the store has: each page with a head asks.
const PATIENCE: Duration = Duration::from_secs(2);

/// Those that the caller may ask for.
pub(super) async fn list(Scoped(state): Scoped, Extension(caller): Extension<Caller>) -> Result<Json<NamespaceList>> {
    let rows = store::within(PATIENCE, state.store.namespaces()).await?.into_iter();
    let own = rows.filter(|row| caller.namespace.as_ref().is_none_or(|own| *own == row.name));
    Ok(Json(NamespaceList { namespaces: own.map(NamespaceSummary::from).collect() }))
}

pub(super) async fn create(
    Scoped(state): Scoped,
    Extension(caller): Extension<Caller>,
    Path(name): Path<Namespace>,
) -> Result<(StatusCode, Noted<MadeNamespace>)> {
    let created = state.store.create_namespace(&name, caller.name.as_deref()).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, noted(created, MadeNamespace { name, created })))
}

impl From<NamespaceRow> for NamespaceSummary {
    fn from(NamespaceRow { name, created_at_ms, created_by, quota, stored_bytes }: NamespaceRow) -> Self {
        Self { name, created_at_ms, created_by, quota: quota.into(), stored_bytes }
    }
}

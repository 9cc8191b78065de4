//! A schema that is not there yet, or is that of an older build: until somebody has run `pawl migrate`, only who asks how the
//! process is gets an answer.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use pawl_store::{self as store, Store};

use super::problem::Result;
use super::state::AppState;

/// Refuses a request as long as the schema is to be migrated.
pub(super) async fn refuse(State(state): State<AppState>, request: Request, next: Next) -> Result<Response> {
    check(&state.fits, &*state.store).await?;
    Ok(next.run(request).await)
}

/// Whether the schema was seen to fit, or does not have to be migrated. That it fits is asked until it was seen once; a store
/// that is away is left to the request, which may do without it.
pub(super) async fn check(fits: &AtomicBool, store: &dyn Store) -> store::Result<()> {
    if !fits.load(Ordering::Relaxed) {
        match store.check_schema().await {
            Ok(()) => fits.store(true, Ordering::Relaxed),
            Err(error) if error.is_to_be_migrated() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

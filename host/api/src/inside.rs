//! The API for whoever stands in the same process and asks for somebody: web pages, which a crate above this one makes.
//! What is asked goes through the router of the API as if it had come over the wire: the same token, role, namespace,
//! record and deadlines, and the same answer. So there is no second way to do a thing, and none to forget a check.
//!
//! ```text
//!  browser ─▶ doors ─▶ host, origin? ─┬─▶ page ─▶ whose token? ─▶ asks ─┐
//!  program ─▶ doors ─▶ host, origin? ─┴─▶ token, role? ─▶ whose? ─▶ handler ─▶ …
//! ```

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use pawl_domain::access::Role;
use pawl_domain::namespace::Namespace;
use serde::de::DeserializeOwned;
use tower_service::Service as _;

use super::access::{Caller, Source};
use super::state::AppState;
use super::types::{IDEMPOTENCY_KEY, NAMESPACE, Problem, check_idempotency_key};

/// What answers beside the API, on the same address: it is given the API, and makes its own routes, none of which the API has.
/// They stand behind the same doors, and it is for them to ask who asks.
#[derive(Clone)]
pub struct Front(Arc<dyn Fn(Inside) -> Router + Send + Sync>);

impl Front {
    /// Made by `routes` once the API is there.
    pub fn new(routes: impl Fn(Inside) -> Router + Send + Sync + 'static) -> Self {
        Self(Arc::new(routes))
    }

    pub(super) fn routes(&self, inside: Inside) -> Router {
        (self.0)(inside)
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Front")
    }
}

/// The API, to be asked from inside; cheap to clone.
#[derive(Clone)]
pub struct Inside {
    state: AppState,
    routes: Router,
}

/// Whoever is asked for, as the API knows them by what they have shown.
#[derive(Debug, Clone)]
pub struct Behalf {
    caller: Caller,
    shown: Option<HeaderValue>,
    about: Option<Namespace>,
}

impl Behalf {
    /// The token's name; `None`: none was wanted.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.caller.name.as_deref()
    }

    /// What they may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.caller.role
    }

    /// Where the token counts; `None`: everywhere.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.caller.namespace.as_ref()
    }

    /// The namespace that is meant; `None`: nobody has said one, and the token counts everywhere.
    #[must_use]
    pub fn meant(&self) -> Option<&Namespace> {
        self.about.as_ref().or(self.caller.namespace.as_ref())
    }

    /// The same for somebody who means that namespace.
    #[must_use]
    pub fn about(self, namespace: Option<Namespace>) -> Self {
        Self { about: namespace, ..self }
    }
}

impl Inside {
    pub(super) fn new(state: AppState, routes: Router) -> Self {
        Self { state, routes }
    }

    /// Who has sent a request: found out where it is for all routes of the API, wrong tokens counted as there.
    ///
    /// # Errors
    /// What the API would answer whoever may not even read.
    pub async fn who(&self, request: &Parts) -> Result<Behalf, Problem> {
        let source = self.state.access.source_of(&request.extensions, &request.headers);
        let caller = self.state.access.check(Role::Read, &request.headers, source).await?;
        Ok(Behalf { caller, shown: request.headers.get(AUTHORIZATION).cloned(), about: None })
    }

    /// Whether the API's route with that method and path, as its table has it, is for them; it is asked all the same.
    #[must_use]
    pub fn may(&self, who: &Behalf, method: &Method, route: &str) -> bool {
        let Some(wants) = self.state.wanted.of(method, route) else { return false };
        wants.role.is_none_or(|wanted| who.role() >= wanted) && !(wants.of_all && who.namespace().is_some())
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// What the API answers if it refuses.
    pub async fn read<T: DeserializeOwned>(&self, who: &Behalf, path: &str) -> Result<T, Problem> {
        read(&self.ask(who, Method::GET, path, None).await?)
    }

    /// Asks for a change, with a body of that media type if it has one, and reads what came of it.
    ///
    /// # Errors
    /// What the API answers if it refuses.
    pub async fn change<T: DeserializeOwned>(
        &self,
        who: &Behalf,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<T, Problem> {
        read(&self.ask(who, method, path, body).await?)
    }

    /// Posts what counts once under its key, if it has one.
    ///
    /// # Errors
    /// What the API answers if it refuses; what can be no key is refused at once.
    pub async fn post_keyed<T: DeserializeOwned>(
        &self,
        who: &Behalf,
        path: &str,
        body: (&'static str, Vec<u8>),
        key: Option<&str>,
    ) -> Result<T, Problem> {
        key.map(check_idempotency_key).transpose().map_err(Problem::bad_request)?;
        read(&self.ask_keyed(who, Method::POST, path, Some(body), key).await?)
    }

    /// Asks, and takes the answer as it is.
    ///
    /// # Errors
    /// What the API answers if it refuses.
    pub async fn ask(
        &self,
        who: &Behalf,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Bytes, Problem> {
        self.ask_keyed(who, method, path, body, None).await
    }

    async fn ask_keyed(
        &self,
        who: &Behalf,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
        key: Option<&str>,
    ) -> Result<Bytes, Problem> {
        let (kind, body) = body.map_or((None, Body::empty()), |(kind, body)| (Some(kind), body.into()));
        let mut request = Request::builder().method(method).uri(path).extension(Source(who.caller.source));
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(shown) = &who.shown {
            request = request.header(AUTHORIZATION, shown);
        }
        if let Some(namespace) = &who.about {
            request = request.header(NAMESPACE, namespace.as_str());
        }
        let request = request.body(body).map_err(|error| Problem::bad_request(format!("{path}: {error}")))?;
        let Ok(response) = self.routes.clone().call(request).await;
        let is_refused = response.status().as_u16() >= 400;
        // It was bounded where it was made.
        let bytes = to_bytes(response.into_body(), usize::MAX).await.map_err(|error| Problem::internal(&error))?;
        if is_refused {
            return Err(read(&bytes)?);
        }
        Ok(bytes)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::internal(&error))
}

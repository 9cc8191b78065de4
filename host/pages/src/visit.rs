//! Who looks at a page: found before any page is made, by the session's token, where it is found for all routes of the
//! API. Whoever has none comes to `/enter`, and from there to where they wanted.

use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::join;
use pawl_api::types::{BuildList, NamespaceList, Problem};
use pawl_api::{Behalf, session};
use pawl_domain::namespace::Namespace;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Pages;
use super::forms::JSON;
use super::frame::{self, Sheet};
use super::whose;

/// With it, the script asks for what may have changed in a page alone.
const PART: &str = "pawl-part";

/// A request for a page, by somebody who may read.
pub(super) struct Visit {
    pub(super) pages: Pages,
    pub(super) who: Behalf,
    /// Only the part of the page is wanted that may have changed.
    pub(super) is_part: bool,
    pub(super) begun: Instant,
    pub(super) around: Around,
}

/// What is told around each page, whatever it is about.
#[derive(Default)]
pub(super) struct Around {
    /// Those that the visitor may look at, if these may be several.
    pub(super) namespaces: Vec<Namespace>,
    /// What `pawl dev` builds.
    pub(super) builds: Option<BuildList>,
}

impl Around {
    async fn of(pages: &Pages, who: &Behalf, is_part: bool, is_form: bool) -> Self {
        let builds = async {
            // None but `pawl dev` has a way in of its own, and builds.
            if pages.entry.is_none() { None } else { pages.inside.read::<BuildList>(who, "/v1/builds").await.ok() }
        };
        let namespaces = async { if is_part { Vec::new() } else { namespaces(pages, who, is_form).await } };
        let (builds, namespaces) = join(builds, namespaces).await;
        Self { namespaces, builds }
    }
}

/// Those that there are, for a token that counts everywhere; a form is about those that there are now.
async fn namespaces(pages: &Pages, who: &Behalf, is_form: bool) -> Vec<Namespace> {
    if who.namespace().is_some() {
        return Vec::new();
    }
    let asked_at = Instant::now();
    if let Some(known) = pages.places.known(asked_at).filter(|_| !is_form) {
        return known;
    }
    let list = pages.inside.read::<NamespaceList>(&who.clone().about(None), "/v1/namespaces").await;
    let Ok(list) = list else { return Vec::new() };
    let names: Vec<Namespace> = list.namespaces.into_iter().map(|it| it.name).collect();
    pages.places.keep(&names, asked_at);
    names
}

impl FromRequestParts<Pages> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        // A page that is behind no check shows nothing.
        let who = parts.extensions.get::<Behalf>().cloned().ok_or_else(|| StatusCode::FORBIDDEN.into_response())?;
        let (is_part, begun) = (parts.headers.contains_key(PART), Instant::now());
        let around = Around::of(pages, &who, is_part, is_form(&parts.method)).await;
        Ok(Self { pages: pages.clone(), who, is_part, begun, around })
    }
}

impl Visit {
    /// Reads what a route of the API answers.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        self.pages.inside.read(&self.who, path).await
    }

    /// Asks a route of the API for a change, with JSON if it takes something.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, Problem> {
        let body = body.map(|body| (JSON, body.to_string().into_bytes()));
        self.pages.inside.change(&self.who, method, path, body).await
    }

    /// Whether a route of the API is for the visitor: otherwise nothing is offered that would need it.
    pub(super) fn may(&self, method: &Method, route: &str) -> bool {
        self.pages.inside.may(&self.who, method, route)
    }

    /// The page, or what kept it from being made.
    pub(super) fn answer(&self, sheet: Result<Sheet, Problem>) -> Response {
        match sheet {
            Ok(sheet) => frame::page(self, &sheet),
            Err(problem) => frame::trouble(Some(self), &problem),
        }
    }
}

/// Finds who asks, or leads them to where they can say it.
pub(super) async fn find(State(pages): State<Pages>, mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    if let Some(refused) = refuse_forms_of_others(&method, request.headers()) {
        return refused;
    }
    session::let_count(&method, request.headers_mut());
    let (mut parts, body) = request.into_parts();
    match pages.inside.who(&parts).await {
        Ok(who) => {
            parts.extensions.insert(whose::meant(who, &parts.headers));
            next.run(Request::from_parts(parts, body)).await
        }
        // A browser keeps a session from who comes by a link of another site; from here it sends it along.
        Err(problem) if problem.status == 401 && method == Method::GET && session::is_anothers(&parts.headers) => {
            frame::step_over(&parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string))
        }
        Err(problem) if problem.status == 401 => to_enter(&parts),
        Err(problem) => frame::trouble(None, &problem),
    }
}

/// A form counts from a page of ours alone, whether a token is needed or not.
pub(super) fn refuse_forms_of_others(method: &Method, headers: &HeaderMap) -> Option<Response> {
    (is_form(method) && !session::is_own(headers)).then(|| frame::trouble(None, &Problem::foreign_form()))
}

fn is_form(method: &Method) -> bool {
    *method != Method::GET && *method != Method::HEAD
}

/// A token that was wrong is forgotten, so that it is not shown again.
fn to_enter(parts: &Parts) -> Response {
    let to = parts.uri.path_and_query().filter(|_| parts.method == Method::GET).map_or("/", |at| at.as_str());
    let had_one = session::token_in(&parts.headers).is_some();
    let query = match (to, had_one) {
        ("/", false) => String::new(),
        (to, had_one) => {
            let over = if had_one { "&over" } else { "" };
            format!("?next={}{over}", utf8_percent_encode(to, NON_ALPHANUMERIC))
        }
    };
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, format!("/enter{query}"))]).into_response();
    if let Some(forgotten) = session::forgotten(&parts.headers).filter(|_| had_one) {
        response.headers_mut().insert(SET_COOKIE, forgotten);
    }
    response
}

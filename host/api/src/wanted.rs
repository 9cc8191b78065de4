//! What each route wants of whoever asks: a role, and a line in the record of changes if it makes one. Made of the table of routes,
//! where both are said.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use pawl_domain::access::Role;

use super::route::Route;
use super::routes;

/// What all of them want, by method and path; cheap to clone.
#[derive(Clone)]
pub(super) struct Wanted(Arc<HashMap<(Method, &'static str), Wants>>);

/// What one route wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants {
    /// `None`: anybody may ask.
    pub(super) role: Option<Role>,
    /// The name of a route whose requests are recorded.
    pub(super) recorded: Option<&'static str>,
    /// It is about the whole installation.
    pub(super) of_all: bool,
    /// And so if a token of all asks that names no namespace.
    pub(super) everywhere: bool,
}

impl Wanted {
    pub(super) fn of_all_routes() -> Self {
        let all = routes::all().into_iter().flat_map(|(_, routes)| routes);
        let wants = |route: &Route| Wants {
            role: route.role(),
            recorded: route.is_recorded().then_some(route.id),
            of_all: route.of_all,
            everywhere: route.everywhere,
        };
        Self(Arc::new(all.map(|route| ((route.method.clone(), route.path), wants(&route))).collect()))
    }

    /// What a request's route wants. What is no route tells so to whoever may read.
    pub(super) fn by(&self, request: &Request) -> Wants {
        let none = Wants { role: Some(Role::Read), recorded: None, of_all: false, everywhere: false };
        let Some(path) = request.extensions().get::<MatchedPath>() else { return none };
        // HEAD is answered where GET is.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        self.of(method, path.as_str()).unwrap_or(none)
    }

    /// What the route with that method and path wants, if there is one.
    pub(super) fn of(&self, method: &Method, path: &str) -> Option<Wants> {
        let all: &HashMap<(Method, &str), Wants> = &self.0;
        all.get(&(method.clone(), path)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_a_role_is_a_mistake() {
        let all = routes::all().into_iter().flat_map(|(_, routes)| routes);
        let (mut open, mut count) = (Vec::new(), 0);
        for route in all {
            assert!(route.access.is_some(), "{} {} wants no role, and is not open: say one", route.method, route.path);
            count += 1;
            if route.role().is_none() {
                open.push(route.path);
            }
            let changes = route.method != Method::GET;
            assert!(!changes || route.role() > Some(Role::Read), "{} {} changes something", route.method, route.path);
        }
        assert_eq!(open, ["/health", "/ready", "/openapi.json"]);
        assert_eq!(Wanted::of_all_routes().0.len(), count);
    }
}

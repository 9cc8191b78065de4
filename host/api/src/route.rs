//! What a route is: method, path and handler, and all that the API's document says of it. What the handler's signature tells
//! (its parameters, the type of its answer) is taken from there, so that it can't be said otherwise.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Json, Router};
use pawl_domain::access::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::access::Caller;
use super::problem::Result;
use super::problem::kind::{
    BAD_REQUEST, DAMAGED, ERASED, FORBIDDEN, FOREIGN_ORIGIN, INTERNAL, Kind, MISDIRECTED, NOT_FOUND, SEALED, TOO_LARGE,
    TOO_MANY_CONNECTIONS, TOO_MANY_FAILURES, TOO_SLOW, UNAUTHORIZED, UNAVAILABLE, UNKNOWN_HOST, UNSUPPORTED_MEDIA_TYPE,
};
use super::recorded::{Noted, Subject};
use super::request::{Params, Path};
use super::state::AppState;
use super::whose::Scoped;

/// How a type looks, put into the generator's definitions.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The media type of what has a [`Shape`].
pub(super) const JSON: &str = "application/json";

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody who can connect.
    Open,
    /// Whoever has a token with that role, or a greater one.
    Role(Role),
}

/// What a body is.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// JSON of that shape.
    Json(Shape),
    /// Text or bytes of that media type.
    Other(&'static str),
}

/// One method of one path.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    handler: MethodRouter<AppState>,
    /// Its name in programs that are made of the document.
    pub(super) id: &'static str,
    /// What it does, in Markdown: half a sentence, of which the part up to the first `:` or `;` stands for itself.
    pub(super) what: &'static str,
    /// Who may ask; `None`: nobody has said, which a test refuses, and nobody but an admin may.
    pub(super) access: Option<Access>,
    /// The query's parameters, as the members of an object.
    pub(super) query: Option<Shape>,
    /// The names of headers that it reads.
    pub(super) headers: Vec<&'static str>,
    /// What it takes, in one of several forms.
    pub(super) takes: Vec<Content>,
    /// Whether it takes nothing as well.
    pub(super) may_be_empty: bool,
    /// What it answers with, in one of several forms.
    pub(super) gives: Vec<Content>,
    /// The statuses of these answers, with the condition of each but the first.
    pub(super) statuses: Vec<(u16, &'static str)>,
    /// Whether the answer has a `Location`.
    pub(super) has_location: bool,
    /// Whether it is about the whole installation: whoever has a token of one namespace may not ask for it.
    pub(super) of_all: bool,
    /// Whether a token of all that names no namespace asks for what is in none here, and not in `default`.
    pub(super) everywhere: bool,
    /// Problems of its own, with their condition where it says more than the kind does.
    refusals: Vec<(&'static Kind, &'static str)>,
}

impl Route {
    pub(super) fn new<H, Args, Told>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<Args, AppState> + Signature<Told>,
        Args: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("the table has usual methods only");
        Self {
            method,
            path,
            handler: on(filter, handler),
            id: "",
            what: "",
            access: None,
            query: H::query(),
            headers: Vec::new(),
            takes: Vec::new(),
            may_be_empty: false,
            gives: H::answer().map(Content::Json).into_iter().collect(),
            statuses: vec![(200, "")],
            has_location: false,
            of_all: false,
            everywhere: false,
            refusals: Vec::new(),
        }
    }

    pub(super) fn get<H: Handler<Args, AppState> + Signature<Told>, Args: 'static, Told>(
        path: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::GET, path, handler)
    }

    pub(super) fn post<H: Handler<Args, AppState> + Signature<Told>, Args: 'static, Told>(
        path: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::POST, path, handler)
    }

    pub(super) fn says(self, id: &'static str, what: &'static str) -> Self {
        Self { id, what, ..self }
    }

    /// For those whose token has this role, or a greater one.
    pub(super) fn wants(self, role: Role) -> Self {
        Self { access: Some(Access::Role(role)), ..self }
    }

    /// For those alone whose token is of all namespaces.
    pub(super) fn of_all(self) -> Self {
        Self { of_all: true, ..self }
    }

    /// About what counts everywhere, if a token of all asks for it and names no namespace.
    pub(super) fn everywhere(self) -> Self {
        Self { everywhere: true, ..self }
    }

    /// Whether it is about the things of one namespace.
    pub(super) fn is_scoped(&self) -> bool {
        self.role().is_some() && !self.of_all
    }

    /// For all, without a token: it tells nothing of what is installed here.
    pub(super) fn open(self) -> Self {
        Self { access: Some(Access::Open), ..self }
    }

    /// The role that it wants, if it wants any.
    pub(super) fn role(&self) -> Option<Role> {
        match self.access {
            Some(Access::Open) => None,
            Some(Access::Role(role)) => Some(role),
            None => Some(Role::Admin),
        }
    }

    /// Whether it changes something that a person asks for: such requests are recorded. Submissions and signals are what the
    /// rest of the world does, and runs remember those themselves.
    pub(super) fn is_recorded(&self) -> bool {
        self.method != Method::GET && self.role().is_some_and(|role| role > Role::Submit)
    }

    pub(super) fn header(mut self, name: &'static str) -> Self {
        self.headers.push(name);
        self
    }

    pub(super) fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes.push(Content::Json(SchemaGenerator::subschema_for::<T>));
        self
    }

    pub(super) fn takes_other(mut self, media_type: &'static str) -> Self {
        self.takes.push(Content::Other(media_type));
        self
    }

    pub(super) fn or_nothing(self) -> Self {
        Self { may_be_empty: true, ..self }
    }

    /// What a handler answers with whose signature does not tell.
    pub(super) fn gives<T: JsonSchema>(mut self) -> Self {
        self.gives.push(Content::Json(SchemaGenerator::subschema_for::<T>));
        self
    }

    pub(super) fn gives_other(mut self, media_type: &'static str) -> Self {
        self.gives.push(Content::Other(media_type));
        self
    }

    /// The statuses of its answers; the condition of one begins with "if".
    pub(super) fn with(self, statuses: &[(u16, &'static str)]) -> Self {
        Self { statuses: statuses.to_vec(), ..self }
    }

    pub(super) fn at_location(self) -> Self {
        Self { has_location: true, ..self }
    }

    /// A problem of its own; the condition begins with "if", or is empty if it is that of the kind.
    pub(super) fn or(mut self, kind: &'static Kind, condition: &'static str) -> Self {
        self.refusals.push((kind, condition));
        self
    }

    /// It opens payloads of runs, or seals some.
    pub(super) fn handles_payloads(self) -> Self {
        self.or(&ERASED, "").or(&SEALED, "")
    }

    /// All problems that it may answer with; those of its own first.
    pub(super) fn refusals(&self) -> Vec<(&'static Kind, &'static str)> {
        let mut all = self.refusals.clone();
        let reads =
            self.query.is_some() || !self.headers.is_empty() || !self.takes.is_empty() || self.path.contains('{');
        let wanted = self.role();
        let is_closed = wanted.is_some();
        for (kind, may_be) in [
            (&BAD_REQUEST, reads || is_closed),
            (&UNAUTHORIZED, is_closed),
            (&FORBIDDEN, is_closed),
            (&FOREIGN_ORIGIN, true),
            (&MISDIRECTED, true),
            (&UNKNOWN_HOST, true),
            (&NOT_FOUND, is_closed),
            (&TOO_SLOW, true),
            (&TOO_LARGE, !self.takes.is_empty()),
            (&UNSUPPORTED_MEDIA_TYPE, !self.takes.is_empty()),
            (&TOO_MANY_FAILURES, is_closed),
            (&INTERNAL, is_closed),
            (&DAMAGED, is_closed),
            (&TOO_MANY_CONNECTIONS, true),
            (&UNAVAILABLE, is_closed),
        ] {
            if may_be && all.iter().all(|(known, _)| *known != kind) {
                all.push((kind, ""));
            }
        }
        all
    }

    /// Conditions of its own problems, for people.
    pub(super) fn conditions(&self) -> impl Iterator<Item = (u16, &'static str)> {
        let told = self.refusals.iter().filter(|(_, condition)| !condition.is_empty());
        told.map(|(kind, condition)| (kind.status, *condition))
    }

    pub(super) fn added_to(self, router: Router<AppState>) -> Router<AppState> {
        router.route(self.path, self.handler)
    }
}

/// What the signature of a handler tells.
pub(super) trait Signature<Told> {
    fn query() -> Option<Shape>;
    fn answer() -> Option<Shape>;
}

/// What one argument of a handler tells.
pub(super) trait Input {
    fn query() -> Option<Shape> {
        None
    }
}

impl Input for Scoped {}
impl Input for State<AppState> {}
impl Input for HeaderMap {}
impl Input for Extension<Caller> {}
impl Input for Extension<Subject> {}
impl Input for Body {}
impl<T> Input for Path<T> {}
impl<T: JsonSchema> Input for Params<T> {
    fn query() -> Option<Shape> {
        Some(T::json_schema)
    }
}

/// What the answer of a handler tells.
pub(super) trait Output {
    fn shape() -> Option<Shape>;
}

impl<T: JsonSchema> Output for Noted<T> {
    fn shape() -> Option<Shape> {
        Some(SchemaGenerator::subschema_for::<T>)
    }
}

impl Output for Response {
    fn shape() -> Option<Shape> {
        None
    }
}

impl<T: JsonSchema> Output for Json<T> {
    fn shape() -> Option<Shape> {
        Some(SchemaGenerator::subschema_for::<T>)
    }
}

impl<T: Output> Output for (StatusCode, T) {
    fn shape() -> Option<Shape> {
        T::shape()
    }
}

impl<T: Output> Output for Result<T> {
    fn shape() -> Option<Shape> {
        T::shape()
    }
}

macro_rules! signatures {
    ($(($($argument:ident)*))*) => {$(
        impl<Handling, Answering, $($argument,)*> Signature<($($argument,)*)> for Handling
        where
            Handling: Fn($($argument),*) -> Answering,
            Answering: Future<Output: Output>,
            $($argument: Input,)*
        {
            fn query() -> Option<Shape> {
                None::<Shape>$(.or($argument::query()))*
            }

            fn answer() -> Option<Shape> {
                <Answering::Output as Output>::shape()
            }
        }
    )*};
}

signatures! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) }

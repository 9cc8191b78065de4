//! The kinds of problems: what a program may branch on. `docs/http.md` and the document of the API list them from here.

/// One kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its `type` is `/problems/` and this.
    pub(crate) name: &'static str,
    /// Its status, always the same.
    pub(crate) status: u16,
    /// In words.
    pub(crate) title: &'static str,
    /// When it is the answer, in Markdown.
    pub(crate) when: &'static str,
}

impl Kind {
    /// Its `type`.
    pub(crate) fn uri(&self) -> String {
        format!("/problems/{}", self.name)
    }
}

macro_rules! kinds {
    ($($kind:ident = $status:literal $name:literal, $title:literal, $when:literal;)*) => {
        $(
            #[doc = $when]
            pub(crate) const $kind: Kind = Kind { name: $name, status: $status, title: $title, when: $when };
        )*

        /// All of them, by status.
        pub(crate) const ALL: &[&Kind] = &[$(&$kind),*];
    };
}

kinds! {
    BAD_REQUEST = 400 "bad-request", "Bad request",
        "the body is no JSON, has an unknown field, or a parameter is wrong; with line and column; or it came without TLS to an address that speaks it";
    UNAUTHORIZED = 401 "unauthorized", "Unauthorized", "the token is missing, wrong, expired or revoked; `detail` says which";
    FORBIDDEN = 403 "forbidden", "Forbidden", "the token has a smaller role than the route wants, or is of another namespace; `detail` says which";
    FOREIGN_ORIGIN = 403 "foreign-origin", "Foreign origin",
        "a web page of another origin has sent the request (its header `Origin`)";
    NOT_FOUND = 404 "not-found", "Not found", "no such route, namespace, run, step, signal or component";
    UNKNOWN_PIPELINE = 404 "unknown-pipeline", "Unknown pipeline", "no such pipeline";
    UNKNOWN_PLUGIN = 404 "unknown-plugin", "Unknown plugin", "no such plugin or version";
    METHOD_NOT_ALLOWED = 405 "method-not-allowed", "Method not allowed", "the route has other methods";
    TOO_SLOW = 408 "too-slow", "Too slow",
        "the head or the body of a request did not come in time (`header_timeout`, `body_timeout`)";
    CONFLICT = 409 "conflict", "Conflict", "the state of things forbids it";
    IDEMPOTENCY_CONFLICT = 409 "idempotency-conflict", "Idempotency key reused", "the key was used with another body";
    VERSION_EXISTS = 409 "version-exists", "Version exists", "that version was pushed with other bytes";
    REFUSED_BY_WORKERS = 409 "refused-by-workers", "Refused by workers",
        "a live worker can't load the component, which is stored and not active; `detail` names worker and reason";
    WORKERS_NOT_READY = 409 "workers-not-ready", "Workers not ready",
        "a live worker did not say in time whether it can load the component, which is stored and not active";
    ERASED = 410 "erased", "Erased",
        "the key that its payloads are sealed under was erased ([sealing](sealing.md)), or the keys of the namespace were, and nobody has said what becomes of new runs";
    TOO_LARGE = 413 "too-large", "Too large",
        "the body is over its limit: input 1 MiB, signal 1 MiB, component 64 MiB ([settings](settings.md#limits)), pipeline 4 MiB";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported-media-type", "Unsupported media type",
        "the body is of another `Content-Type` than the route takes";
    MISDIRECTED = 421 "misdirected", "Another folder's",
        "the client means the `pawl dev` of another folder (its header `pawl-folder`); `detail` names both";
    UNKNOWN_HOST = 421 "unknown-host", "Unknown host",
        "the request is for a host that this process does not go by (its header `Host`); `allowed_hosts` lists more";
    UNTRUSTED_COMPONENT = 422 "untrusted-component", "Untrusted component",
        "neither is the component's digest listed in `trusted_digests`, nor has the request a signature of it by one of `trusted_keys`";
    INVALID_COMPONENT = 422 "invalid-component", "Invalid component",
        "the bytes are no component of the world `pawl:step/step` (the answer says what they are), need what Pawl does not have, are too intricate to compile, its schemas can't be enforced, or compiling and describing it takes longer than `compile_timeout` or more than `compile_memory`, or crashes";
    INVALID_PIPELINE = 422 "invalid-pipeline", "Invalid pipeline",
        "`problems` lists everything that is wrong, with lines; also outputs that are never what the next step takes, and configs that do not fit";
    INVALID_INPUT = 422 "invalid-input", "Invalid input",
        "the run's input does not fit the schema of a first step's component; `detail` names step, path and reason";
    NOT_REPLAYED = 422 "not-replayed", "Not replayed",
        "the component can't be executed, or the replay takes longer than `compile_timeout`, more than `compile_memory`, or crashes";
    OVER_QUOTA = 429 "over-quota", "Over quota",
        "a quota of the namespace is used up ([namespaces](namespaces.md#quotas)); `detail` says which";
    TOO_MANY_READERS = 429 "too-many-readers", "Too many readers",
        "as many event streams and waits are open as may be (`readers`); a submission is taken all the same, and answered at once";
    TOO_MANY_FAILURES = 429 "too-many-failures", "Too many failures",
        "too many wrong tokens came from that address: of its further ones, one a second is looked at";
    INTERNAL = 500 "internal", "Internal error", "a bug; the log has the rest";
    DAMAGED = 500 "damaged", "Damaged", "stored bytes do not match their digest";
    TOO_MANY_CONNECTIONS = 503 "too-many-connections", "Too many connections",
        "as many connections are open as may be (`connections`)";
    BEING_BUILT = 503 "being-built", "Being built", "`pawl dev` is still building the pipeline: submit it again";
    BUSY = 503 "busy", "Busy", "other components are being pushed or compiled, another step replayed, or too many documents checked";
    SEALED = 503 "sealed", "Sealed",
        "the payloads are sealed under a master key that this API has not ([sealing](sealing.md)); `detail` says which";
    UNAVAILABLE = 503 "unavailable", "Unavailable",
        "the store or the queue is away; `Retry-After` says when to try again";
}

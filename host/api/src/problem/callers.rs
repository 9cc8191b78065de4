//! Problems of whoever asks: who that is, what they may do, and from where and whom they ask.

use std::path::Path;

use pawl_domain::access::Role;
use pawl_domain::namespace::Namespace;

use super::kind;
use crate::types::Problem;

impl Problem {
    pub(crate) fn no_token() -> Self {
        let detail = "this API wants a token: send `Authorization: Bearer <token>`; the CLI takes it from PAWL_API_TOKEN. \
                      `pawl token create` makes one, the first `pawl migrate --admin-token NAME`";
        Self::new(&kind::UNAUTHORIZED, detail)
    }

    pub(crate) fn no_dev_token() -> Self {
        let detail = "this `pawl dev` wants its token, which commands of its user find by themselves; other programs send \
                      `Authorization: Bearer $(cat .pawl/token)`";
        Self::new(&kind::UNAUTHORIZED, detail)
    }

    /// A token that lets nobody in; `why` follows on "the token ".
    pub(crate) fn wrong_token(why: &str) -> Self {
        Self::new(&kind::UNAUTHORIZED, format!("the token {why}"))
    }

    pub(crate) fn too_small_a_role(name: Option<&str>, has: Role, wanted: Role) -> Self {
        let whose = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let detail = format!(
            "this wants the role `{wanted}`, and the token{whose} has `{has}`: ask with another one; `pawl token create NAME \
             --role {wanted}` makes it"
        );
        Self::new(&kind::FORBIDDEN, detail)
    }

    /// Somebody who is known, and who may do nothing.
    pub(crate) fn no_role(why: String) -> Self {
        Self::new(&kind::FORBIDDEN, why)
    }

    pub(crate) fn elsewhere(name: &str, namespace: &Namespace) -> Self {
        let detail = format!(
            "the token `{name}` is for the namespace `{namespace}`, and this asks for another one: leave out `pawl-namespace` \
             (--namespace, PAWL_NAMESPACE), or ask with a token of that one"
        );
        Self::new(&kind::FORBIDDEN, detail)
    }

    pub(crate) fn of_all(name: Option<&str>, namespace: &Namespace) -> Self {
        let whose = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let detail = format!(
            "this is about the whole installation, and the token{whose} is for the namespace `{namespace}` alone: ask with one \
             that was made without --namespace"
        );
        Self::new(&kind::FORBIDDEN, detail)
    }

    /// No page of this process has sent a form.
    #[must_use]
    pub fn foreign_form() -> Self {
        let detail = "no page of this address has sent that form; programs ask the API, under /v1";
        Self::new(&kind::FOREIGN_ORIGIN, detail)
    }

    pub(crate) fn foreign_origin(origin: &str) -> Self {
        let detail = format!(
            "a web page of {origin:?} has sent this, which is not where this process is: pages of others may ask for nothing here. \
             If that is this API behind a proxy, add its host to `allowed_hosts`"
        );
        Self::new(&kind::FOREIGN_ORIGIN, detail)
    }

    pub(crate) fn unknown_host(host: &str) -> Self {
        let detail = format!(
            "the request is for the host {host:?}, and this process does not go by that name: ask for it by its address, or add \
             the name to its `allowed_hosts` (PAWL_ALLOWED_HOSTS)"
        );
        Self::new(&kind::UNKNOWN_HOST, detail)
    }

    pub(crate) fn wants_tls() -> Self {
        let detail =
            "this address speaks TLS: ask it with https://, not http://; for commands, in api_url (PAWL_API_URL)";
        Self::new(&kind::BAD_REQUEST, detail)
    }

    pub(crate) fn misdirected(here: &Path, meant: &Path) -> Self {
        let detail = format!(
            "this is the `pawl dev` of {}, not of {}: start one there, or say that you mean this one, with --api-url or \
             PAWL_API_URL",
            here.display(),
            meant.display()
        );
        Self::new(&kind::MISDIRECTED, detail)
    }
}

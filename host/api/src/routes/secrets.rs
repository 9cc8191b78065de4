//! The part of the table that is about secrets: who may decide about them is an admin, and who deploys sees which there are.

use axum::http::Method;
use pawl_domain::access::Role::{Admin, Deploy};

use super::BYTES;
use crate::problem::kind::{CONFLICT, NOT_FOUND};
use crate::route::Route;
use crate::secrets;

pub(super) fn secrets() -> Vec<Route> {
    vec![
        Route::get("/v1/secrets", secrets::list)
            .wants(Deploy)
            .says("listSecrets", "secrets that the store keeps, by name, with their grants and without their values, which nobody is told; `next` is the `after` of the next page; see [secrets.md](secrets.md)"),
        Route::new(Method::PUT, "/v1/secrets/{secret}", secrets::set)
            .wants(Admin)
            .says("setSecret", "gives a secret a value: the body, `application/octet-stream`; with `pipeline` and what else a grant has, grants it besides. Grants that there are stay")
            .takes_other(BYTES)
            .with(&[(201, ""), (200, "if it had a value before")])
            .or(&CONFLICT, "if the API has no master key, or others change it at the same time"),
        Route::new(Method::DELETE, "/v1/secrets/{secret}", secrets::remove)
            .wants(Admin)
            .says("removeSecret", "removes its value and its grants; attempts that have it go on with it")
            .or(&NOT_FOUND, "if there is none")
            .or(&CONFLICT, "if others change it at the same time"),
        Route::post("/v1/secrets/{secret}/grants", secrets::grant)
            .wants(Admin)
            .says("grantSecret", "grants it to steps of `pipeline`; asking twice is fine")
            .or(&NOT_FOUND, "if there is none")
            .or(&CONFLICT, "if it has as many grants as it may"),
        Route::new(Method::DELETE, "/v1/secrets/{secret}/grants", secrets::revoke)
            .wants(Admin)
            .says("revokeSecretGrant", "takes a grant back, as the list tells it: attempts that begin a second later are not given it any more")
            .or(&NOT_FOUND, "if there is no such secret")
            .or(&CONFLICT, "if it has no such grant; `detail` names those that it has"),
        Route::post("/admin/rotate_secrets", secrets::rotate)
            .wants(Admin)
            .says("rotateSecrets", "wraps data keys anew under the API's first master key, a hundred secrets at a time; `next` is the `after` of the next piece")
            .or(&CONFLICT, "if the API has no master key"),
    ]
}

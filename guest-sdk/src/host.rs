//! The host's functions, as the rest of the SDK calls them: the bindings of `wit/step.wit`, each behind a
//! check that there is a host. Nothing else in the SDK may name the bindings of imports, so that a list of
//! all host calls is the list of functions here.

use crate::raw::pawl::step::{context, durable, http, logging};

pub(crate) use context::Info;
pub(crate) use http::{Error as HttpError, Request as HttpRequest, Response as HttpResponse};
pub(crate) use logging::Level;

/// Panics where there is no host, with what to do instead of a link error or an `unreachable`.
fn needs_host(call: &str) {
    if cfg!(not(target_arch = "wasm32")) {
        panic!(
            "{call} asks the Pawl host, and there is none in a native build: test the parts around it, or run the component"
        );
    }
}

pub(crate) fn context() -> Info {
    needs_host("context.get");
    context::get()
}

pub(crate) fn checkpoint(state: &[u8]) {
    needs_host("durable.checkpoint");
    durable::checkpoint(state);
}

pub(crate) fn restore() -> Option<Vec<u8>> {
    needs_host("durable.restore");
    durable::restore()
}

pub(crate) fn once_begin(key: &str) -> Option<Vec<u8>> {
    needs_host("durable.once-begin");
    durable::once_begin(key)
}

pub(crate) fn once_finish(key: &str, value: &[u8]) {
    needs_host("durable.once-finish");
    durable::once_finish(key, value);
}

pub(crate) fn now_ns() -> u64 {
    needs_host("durable.now");
    durable::now()
}

pub(crate) fn random(len: u32) -> Vec<u8> {
    needs_host("durable.random");
    durable::random(len)
}

pub(crate) fn idempotency_key(name: &str) -> String {
    needs_host("durable.idempotency-key");
    durable::idempotency_key(name)
}

pub(crate) fn send(request: &HttpRequest) -> Result<HttpResponse, HttpError> {
    needs_host("http.send");
    http::send(request)
}

pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
    needs_host("logging.log");
    logging::log(level, message, fields);
}

pub(crate) fn progress(fraction: f64, message: &str) {
    needs_host("logging.progress");
    logging::progress(fraction, message);
}

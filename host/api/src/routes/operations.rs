//! The part of the table that is for those who keep Pawl running: queues, workers, outside hosts, signs of life, and who may ask.

use axum::http::Method;
use pawl_domain::access::Role::{Admin, Operate, Read};
use serde_json::Value;

use super::{PROMETHEUS, paused};
use crate::problem::kind::{CONFLICT, NOT_FOUND};
use crate::route::Route;
use crate::types::{CloseCircuit, CreateToken, NamespaceQuota, SealNamespace};
use crate::{
    circuits, doctor, health, home, incidents, metrics, namespaces, openapi, operations, pauses, quotas, recorded,
    sealing, tokens, waits, worker,
};

pub(super) fn operations() -> Vec<Route> {
    vec![
        Route::get("/v1/workers", operations::workers).wants(Read).of_all().says("listWorkers", "worker processes and their leases, and those that went within a day"),
        Route::get("/v1/workers/{worker}", worker::show)
            .wants(Read)
            .of_all().says("showWorker", "a worker that is there, with the steps that it has in hand")
            .or(&NOT_FOUND, "if it is gone, or never was"),
        Route::post("/v1/workers/{worker}/drain", operations::drain)
            .wants(Operate)
            .of_all().says("drainWorker", "asks a worker to take nothing new, to finish or hand back what it has, and to end; it hears of it with its next heartbeat, and asking twice is fine")
            .or(&NOT_FOUND, "")
            .or(&CONFLICT, "if it is gone, or `pawl dev`"),
        Route::get("/v1/queues", operations::queues)
            .wants(Read)
            .of_all().says("listQueues", "streams, their depth and pending messages"),
        Route::get("/v1/queues/{queue}", operations::queue)
            .wants(Read)
            .of_all().says("showQueue", "a queue's three streams: who reads them, which messages are pending and since when; and who serves it")
            .or(&NOT_FOUND, "if it has nothing, nobody serves it and no pipeline names it"),
        paused(Route::post("/v1/queues/{queue}/pause", pauses::pause_queue))
            .wants(Operate)
            .of_all().says("pauseQueue", "starts no step of it until it is unpaused, whoever serves it")
            .or(&NOT_FOUND, "if nobody serves it and no pipeline names it")
            .or(&CONFLICT, "if two hundred pipelines and queues are paused already"),
        Route::post("/v1/queues/{queue}/unpause", pauses::unpause_queue)
            .wants(Operate)
            .of_all().says("unpauseQueue", "lets its steps start again; asking twice is fine")
            .or(&NOT_FOUND, "if it is not paused, nobody serves it and no pipeline names it"),
        Route::get("/v1/waits", waits::list)
            .wants(Read)
            .says("listWaits", "steps that nobody executes until something comes: with `kind=signal` a signal, by run, the oldest first; with `kind=time` a time, the soonest first: sleeps, retries, calls of hosts that are down, signals with a limit; `next` is the `after` of the next page, which may be there after a page with few: of a thousand steps it looks at, it tells those of the namespace"),
        Route::get("/v1/circuits", circuits::list)
            .wants(Read)
            .says("listCircuits", "outside hosts that are down: since when, why, when they are probed, and how many steps wait for each; see [circuits.md](circuits.md)"),
        Route::post("/v1/circuits/close", circuits::close)
            .wants(Operate)
            .says("closeCircuit", "lets steps call a host again at once: `{\"origin\": \"https://pay.example.org:443\"}`, as the list tells it; its circuit opens again if calls fail")
            .takes::<CloseCircuit>()
            .or(&NOT_FOUND, "if no circuit of it is open"),
        Route::get("/v1/incidents", incidents::list)
            .wants(Read)
            .of_all().says("listIncidents", "what happened to the whole installation, newest first: a server was away, the queue was emptied, nobody served a queue, a worker died, an outside host was down; `next` is the `before` of the next page; see [incidents.md](incidents.md)"),
        Route::get("/v1/doctor", doctor::show)
            .wants(Operate)
            .of_all().says("showDoctor", "the checklist after an incident, of all namespaces: what `pawl doctor` finds in the store, and whether the queue takes deliveries, each with what to do; the command looks at more"),
        Route::get("/v1/builds", home::builds)
            .wants(Read)
            .of_all().says("listBuilds", "what `pawl dev` is building, and what could not be built, with the compiler's messages; of `pawl api`, nothing"),
        Route::get("/v1/scale", operations::scale)
            .wants(Read)
            .of_all().says("showScale", "what each queue asks of workers, for autoscaling: steps that wait and steps that are executed; with `queue=NAME` of this one alone"),
        Route::post("/admin/requeue_processing", operations::requeue_processing)
            .wants(Operate)
            .of_all().says("requeueProcessing", "delivers steps again whose worker is gone: `{\"requeued\": 1}`"),
        Route::post("/admin/requeue_stale", operations::requeue_stale)
            .wants(Operate)
            .of_all().says("requeueStale", "delivers ready steps again that nobody has claimed: `{\"requeued\": 0}`"),
        Route::get("/health", health::show)
            .says("showHealth", "the process is alive: `{\"status\": \"ok\"}`")
            .open(),
        Route::get("/ready", health::ready)
            .says("showReadiness", "whether the store answers, its schema is this build's or a newer one that works with it, and the queue takes deliveries (for `pawl dev`: its disk has room); else the reasons")
            .open()
            .with(&[(200, ""), (503, "if it is not ready")]),
        Route::get("/metrics", metrics::show)
            .wants(Read)
            .of_all().says("showMetrics", "the figures of the process and, of the whole installation, those of queues and workers, in Prometheus' text format; [metrics.md](metrics.md) lists them")
            .gives_other(PROMETHEUS)
            .or(&NOT_FOUND, "if the setting `metrics` is off"),
        Route::get("/openapi.json", openapi::show)
            .says("showDocument", "these routes as an OpenAPI document, for programs")
            .open()
            .gives::<Value>(),
    ]
}

pub(super) fn access() -> Vec<Route> {
    vec![
        Route::post("/v1/tokens", tokens::create)
            .wants(Admin)
            .everywhere()
            .says("createToken", "makes a token: `{\"name\": \"ci\", \"role\": \"deploy\", \"expires_in_ms\": 2592000000}`; `token` is its text, which is told this once")
            .takes::<CreateToken>()
            .with(&[(201, "")])
            .or(&CONFLICT, "if there is one of that name, or nobody could make another after it"),
        Route::get("/v1/tokens", tokens::list)
            .wants(Admin)
            .says("listTokens", "tokens, without their texts: those that are not revoked by name, then those that are"),
        Route::new(Method::DELETE, "/v1/tokens/{token}", tokens::revoke)
            .wants(Admin)
            .everywhere()
            .says("revokeToken", "revokes a token: within a second no API lets it in any more")
            .or(&NOT_FOUND, "if there is none of that name that is not revoked"),
        Route::get("/v1/audit", recorded::list)
            .wants(Operate)
            .says("listChanges", "who asked for which change, newest first: every request but submissions and signals that wants more than `read`; with a token of one namespace, those about it and by its tokens; `run` is for those about one run; `who` is a token's name as the list tells it, `what` an operation's; `since_ms` and `until_ms` are found, while `who` and `what` are looked for in a thousand lines at a time: `looked_at` and `looked_to_ms` say how far; `next` is the `before` of the next page"),
    ]
}

pub(super) fn namespaces() -> Vec<Route> {
    vec![
        Route::get("/v1/namespaces", namespaces::list)
            .wants(Read)
            .says("listNamespaces", "namespaces: all that there are, or the token's own; see [namespaces.md](namespaces.md)"),
        Route::new(Method::PUT, "/v1/namespaces/{namespace}", namespaces::create)
            .wants(Admin)
            .of_all()
            .says("createNamespace", "makes a namespace; asking twice is fine")
            .with(&[(201, ""), (200, "if it was there")]),
        Route::new(Method::PUT, "/v1/namespaces/{namespace}/quota", quotas::set)
            .wants(Admin)
            .of_all()
            .says("setQuota", "says what a namespace may take of what all share: `{\"runs\": 1000, \"submissions\": 50, \"components\": 20, \"stored_bytes\": 10737418240}`; what is left out is not bounded")
            .takes::<NamespaceQuota>()
            .or(&NOT_FOUND, "if nobody has made the namespace"),
        Route::get("/v1/namespaces/{namespace}/keys", sealing::keys)
            .wants(Admin)
            .of_all()
            .says("listNamespaceKeys", "whether payloads of its new runs are sealed, and its keys without the keys")
            .or(&NOT_FOUND, "if nobody has made the namespace"),
        Route::new(Method::PUT, "/v1/namespaces/{namespace}/sealing", sealing::set)
            .wants(Admin)
            .of_all()
            .says("sealNamespace", "has payloads of runs sealed that are submitted from now on, or not: `{\"sealing\": \"on\"}`, `\"off\"`, or `\"new_key\"`: under a new key, though there is one; asking twice is fine but for that")
            .takes::<SealNamespace>()
            .or(&NOT_FOUND, "if nobody has made the namespace"),
        Route::new(Method::DELETE, "/v1/namespaces/{namespace}/keys", sealing::erase_namespace)
            .wants(Admin)
            .of_all()
            .says("eraseNamespaceKeys", "erases its keys: no sealed payload of it is read any more, for good; asking twice is fine")
            .or(&CONFLICT, "if runs of it have not ended"),
    ]
}

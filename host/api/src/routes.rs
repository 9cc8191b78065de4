//! The table of routes: the one place where a route's method, path, handler, words, types and answers stand. The router, the
//! document ([`super::openapi`]) and the table in `docs/http.md` are made of it.

use axum::http::Method;
use pawl_domain::access::Role::{Admin, Deploy, Operate, Read, Submit};
use pawl_domain::trace::{TRACEPARENT, TRACESTATE};
use serde_json::Value;

use super::problem::kind::{
    BEING_BUILT, BUSY, CONFLICT, IDEMPOTENCY_CONFLICT, INVALID_COMPONENT, INVALID_INPUT, INVALID_PIPELINE, NOT_FOUND,
    NOT_REPLAYED, OVER_QUOTA, REFUSED_BY_WORKERS, TOO_LARGE, TOO_MANY_READERS, UNKNOWN_PIPELINE, UNKNOWN_PLUGIN,
    UNTRUSTED_COMPONENT, VERSION_EXISTS, WORKERS_NOT_READY,
};
use super::route::Route;
use super::trusted::SIGNATURE;
use super::types::{
    ActOnDeadLetters, ActivatePlugin, AppliedPipeline, EventList, FailRun, IDEMPOTENCY_KEY, LogList, PauseRequest,
    PushedPlugin, RecoverRuns, ResumeStep, SkipStep, SubmitRun, SubmittedRun,
};
use super::{
    dead_letters, events, inbox, journal, listed, logs, pauses, pipelines, plugins, recoveries, replay, report,
    retention, runs, sealing, signals, submit, verbs,
};

mod operations;
mod secrets;

/// The header with which a reader of events goes on.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

/// The media types that are not JSON.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
pub(super) const PROMETHEUS: &str = "text/plain";
pub(super) const TOML: &str = "application/toml";
pub(super) const WASM: &str = "application/wasm";
pub(super) const BYTES: &str = "application/octet-stream";

/// All routes, by what they are about.
pub(super) fn all() -> Vec<(&'static str, Vec<Route>)> {
    vec![
        ("runs", runs()),
        ("signals", signals()),
        ("steps", steps()),
        ("dead letters", dead_letters()),
        ("plugins", plugins()),
        ("pipelines", pipelines()),
        ("recoveries", recoveries()),
        ("retention", retention()),
        ("operations", operations::operations()),
        ("access", operations::access()),
        ("namespaces", operations::namespaces()),
        ("secrets", secrets::secrets()),
    ]
}

fn runs() -> Vec<Route> {
    vec![
        Route::post("/v1/runs", submit::submit)
            .wants(Submit)
            .says("submitRun", "submits a run: `{\"pipeline\": \"temperatures\", \"input\": {...}}`; `wait_ms` waits until it has ended, and answers with its status then")
            .header(IDEMPOTENCY_KEY)
            .header(TRACEPARENT)
            .header(TRACESTATE)
            .takes::<SubmitRun>()
            .gives::<SubmittedRun>()
            .with(&[(202, "")])
            .at_location()
            .or(&UNKNOWN_PIPELINE, "")
            .or(&IDEMPOTENCY_CONFLICT, "if the key was used for another")
            .handles_payloads()
            .or(&INVALID_INPUT, "")
            .or(&OVER_QUOTA, "if the namespace has as many runs, or submissions in a second, as it may")
            .or(&BEING_BUILT, "")
            .or(&BUSY, ""),
        Route::get("/v1/runs", listed::list)
            .wants(Read)
            .says("listRuns", "lists runs, newest first, without payloads; `next` is the `before` of the next page; with `id`, those whose ids begin with these digits, by id; `status` is one of a run, or `parked` (a step waits for a person) `stuck` (nobody moves it, see [dead-letters.md](dead-letters.md)) or `paused` (a person has paused the run itself); `\"parked\": true` where nothing is executed and a step waits for a person; `pipeline`, `since_ms` and `until_ms` (of the submission) and `key` are found by an index, while `version`, `key_prefix` and `error` are looked for in a thousand runs at a time: `looked_at` and `looked_to_ms` say how far, `next` goes on"),
        Route::get("/v1/runs/{run}", runs::show)
            .wants(Read)
            .says("showRun", "a run with its steps, without payloads; `wait_ms` waits until it has ended, `steps=false` leaves the steps out")
            .or(&TOO_MANY_READERS, ""),
        Route::get("/v1/runs/{run}/input", runs::input)
            .wants(Read)
            .says("showInput", "the input as it was submitted")
            .handles_payloads()
            .gives::<Value>(),
        Route::get("/v1/runs/{run}/output", runs::output)
            .wants(Read)
            .says("showOutput", "the output as the steps wrote it")
            .handles_payloads()
            .gives::<Value>()
            .or(&CONFLICT, "if it has none"),
        Route::get("/v1/runs/{run}/events", events::events)
            .wants(Read)
            .says("listEvents", "its history; `after=N` for those after event N; with `Accept: text/event-stream` as a stream that follows the run, or with `marks_every_ms=N` only says now and then how far it has come, see below")
            .header(LAST_EVENT_ID)
            .gives::<EventList>()
            .gives_other(EVENT_STREAM)
            .with(&[(200, ""), (204, "if a stream is asked to go on after the last event of a run that has ended")])
            .or(&TOO_MANY_READERS, ""),
        logged(Route::get("/v1/runs/{run}/logs", logs::of_run))
            .wants(Read)
            .says("listLogs", "what its steps have logged, in the order in which it was stored; `next` is the `after` of the next page, `tail=N` is for the last N lines; `level`, `attempt` and `since_ms` leave lines out; with `Accept: text/event-stream` as a stream that follows the run, see below"),
        Route::get("/v1/runs/{run}/explain", runs::why).wants(Read).says("explainRun", "why it has not ended, or why it has failed, and what can be done"),
        Route::get("/v1/runs/{run}/report", report::show)
            .wants(Read)
            .says("reportRun", "all that is needed to judge it, bounded: why it stands or has failed, the steps concerned with the ends of their journals and logs, versions, recoveries, the last events, and commands that would move it"),
        Route::post("/v1/runs/{run}/cancel", verbs::cancel)
            .wants(Operate)
            .says("cancelRun", "stops it; `retry` opens it again")
            .or(&CONFLICT, "if it has ended"),
        Route::post("/v1/runs/{run}/fail", verbs::fail)
            .wants(Operate)
            .says("failRun", "ends it as failed: `{\"message\": \"why\"}`, a line of at most 4 KiB; like a cancellation, but `retry` opens it again")
            .takes::<FailRun>()
            .or(&CONFLICT, "if it has ended"),
        paused(Route::post("/v1/runs/{run}/pause", pauses::pause_run))
            .wants(Operate)
            .says("pauseRun", "starts no new step of it until it is unpaused; what runs goes on to its end, what waits keeps its time; `{\"reason\": \"why\"}` is kept, see [pauses.md](pauses.md)")
            .or(&CONFLICT, "if it has ended"),
        Route::post("/v1/runs/{run}/unpause", pauses::unpause_run)
            .wants(Operate)
            .says("unpauseRun", "lets it go on; asking twice is fine")
            .or(&CONFLICT, "if it has ended"),
        Route::post("/v1/runs/{run}/retry", verbs::retry)
            .wants(Operate)
            .says("retryRun", "opens it again with all its failed and parked steps, and all that was stopped when it failed, or when a person failed or cancelled it; with `on=latest` on the versions that are active now; with `from=STEP` that step and all that follow it are done again from their start, whatever had become of them")
            .or(&CONFLICT, "if there is nothing to retry"),
        Route::post("/v1/runs/{run}/resume", recoveries::resume)
            .wants(Operate)
            .says("resumeRun", "lets a run go on that nobody moves: steps whose worker is gone are taken over, what is past its time is woken, what is ready is delivered again")
            .or(&CONFLICT, "if somebody is at work on it, it waits, a step is parked or has failed, or it has ended; `detail` tells what to do"),
        Route::new(Method::DELETE, "/v1/runs/{run}/key", sealing::erase_run)
            .wants(Admin)
            .says("eraseRunKey", "erases the key of a run that has ended: its payloads are not read any more, for good; asking twice is fine")
            .or(&CONFLICT, "if it has not ended, or its payloads are in the clear"),
    ]
}

fn paused(route: Route) -> Route {
    route.takes::<PauseRequest>().or_nothing()
}

fn logged(route: Route) -> Route {
    route
        .header(LAST_EVENT_ID)
        .gives::<LogList>()
        .gives_other(EVENT_STREAM)
        .with(&[(200, ""), (204, "if a stream is asked to go on after the last line of what has ended")])
        .or(&TOO_MANY_READERS, "")
}

fn signals() -> Vec<Route> {
    vec![
        Route::post("/v1/runs/{run}/signals/{name}", signals::send)
            .wants(Submit)
            .says("sendSignal", "sends a signal; the body is what it carries, any JSON, or empty for `null`; see below")
            .header(IDEMPOTENCY_KEY)
            .takes::<Value>()
            .or_nothing()
            .with(&[(202, "")])
            .handles_payloads()
            .or(&CONFLICT, "if the run has ended, its inbox is full and no step waits for it, or the key was used for another signal"),
        Route::get("/v1/runs/{run}/inbox", inbox::list)
            .wants(Read)
            .says("listInbox", "signals that no step has taken, and those that a step has failed by (`rejected` says which step, and how), without what they carry; `next` is the `after` of the next page"),
        Route::get("/v1/runs/{run}/inbox/{number}", inbox::show)
            .wants(Read)
            .says("showSignal", "one of them, with what it carries")
            .handles_payloads(),
        Route::new(Method::PUT, "/v1/runs/{run}/inbox/{number}", inbox::replace)
            .wants(Operate)
            .says("replaceSignal", "lets it carry the body, any JSON; one that was rejected returns to the inbox")
            .handles_payloads()
            .takes::<Value>()
            .or_nothing()
            .or(&CONFLICT, "if a step has it"),
        Route::new(Method::DELETE, "/v1/runs/{run}/inbox/{number}", inbox::remove)
            .wants(Operate)
            .says("removeSignal", "takes it away; its key stays used")
            .or(&CONFLICT, "if a step has it"),
        Route::post("/v1/runs/{run}/inbox/{number}/return", inbox::give_back)
            .wants(Operate)
            .says("returnSignal", "puts one that was rejected into the inbox again, as it is")
            .or(&CONFLICT, "if it was not rejected"),
    ]
}

fn steps() -> Vec<Route> {
    vec![
        Route::get("/v1/runs/{run}/steps/{step}", runs::show_step)
            .wants(Read)
            .says("showStep", "a step with its output and error")
            .handles_payloads(),
        logged(Route::get("/v1/runs/{run}/steps/{step}/logs", logs::of_step))
            .wants(Read)
            .says("listStepLogs", "the same of one step"),
        Route::post("/v1/runs/{run}/steps/{step}/retry", verbs::retry_step)
            .wants(Operate)
            .says("retryStep", "opens one failed or parked step again; `on` as above")
            .or(&CONFLICT, "if it is neither"),
        Route::post("/v1/runs/{run}/steps/{step}/resume", verbs::resume_step)
            .wants(Operate)
            .says("resumeStep", "lets a parked step go on: `{\"on\": \"pinned\"}`, `\"latest\"` or the first digits of a component's digest; with `\"from_checkpoint\": true` without what it did after its last checkpoint")
            .takes::<ResumeStep>()
            .handles_payloads()
            .or(&CONFLICT, "if it is not parked, or has moved meanwhile"),
        Route::post("/v1/runs/{run}/steps/{step}/skip", dead_letters::act::skip)
            .wants(Operate)
            .says("skipStep", "gives a step that has failed or is parked the output that it has not got: `{\"output\": {...}}`; those who need it go on with that")
            .takes::<SkipStep>()
            .handles_payloads()
            .or(&CONFLICT, "if it is neither")
            .or(&INVALID_INPUT, "if its component would not put that out")
            .or(&BUSY, ""),
        Route::get("/v1/runs/{run}/steps/{step}/journal", journal::show)
            .wants(Read)
            .says("showJournal", "what a replay elsewhere needs: input, config, checkpoint, packed entries; bytes in hexadecimal digits")
            .handles_payloads()
            .or(&CONFLICT, "if it moves on meanwhile, or waits for the steps that it needs")
            .or(&TOO_LARGE, "if it has more than 128 MiB"),
        Route::get("/v1/runs/{run}/steps/{step}/replay", replay::show)
            .wants(Read)
            .says("replayStep", "what its component does against its journal: calls with their answers, what it logs, and how it ends; `to=N` stops it at entry N, `on` takes another component; it is executed in a process of its own, nothing is written and nothing leaves")
            .handles_payloads()
            .or(&CONFLICT, "if it moves on meanwhile, or waits for the steps that it needs")
            .or(&TOO_LARGE, "if its journal has more than 16 MiB")
            .or(&NOT_REPLAYED, "")
            .or(&BUSY, "if another step is being replayed"),
    ]
}

fn dead_letters() -> Vec<Route> {
    vec![
        Route::get("/v1/dead-letters", dead_letters::list)
            .wants(Read)
            .says("listDeadLetters", "steps that have failed for good or are parked, and that nobody has looked after, newest first; `next` is the `before` of the next page; see [dead-letters.md](dead-letters.md)"),
        Route::get("/v1/dead-letters/groups", dead_letters::groups)
            .wants(Read)
            .says("listDeadLetterGroups", "the same by their causes: pipeline, step, and the first line of the error with `#` for numbers and ids"),
        Route::post("/v1/dead-letters", dead_letters::act::act)
            .wants(Operate)
            .says("actOnDeadLetters", "does something about those that a filter means, of a hundred runs at a time: `{\"verb\": \"retry\", \"group\": \"3f9a0c11d2e4\"}`; with `\"dry_run\": true` it only counts; `next` and `until` are `after` and `until` of the next piece")
            .takes::<ActOnDeadLetters>()
            .or(&NOT_FOUND, "if it names a run that is not there")
            .or(&BUSY, ""),
    ]
}

fn plugins() -> Vec<Route> {
    let push = |route: Route| {
        route
            .takes_other(WASM)
            .gives::<PushedPlugin>()
            .with(&[(201, ""), (200, "if it was there")])
            .or(&VERSION_EXISTS, "if the version was pushed with other bytes")
            .or(&REFUSED_BY_WORKERS, "")
            .or(&WORKERS_NOT_READY, "")
            .or(&INVALID_COMPONENT, "")
            .or(&OVER_QUOTA, "if the namespace has as many components as it may")
            .or(&BUSY, "")
    };
    let trusted = |route: Route| route.header(SIGNATURE).or(&UNTRUSTED_COMPONENT, "");
    vec![
        trusted(push(Route::post("/v1/plugins/{plugin}/versions/{version}", plugins::push)))
            .wants(Deploy)
            .says("pushVersion", "stores a component; the body is its bytes, `application/wasm`; it becomes the active version unless `activate=false`"),
        trusted(push(Route::post("/v1/plugins", plugins::push_as_described)))
            .wants(Deploy)
            .says("pushPlugin", "the same, where name and version default to what the component says of itself"),
        Route::get("/v1/plugins", plugins::list).wants(Read).says("listPlugins", "plugins and their versions"),
        Route::get("/v1/plugins/{plugin}", plugins::show::plugin)
            .wants(Read)
            .says("showPlugin", "a plugin's versions, without what they say of themselves: what keeps each, and how many open runs are pinned to it; and the pipelines that use the plugin")
            .or(&UNKNOWN_PLUGIN, ""),
        Route::get("/v1/plugins/{plugin}/versions/{version}", plugins::show::version)
            .wants(Read)
            .says("showVersion", "a version: what its component says of itself, and which interfaces it imports")
            .or(&UNKNOWN_PLUGIN, "")
            .or(&BUSY, ""),
        trusted(Route::post("/v1/plugins/{plugin}/activate", plugins::activate))
            .wants(Deploy)
            .says("activateVersion", "makes a version the active one: `{\"version\": \"1.2.0\"}`; waits until every live worker has loaded it")
            .takes::<ActivatePlugin>()
            .or(&UNKNOWN_PLUGIN, "")
            .or(&REFUSED_BY_WORKERS, "if a live worker can't load it, or does not say in time whether it can")
            .or(&WORKERS_NOT_READY, ""),
        trusted(Route::post("/v1/plugins/{plugin}/rollback", plugins::rollback))
            .wants(Deploy)
            .says("rollBack", "goes back in history: makes the version active again that was so before this one")
            .or(&UNKNOWN_PLUGIN, "")
            .or(&CONFLICT, "if there was none")
            .or(&REFUSED_BY_WORKERS, "")
            .or(&WORKERS_NOT_READY, ""),
        Route::get("/v1/components/{digest}", journal::component)
            .wants(Read)
            .says("readComponent", "the bytes of a component, `application/wasm`")
            .gives_other(WASM)
            .or(&NOT_FOUND, ""),
    ]
}

fn pipelines() -> Vec<Route> {
    vec![
        Route::post("/v1/pipelines", pipelines::apply)
            .wants(Deploy)
            .says(
                "applyPipeline",
                "applies a pipeline, `application/toml` or `application/json`; `check=true` only checks",
            )
            .takes_other(TOML)
            .takes::<Value>()
            .gives::<AppliedPipeline>()
            .with(&[(201, ""), (200, "if nothing changed")])
            .or(&INVALID_PIPELINE, "")
            .or(&BUSY, ""),
        Route::get("/v1/pipelines", pipelines::list).wants(Read).says("listPipelines", "pipelines; with `paused=true` those that are paused, with what waits for the end of that"),
        Route::get("/v1/pipelines/{pipeline}", pipelines::show)
            .wants(Read)
            .says("showPipeline", "a pipeline's current version")
            .or(&UNKNOWN_PIPELINE, ""),
        Route::get("/v1/pipelines/{pipeline}/versions", pipelines::versions::list)
            .wants(Read)
            .says("listPipelineVersions", "versions of a pipeline that were current, newest first, and since when; of those before the current one a hundred, unless retention has deleted them")
            .or(&UNKNOWN_PIPELINE, ""),
        Route::get("/v1/pipelines/{pipeline}/versions/{digits}", pipelines::versions::show)
            .wants(Read)
            .says("showPipelineVersion", "one of them, by the first digits of its digest")
            .or(&UNKNOWN_PIPELINE, "")
            .or(&NOT_FOUND, "if it has had no such version, it is gone, or the digits begin several"),
        Route::get("/v1/pipelines/{pipeline}/schema", pipelines::versions::input)
            .wants(Read)
            .says("showPipelineInput", "what its first steps take, as JSON Schemas: a run's input is given to each of them")
            .or(&UNKNOWN_PIPELINE, ""),
        Route::get("/v1/pipelines/{pipeline}/times", pipelines::times::show)
            .wants(Read)
            .says("timePipeline", "how long its runs and each of their steps take, as a distribution: of the newest runs that have succeeded or failed, 200 unless `runs` says otherwise, and fewer where they have many steps")
            .or(&UNKNOWN_PIPELINE, ""),
        paused(Route::post("/v1/pipelines/{pipeline}/pause", pauses::pause_pipeline))
            .wants(Operate)
            .says(
                "pausePipeline",
                "takes its runs, and starts no step of them until it is unpaused, in whatever version",
            )
            .or(&UNKNOWN_PIPELINE, "")
            .or(&CONFLICT, "if two hundred pipelines and queues are paused already"),
        Route::post("/v1/pipelines/{pipeline}/unpause", pauses::unpause_pipeline)
            .wants(Operate)
            .says("unpausePipeline", "lets its runs go on; asking twice is fine")
            .or(&UNKNOWN_PIPELINE, ""),
    ]
}

fn recoveries() -> Vec<Route> {
    vec![
        Route::get("/v1/recoveries", recoveries::list)
            .wants(Read)
            .says("listRecoveries", "records of takeovers, newest first: from the end of a worker's lease to the first new call of its replacement; `next` is the `before` of the next page"),
        Route::get("/v1/interrupted", recoveries::interrupted)
            .wants(Read)
            .says("listInterrupted", "runs that have begun, that nobody moves, and of which no step has done anything for `threshold_ms`, those that stand longest first"),
        Route::post("/v1/recover", recoveries::recover)
            .wants(Operate)
            .says("recoverRuns", "tells of interrupted runs and, with `{\"resume\": true}`, lets them go on; with `wait_ms` it waits for what comes of that; runs in which a step has failed are only named, with what to do")
            .takes::<RecoverRuns>()
            .or(&TOO_MANY_READERS, ""),
    ]
}

fn retention() -> Vec<Route> {
    vec![
        Route::get("/v1/retention", retention::show)
            .wants(Read)
            .of_all()
            .says("showRetention", "by which settings runs that have ended are deleted, how many are due (of more than ten thousand that is all it says), and since when"),
        Route::post("/v1/retention/run", retention::run)
            .wants(Operate)
            .of_all()
            .says("runRetention", "deletes now what is due, for some seconds; `\"more\": true` if that was not all: ask again")
            .or(&CONFLICT, "if no worker has looked after retention so far: its settings are those that count")
            .or(&BUSY, ""),
        Route::new(Method::PUT, "/v1/runs/{run}/keep", retention::keep)
            .wants(Operate)
            .says("keepRun", "keeps a run, however long ago it has ended, or will have"),
        Route::new(Method::DELETE, "/v1/runs/{run}/keep", retention::keep_no_longer)
            .wants(Operate)
            .says("keepRunNoLonger", "lets its retention count again"),
    ]
}

//! `/metrics`: the figures of the process, as Prometheus reads them; and the small server that tells a worker's, which has
//! no API.
//!
//! What only store and queue know (queues, parked steps, workers) is asked for when somebody reads, here or at `/v1/scale`,
//! and at most every [`FRESH`]: however many read however often, it costs the same few bounded questions. While they are
//! asked, others wait for the same answer. A server that does not answer in time is told as away, and what it would have said
//! stays out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use pawl_domain::proxies::Proxies;
use pawl_metrics::{Figures, MEDIA_TYPE, Role, exposition, figures, is_on};
use pawl_queue::{Queue, StreamState};
use pawl_store::live::Backlog;
use pawl_store::workers::WorkerRow;
use pawl_store::{self as store, SharedStore, Store};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::access::{Access, OwnToken};
use super::browsers::{self, Hosts};
use super::demand;
use super::doors::{self, Doors};
use super::problem::Result;
use super::state::AppState;
use super::tls::Tls;
use super::tokens::API_TOKEN;
use super::types::Problem;
use super::whose::Scoped;
use super::{health, no_method, no_route, unread};

/// How long answers are good for.
const FRESH: Duration = Duration::from_secs(2);

/// How long each server has for its answer: less than Prometheus waits for ours, which is 10 s unless it is set.
const PATIENCE: Duration = Duration::from_secs(3);

/// Streams, and queues, that have figures of their own: queues are named by pipelines, and anybody may name one.
pub(super) const STREAMS: usize = 300;

/// How a worker's figures are served: to few, who say little.
fn doors_to_figures(tls: Option<Tls>) -> Doors {
    let time = Duration::from_secs(10);
    Doors { tls, connections: 64, header_timeout: time, body_timeout: time }
}

/// What store and queue last said of the whole installation.
pub(super) struct Installation {
    asked_at: Instant,
    /// Whether the store answers, and takes writes.
    store_up: bool,
    /// What waits, and who is there; `None`: the store did not answer in time.
    pub(super) of_store: Option<(Backlog, Vec<WorkerRow>)>,
    /// `None`: the queue did not.
    pub(super) of_queue: Option<Vec<StreamState>>,
}

/// The same, if they were asked at all; shared by all who read.
pub(super) type Asked = Arc<Mutex<Option<Arc<Installation>>>>;

pub(super) async fn show(Scoped(state): Scoped) -> Result<Response> {
    if is_on() {
        installation(&state).await;
    }
    told(if state.home.is_some() { Role::Dev } else { Role::Api })
}

fn told(role: Role) -> Result<Response> {
    if !is_on() {
        return Err(Problem::not_found("no figures are kept here: the setting `metrics` is off".to_owned()));
    }
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], exposition(role)).into_response())
}

/// What store and queue say, or have said a moment ago.
pub(super) async fn installation(state: &AppState) -> Arc<Installation> {
    let mut asked = state.asked.lock().await;
    if let Some(known) = asked.as_ref().filter(|known| known.asked_at.elapsed() < FRESH) {
        return Arc::clone(known);
    }
    let known = Arc::new(ask(&*state.store, &*state.queue).await);
    tell(figures(), &known);
    *asked = Some(Arc::clone(&known));
    known
}

/// Asks both, at the same time.
async fn ask(store: &dyn Store, queue: &dyn Queue) -> Installation {
    let of_store = async {
        let asking = async { Ok::<_, store::Error>((store.backlog().await?, store.workers().await?)) };
        timeout(PATIENCE, asking).await.ok().and_then(std::result::Result::ok)
    };
    // One that only reads, as a standby does, tells what waits and is of no use.
    let takes_writes = async { timeout(PATIENCE, store.check_writes()).await.is_ok_and(|checked| checked.is_ok()) };
    let of_queue = async { timeout(PATIENCE, queue.streams()).await.ok().and_then(std::result::Result::ok) };
    let (of_store, takes_writes, of_queue) = tokio::join!(of_store, takes_writes, of_queue);
    Installation { asked_at: Instant::now(), store_up: of_store.is_some() && takes_writes, of_store, of_queue }
}

fn tell(figures: &Figures, installation: &Installation) {
    let Installation { store_up, of_store, of_queue, .. } = installation;
    figures.store_up.set_whether(*store_up);
    figures.queue_up.set_whether(of_queue.is_some());
    for told in [
        &figures.queue_oldest_seconds,
        &figures.workers,
        &figures.queue_messages,
        &figures.queue_pending,
        &figures.queue_steps,
    ] {
        told.clear();
    }
    if let Some((backlog, workers)) = of_store {
        tell_backlog(figures, backlog);
        tell_workers(figures, workers);
    }
    for StreamState { stream, length, pending, .. } in of_queue.iter().flatten().take(STREAMS) {
        let labels = [stream.queue.as_str(), stream.priority.as_str()];
        figures.queue_messages.of(&labels).set_count(*length);
        figures.queue_pending.of(&labels).set_count(*pending);
    }
    if let (Some((backlog, workers)), Some(streams)) = (of_store, of_queue) {
        for queue in demand::of(backlog, workers, streams, None).iter().take(STREAMS) {
            figures.queue_steps.of(&[&queue.queue]).set(queue.steps as f64);
        }
    }
}

fn tell_backlog(figures: &Figures, backlog: &Backlog) {
    figures.parked_steps.set(f64::from(backlog.parked));
    for (state, count) in [("failed", backlog.failed), ("parked", backlog.parked)] {
        figures.dead_letters.of(&[state]).set(f64::from(count));
    }
    let paused = backlog.paused;
    for (what, count) in [("run", paused.runs), ("pipeline", paused.pipelines), ("queue", paused.queues)] {
        figures.paused.of(&[what]).set(f64::from(count));
    }
    let circuits = backlog.circuits;
    for (state, count) in [("open", circuits.open), ("half_open", circuits.half_open)] {
        figures.circuits.of(&[state]).set(f64::from(count));
    }
    for (queue, priority, age_ms) in backlog.oldest_ready_ms.iter().take(STREAMS) {
        let age = Duration::from_millis(*age_ms).as_secs_f64();
        figures.queue_oldest_seconds.of(&[queue, priority.as_str()]).set(age);
    }
}

fn tell_workers(figures: &Figures, workers: &[WorkerRow]) {
    let state = |worker: &WorkerRow| match (worker.alive, worker.draining) {
        (false, _) => "expired",
        (true, true) => "draining",
        (true, false) => "alive",
    };
    for label in ["alive", "draining", "expired"] {
        figures.workers.of(&[label]).set_count(workers.iter().filter(|worker| state(worker) == label).count());
    }
}

/// How a worker's figures are served.
pub struct MetricsConfig {
    /// As it was told where to listen.
    pub listen: String,
    /// With what it speaks TLS, if it does.
    pub tls: Option<Tls>,
    /// A token of an admin that no store has, if any.
    pub token: Option<String>,
    /// Names that requests may be for, as [`Config`](super::Config) has them.
    pub allowed_hosts: Vec<String>,
    /// Whose word for where a request comes from counts.
    pub proxies: Proxies,
    /// Where other tokens are looked up.
    pub store: SharedStore,
}

/// Serves a worker's figures at `/metrics`, to those who may read, and `/health` and `/ready` to all; until `stopping` says so.
/// Whoever is still reading then is not waited for. `is_ready` says whether the worker takes steps.
///
/// # Errors
/// If the listener has no address.
pub async fn serve_metrics(
    listener: TcpListener,
    MetricsConfig { listen, tls, token, allowed_hosts, proxies, store }: MetricsConfig,
    is_ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
    stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let own = token.iter().map(|text| OwnToken::of(API_TOKEN, text)).collect();
    let failures = super::Config::default().failures;
    let access = Access::new(own, None, address.ip().is_loopback(), store, Arc::default(), failures, proxies);
    let router = Router::new()
        .route("/metrics", get(|| async { told(Role::Worker) }))
        .fallback(no_route)
        .layer(from_fn_with_state(access, check_access))
        .route("/health", get(health::show))
        .route("/ready", get(move || async move { health::answer(unready(is_ready())) }))
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Hosts::of(&listen, address, &allowed_hosts), browsers::guard))
        .layer(from_fn(unread::read_rest));
    let mut stopped = stopping.clone();
    tokio::select! {
        () = doors::serve(listener, router, doors_to_figures(tls), stopping) => {}
        _ = stopped.wait_for(|stopping| *stopping) => {}
    }
    Ok(())
}

/// Why a worker is not ready, if it is not.
fn unready(is_ready: bool) -> Vec<String> {
    let why = "it has no lease: the store is away, or its schema is not there yet; or it is being stopped";
    if is_ready { Vec::new() } else { vec![why.to_owned()] }
}

/// All of it is for those who may read, and of the whole installation.
async fn check_access(State(access): State<Access>, request: Request, next: Next) -> Result<Response> {
    let source = access.source_of(request.extensions(), request.headers());
    let caller = access.check(pawl_domain::access::Role::Read, request.headers(), source).await?;
    match &caller.namespace {
        Some(own) => Err(Problem::of_all(caller.name.as_deref(), own)),
        None => Ok(next.run(request).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::body::to_bytes;
    use axum::http::StatusCode;
    use pawl_queue::InProcess;
    use pawl_store::Sqlite;

    #[tokio::test]
    async fn what_is_not_there_any_more_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let (store, queue) = (Sqlite::open(folder.path()).unwrap(), InProcess::new());
        figures().workers.of(&["gone-by-now"]).set_count(7);
        tell(figures(), &ask(&store, &queue).await);
        let text = exposition(Role::Api);
        for line in ["pawl_store_up 1", "pawl_queue_up 1", "pawl_workers{state=\"alive\"} 0", "pawl_parked_steps 0"] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("gone-by-now"), "{text}");
    }

    #[tokio::test]
    async fn figures_want_the_token_and_signs_of_life_do_not() {
        let (listener, address) = crate::listen("127.0.0.1:0").await.unwrap();
        let (stop, stopping) = watch::channel(false);
        let leased = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&leased);
        let is_ready = move || asked.load(Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let config = MetricsConfig {
            listen: "127.0.0.1:0".to_owned(),
            tls: None,
            token: Some("secret".to_owned()),
            allowed_hosts: Vec::new(),
            proxies: Proxies::default(),
            store: Arc::new(Sqlite::open(folder.path()).unwrap()),
        };
        let serving = tokio::spawn(async move { serve_metrics(listener, config, is_ready, stopping).await });
        pawl_base::use_ring();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let get = async |path: &str, token: &str| {
            let request = client.get(format!("http://{address}{path}")).bearer_auth(token);
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let (status, text) = get("/metrics", "secret").await;
        assert!(status == 200 && text.contains("# TYPE pawl_slots_used gauge"), "{status} {text}");
        assert_eq!(get("/metrics", "guessed").await.0, 401);
        assert_eq!(get("/elsewhere", "guessed").await.0, 401);
        assert_eq!(get("/elsewhere", "secret").await.0, 404);
        assert_eq!(get("/health", "guessed").await.0, 200);
        let (status, text) = get("/ready", "guessed").await;
        assert!(status == 503 && text.contains("it has no lease"), "{status} {text}");
        leased.store(true, Ordering::Relaxed);
        assert_eq!(get("/ready", "guessed").await, (200, r#"{"status":"ready","reasons":[]}"#.to_owned()));
        stop.send_replace(true);
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_process_that_keeps_no_figures_says_so() {
        pawl_metrics::switch(false);
        let answer = told(Role::Api).unwrap_err().into_response();
        pawl_metrics::switch(true);
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let body = to_bytes(answer.into_body(), 4_096).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("`metrics` is off"));
    }
}

//! Who is let in, and for how long: the loop that accepts connections, and what bounds each of them before anybody has
//! shown a token.
//!
//! ```text
//!  accept ─▶ a place? ─▶ head, in bounded time ─▶ body, in bounded time ─▶ routes ─▶ idle, as long as a head may take
//!               │ none            │ too slow                │ too slow
//!               └▶ 503            └▶ 408, closed            └▶ 408, closed
//! ```
//!
//! With TLS, a handshake comes before the head, and has as much time ([`super::tls`]).
//!
//! A peer that has died is noticed by the system within half a minute, so that streams to it end, too.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::access::Source;
use super::slow::bounded;
use super::tls::{Greeted, Tls};
use super::types::Problem;

/// Largest head of a request, bytes, and what is read ahead of a body.
const BUFFER_BYTES: usize = 64 << 10;

/// Silence after which the system asks whether a peer is there, and until when it must have taken what was sent.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// Refusals that are told at once, and how long telling one may take; more are not told.
const REFUSALS: usize = 64;
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// Pause after the system had no connection to give.
const PAUSE: Duration = Duration::from_millis(500);

/// Files that a process has open besides its connections.
const OTHER_FILES: u64 = 128;

/// What a connection may take, and what it is shown.
#[derive(Clone)]
pub(super) struct Doors {
    /// None: nothing is encrypted here.
    pub(super) tls: Option<Tls>,
    /// Connections at once.
    pub(super) connections: usize,
    /// The time for a request's head.
    pub(super) header_timeout: Duration,
    /// The time for a request's body, besides what its size takes.
    pub(super) body_timeout: Duration,
}

/// Serves until `stopping` says so, then until what is under way has ended.
pub(super) async fn serve(listener: TcpListener, router: Router, doors: Doors, mut stopping: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(places(doors.connections)));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let mut open = JoinSet::new();
    // Ends with this.
    let mut beside = JoinSet::new();
    if let Some(tls) = doors.tls.clone() {
        beside.spawn(tls.follow());
    }
    let mut stopped = stopping.clone();
    let mut stopped = std::pin::pin!(stopped.wait_for(|stopping| *stopping));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = open.join_next(), if !open.is_empty() => continue,
            _ = &mut stopped => break,
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let from = Source(peer.ip());
                    drop(open.spawn(converse(stream, from, router.clone(), doors.clone(), stopping.clone(), place)));
                }
                Err(_) => drop(open.spawn(refuse(stream, doors.clone(), Arc::clone(&refusals)))),
            },
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection is accepted for a moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let _ = stopping.wait_for(|stopping| *stopping).await;
    while open.join_next().await.is_some() {}
}

/// As many connections as are wanted, if the process may have so many open files.
fn places(wanted: usize) -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let possible = usize::try_from(files.saturating_sub(OTHER_FILES).max(1)).unwrap_or(usize::MAX);
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            "this process may have too few open files for so many connections: `ulimit -n`"
        );
    }
    wanted.min(possible).min(Semaphore::MAX_PERMITS)
}

/// One that broke before it was there.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection, to its end.
async fn converse(
    stream: TcpStream,
    from: Source,
    router: Router,
    doors: Doors,
    mut stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    set_up(&stream);
    let Some(tls) = &doors.tls else { return talk(stream, from, router, doors, stopping).await };
    let greeted = tokio::select! {
        greeted = tls.greet(stream, doors.header_timeout) => greeted,
        _ = stopping.wait_for(|stopping| *stopping) => return,
    };
    match greeted {
        Ok(Greeted::Tls(stream)) => talk(stream, from, router, doors, stopping).await,
        Ok(Greeted::Plain(stream)) => tell_and_close(stream, &Problem::wants_tls()).await,
        Err(error) => tracing::debug!(%error, "a handshake came to nothing"),
    }
}

/// What is said on a connection.
async fn talk<S>(stream: S, from: Source, router: Router, doors: Doors, mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let body_timeout = doors.body_timeout;
    let routes = TowerToHyperService::new(router);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(from);
        let answered = routes.call(request.map(|incoming| in_time(incoming, body_timeout)));
        // Boxed: who may take the connection apart must be able to move it.
        Box::pin(async move { answered.await as Result<Response, Infallible> })
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(doors.header_timeout).max_buf_size(BUFFER_BYTES);
    let mut connection = http.serve_connection(TokioIo::new(stream), answer);
    let mut is_stopping = false;
    let ended = loop {
        tokio::select! {
            ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
            _ = stopping.wait_for(|stopping| *stopping), if !is_stopping => {
                is_stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    match ended {
        // Of an idle connection nothing has come, and nothing need be said.
        Err(error) if error.is_timeout() && !parts.read_buf.is_empty() => {
            tell_and_close(stream, &Problem::slow_head(doors.header_timeout)).await;
        }
        Err(error) => tracing::debug!(%error, "a connection broke"),
        Ok(()) => drop(timeout(REFUSED_WITHIN, stream.shutdown()).await),
    }
}

/// What the system looks after.
fn set_up(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(DEAD_AFTER)));
    if let Err(error) = set {
        tracing::debug!(%error, "a connection is served as it is");
    }
}

fn in_time(incoming: Incoming, body_timeout: Duration) -> Body {
    if incoming.is_end_stream() { Body::empty() } else { bounded(Body::new(incoming), body_timeout) }
}

/// Tells a client that there is no place for it.
async fn refuse(stream: TcpStream, doors: Doors, refusals: Arc<Semaphore>) {
    let Ok(_refusal) = refusals.try_acquire() else { return };
    let problem = Problem::too_many_connections(doors.connections);
    let Some(tls) = &doors.tls else { return tell_and_close(stream, &problem).await };
    match tls.greet(stream, REFUSED_WITHIN).await {
        Ok(Greeted::Tls(stream)) => tell_and_close(stream, &problem).await,
        Ok(Greeted::Plain(stream)) => tell_and_close(stream, &problem).await,
        Err(error) => tracing::debug!(%error, "a client did not hear why it was refused"),
    }
}

/// Says a last word. The client must have heard it before the connection is closed on what it still sends.
async fn tell_and_close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, problem: &Problem) {
    let telling = async {
        stream.write_all(&problem.as_last_word()).await?;
        stream.shutdown().await?;
        let mut rest = vec![0; 4 << 10];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    if !matches!(timeout(REFUSED_WITHIN, telling).await, Ok(Ok(()))) {
        tracing::debug!("a client did not hear why it was refused");
    }
}

//! The last look before an effect leaves. To connect may take long, and a process may be stopped at any place; meanwhile
//! the step may have become another worker's, which sends the same. So the worker's right to it is looked at once more when
//! the connection is made, and right before the first byte is written.
//!
//! ```text
//!  clear to leave ──▶ connection from the pool ─────────────────▶ look ──▶ first byte
//!                 └─▶ connect … made ──▶ clear to leave (asks) ──▶ look ──▶ first byte
//! ```
//!
//! What is left are the microseconds between the look and the write, in which a machine may be stopped. The key is the same
//! all the same.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use crate::recorder::Recorder;

tokio::task_local! {
    /// The effect that this task sends.
    static LEAVING: Arc<Gate>;
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The way out of one effect.
pub(crate) struct Gate {
    recorder: Arc<dyn Recorder>,
    /// How long it may be asked for.
    time_left: Duration,
    was_shut: AtomicBool,
}

/// Nothing has left: the right to the step is not certain.
#[derive(Debug, thiserror::Error)]
#[error("the worker may not act for the step now")]
struct Shut;

impl Gate {
    pub(crate) fn new(recorder: Arc<dyn Recorder>, time_left: Duration) -> Arc<Self> {
        Arc::new(Self { recorder, time_left, was_shut: AtomicBool::new(false) })
    }

    /// Whether it has held the effect back.
    pub(crate) fn was_shut(&self) -> bool {
        self.was_shut.load(Ordering::Relaxed)
    }

    /// Sends something through this gate.
    pub(super) async fn watch<T>(self: Arc<Self>, sending: impl Future<Output = T>) -> T {
        LEAVING.scope(self, sending).await
    }

    /// The body of the effect, which is asked for right before the head is written.
    pub(super) fn body(self: &Arc<Self>, bytes: Bytes) -> reqwest::Body {
        reqwest::Body::wrap(Held { gate: Arc::clone(self), bytes: Some(bytes) })
    }

    fn shut(&self) -> Shut {
        self.was_shut.store(true, Ordering::Relaxed);
        Shut
    }
}

/// A body that is given out only while the gate is open.
struct Held {
    gate: Arc<Gate>,
    bytes: Option<Bytes>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Shut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Shut>>> {
        Poll::Ready(
            self.bytes.take().map(|bytes| {
                if self.gate.recorder.may_leave() { Ok(Frame::data(bytes)) } else { Err(self.gate.shut()) }
            }),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// Lets connections through to effects only while their gates are open.
#[derive(Debug, Clone)]
pub(super) struct AtGate;

/// What makes connections, with the gate behind it.
#[derive(Debug, Clone)]
pub(super) struct Connecting<S>(S);

impl<S> Layer<S> for AtGate {
    type Service = Connecting<S>;

    fn layer(&self, connector: S) -> Connecting<S> {
        Connecting(connector)
    }
}

impl<S, R> Service<R> for Connecting<S>
where
    S: Service<R, Error = Error>,
    S::Response: Send,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            let connection = connecting.await?;
            // Without an effect that waits for it, it goes to the pool.
            let Ok(gate) = LEAVING.try_with(Arc::clone) else { return Ok(connection) };
            let asked = Arc::clone(&gate);
            let clear = tokio::task::spawn_blocking(move || asked.recorder.clear_to_leave(asked.time_left)).await;
            match clear {
                Ok(Ok(())) => Ok(connection),
                _ => Err(gate.shut().into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_memory::InMemory;
    use crate::recorder::Stop;

    #[test]
    fn a_body_leaves_while_the_worker_may_act_and_not_after() {
        let memory = Arc::new(InMemory::default());
        let gate = Gate::new(memory.clone(), Duration::from_secs(60));
        let first = || {
            let mut body = gate.body(Bytes::from_static(b"paid"));
            assert_eq!(body.size_hint().exact(), Some(4), "it is announced");
            match Pin::new(&mut body).poll_frame(&mut Context::from_waker(std::task::Waker::noop())) {
                Poll::Ready(Some(frame)) => frame.map(|frame| frame.into_data().expect("data")),
                _ => panic!("no frame"),
            }
        };
        assert_eq!(first().unwrap(), "paid");
        assert!(!gate.was_shut());
        memory.stop_with(Stop::LeaseLost);
        first().expect_err("it is held back");
        assert!(gate.was_shut());
    }
}

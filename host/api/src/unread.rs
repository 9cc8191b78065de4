//! What came with a request and nobody has read: of one that is refused, or whose answer does not hang on its body. It is read away
//! before the answer leaves, so that the answer arrives: a connection that ends with bytes nobody has read is reset, and takes the
//! answer with it (RFC 9112, section 9.6). The outermost layer of each listener does it, whoever has answered.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};
use pawl_base::lock;
use tokio::time::timeout;

/// How much is read away, bytes, and for how long: the largest component has come by then, where the link is a good one.
const MOST_BYTES: usize = 65 << 20;
const MOST_TIME: Duration = Duration::from_secs(5);

/// Reads the rest of a body away once the request is answered.
pub(super) async fn read_rest(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // It is sent when it is asked for.
    let waits = request.headers().contains_key(EXPECT);
    let (head, body) = request.into_parts();
    let body = Lent(Arc::new(Mutex::new(Part { body, is_begun: false, is_over: false })));
    let response = next.run(Request::from_parts(head, Body::new(body.clone()))).await;
    if !waits || lock(&body.0).is_begun {
        body.read_away().await;
    }
    response
}

/// A body that is lent to whoever answers.
#[derive(Clone)]
struct Lent(Arc<Mutex<Part>>);

/// What is left of a body.
struct Part {
    body: Body,
    is_begun: bool,
    /// It has ended, or broken: it is not to be polled again.
    is_over: bool,
}

impl Lent {
    async fn read_away(self) {
        let mut chunks = Body::new(self).into_data_stream();
        let read = async {
            let mut left = MOST_BYTES;
            while let Some(Ok(chunk)) = chunks.next().await
                && chunk.len() <= left
            {
                left -= chunk.len();
            }
        };
        // Who has not sent it by then is not waited for.
        let _ = timeout(MOST_TIME, read).await;
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut part = lock(&self.0);
        if part.is_over {
            return Poll::Ready(None);
        }
        part.is_begun = true;
        let polled = Pin::new(&mut part.body).poll_frame(cx);
        part.is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        let part = lock(&self.0);
        part.is_over || part.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).body.size_hint()
    }
}

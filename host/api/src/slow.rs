//! Bodies of requests that do not come, or come in drops. The time for one grows with what has come of it, so that a large
//! component on a slow link has its time, and one byte in a while has not.

use std::error::Error;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, timeout_at};

/// What any link carries, bytes a second.
const BYTES_PER_SECOND: u64 = 32 << 10;

/// The same body, whose chunks come within `time` and what their size takes, counted from the first that is asked for; or
/// it breaks off with an error that [`is_slow`] knows.
pub(super) fn bounded(body: Body, time: Duration) -> Body {
    let state = (body.into_data_stream(), None::<Instant>, 0_u64);
    let chunks = stream::unfold(Some(state), move |state| async move {
        let (mut chunks, begun, bytes) = state?;
        let begun = begun.unwrap_or_else(Instant::now);
        let until = begun + time + Duration::from_secs(bytes / BYTES_PER_SECOND);
        match timeout_at(until, chunks.next()).await {
            Ok(Some(Ok(chunk))) => {
                let bytes = bytes + chunk.len() as u64;
                Some((Ok::<Bytes, axum::BoxError>(chunk), Some((chunks, Some(begun), bytes))))
            }
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::Error::from(io::ErrorKind::TimedOut).into()), None)),
        }
    });
    Body::from_stream(chunks)
}

/// Whether a body broke off because it was too slow.
pub(super) fn is_slow(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drops(count: usize, of_bytes: usize, every: Duration) -> Body {
        Body::from_stream(stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; of_bytes]))
        }))
    }

    async fn read(body: Body) -> Result<usize, axum::Error> {
        let mut chunks = bounded(body, Duration::from_millis(50)).into_data_stream();
        let mut bytes = 0;
        while let Some(chunk) = chunks.next().await {
            bytes += chunk?.len();
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn drops_are_not_enough_and_a_slow_link_is() {
        let (count, every) = (40, Duration::from_millis(5));
        assert!(is_slow(&read(drops(count, 1, every)).await.unwrap_err()));
        assert_eq!(read(drops(count, 64 << 10, every)).await.unwrap(), count * (64 << 10));
    }
}

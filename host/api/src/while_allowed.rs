//! Streams that go on as long as whoever reads them may: a token that is revoked, or has expired, ends what it has opened.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::StreamExt as _;
use pawl_domain::access::Role;
use tokio::time::sleep;

use super::access::Access;
use super::routes::EVENT_STREAM;

/// How often it is looked whether somebody still may.
const BETWEEN: Duration = Duration::from_secs(5);

/// What a reader was let in by.
pub(super) struct Pass {
    pub(super) access: Access,
    pub(super) wanted: Role,
    /// Its token, and the namespace that it named.
    pub(super) shown: HeaderMap,
    pub(super) source: IpAddr,
}

impl Pass {
    /// The answer; a stream ends with the right to read it. Its reader asks again where it was, and is told why not.
    pub(super) fn held_to(self, answer: Response) -> Response {
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with(EVENT_STREAM)) {
            return answer;
        }
        answer.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(self.ended()))))
    }

    /// Returns when the right has ended.
    async fn ended(self) {
        loop {
            sleep(BETWEEN).await;
            // What the store can't say ends nothing.
            if let Err(refused) = self.access.check(self.wanted, &self.shown, self.source).await
                && matches!(refused.status, 401 | 403)
            {
                return;
            }
        }
    }
}

//! What a client asks for: a method for each way to ask, whatever the route.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use pawl_base::signature::Signature;
use pawl_domain::pipeline_file::Format;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, Error, Result, TIMEOUT};
use crate::trusted::SIGNATURE;
use crate::types::{AppliedPipeline, IDEMPOTENCY_KEY, PushedPlugin, Readiness, SubmitRun, SubmittedRun};

/// How long the answer may take that says whether a role is ready, which it says within two seconds.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

impl Client {
    /// Reads.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T> {
        self.answer(self.request(Method::GET, path, query)).await
    }

    /// Asks a role whether it is ready: the API, or a worker where it tells its figures.
    ///
    /// # Errors
    /// See [`Error`]. That it is not ready is none.
    pub async fn readiness(&self) -> Result<Readiness> {
        let request = self.request(Method::GET, &["ready"], &[]).timeout(READINESS_TIMEOUT);
        let response = self.sent_once(request).await?;
        match response.status() {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => self.read(response).await,
            _ => Err(self.refusal(response).await),
        }
    }

    /// Reads an answer that is not to be parsed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_bytes(&self, path: &[&str]) -> Result<Vec<u8>> {
        let response = self.send(self.request(Method::GET, path, &[])).await?;
        let bytes = response.bytes().await.map_err(|cause| self.broken(cause))?;
        Ok(bytes.into())
    }

    /// Reads a run, and waits up to `wait` for its end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_waiting<T: DeserializeOwned>(&self, path: &[&str], wait: Duration) -> Result<T> {
        let wait_ms = wait.as_millis().to_string();
        self.answer(self.request(Method::GET, path, &[("wait_ms", &wait_ms)]).timeout(TIMEOUT + wait)).await
    }

    /// Posts a JSON body.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T> {
        self.post_keyed(path, body, None).await
    }

    /// Posts a JSON body that may be sent again under its key.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post_keyed<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T> {
        let request = self.request_with(Method::POST, path, &[], body);
        self.answer(match key {
            Some(key) => request.header(IDEMPOTENCY_KEY, key),
            None => request,
        })
        .await
    }

    /// Posts a JSON body, and waits up to `wait` for the end of the run that it is about.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post_waiting<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<T> {
        let wait_ms = wait.as_millis().to_string();
        let request = self.request_with(Method::POST, path, &[("wait_ms", &wait_ms)], body).timeout(TIMEOUT + wait);
        self.answer(request).await
    }

    fn request_with(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: &impl Serialize,
    ) -> RequestBuilder {
        let body = serde_json::to_vec(body).expect("requests have only string keys");
        self.request(method, path, query).header(CONTENT_TYPE, "application/json").body(body)
    }

    /// Puts a JSON body in the place of what is there.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T> {
        self.answer(self.request_with(Method::PUT, path, &[], body)).await
    }

    /// Deletes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T> {
        self.answer(self.request(Method::DELETE, path, &[])).await
    }

    /// Posts nothing: the path says it all.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post_empty<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T> {
        self.post_asking(path, &[]).await
    }

    /// Posts nothing but a query.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post_asking<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T> {
        self.answer(self.request(Method::POST, path, query)).await
    }

    /// Posts bytes of another type.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<T> {
        self.answer(self.request(Method::POST, path, query).header(CONTENT_TYPE, media_type).body(body)).await
    }

    /// Submits a run.
    ///
    /// # Errors
    /// See [`Error`]. With a key it may be asked for again; without one, after [`Error::Broken`], the run may exist.
    pub async fn submit(&self, run: &SubmitRun, idempotency_key: Option<&str>) -> Result<SubmittedRun> {
        self.post_keyed(&["v1", "runs"], run, idempotency_key).await
    }

    /// Makes the text the current version of its pipeline.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply(&self, text: impl AsRef<[u8]>, format: Format) -> Result<AppliedPipeline> {
        self.post_pipeline(text.as_ref(), format, &[]).await
    }

    /// Says whether the text could be applied; changes nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn check(&self, text: impl AsRef<[u8]>, format: Format) -> Result<AppliedPipeline> {
        self.post_pipeline(text.as_ref(), format, &[("check", "true")]).await
    }

    async fn post_pipeline(&self, text: &[u8], format: Format, query: &[(&str, &str)]) -> Result<AppliedPipeline> {
        let media_type = match format {
            Format::Toml => "application/toml",
            Format::Json => "application/json",
        };
        self.post_bytes(&["v1", "pipelines"], query, media_type, text.to_vec()).await
    }

    /// Stores a component; name and version are its own where they are not given.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn push(
        &self,
        component: Vec<u8>,
        name: Option<&str>,
        version: Option<&str>,
        activate: bool,
    ) -> Result<PushedPlugin> {
        self.push_signed(component, name, version, activate, None).await
    }

    /// The same, with somebody's signature of the component.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn push_signed(
        &self,
        component: Vec<u8>,
        name: Option<&str>,
        version: Option<&str>,
        activate: bool,
        signature: Option<&Signature>,
    ) -> Result<PushedPlugin> {
        let mut query = vec![("activate", if activate { "true" } else { "false" })];
        query.extend(name.map(|name| ("name", name)));
        query.extend(version.map(|version| ("version", version)));
        let request = self.request(Method::POST, &["v1", "plugins"], &query).header(CONTENT_TYPE, "application/wasm");
        self.answer(signed(request, signature).body(component)).await
    }

    /// Posts a JSON body with a signature of the component that it is about.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post_signed<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        signature: Option<&Signature>,
    ) -> Result<T> {
        self.answer(signed(self.request_with(Method::POST, path, &[], body), signature)).await
    }

    /// Opens a stream of server-sent events, to be read chunk by chunk; none if there is nothing after that event.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stream(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        last_event: u64,
    ) -> Result<Option<impl futures_util::Stream<Item = Result<Vec<u8>>> + Unpin + use<>>> {
        let request = self
            .request(Method::GET, path, query)
            .header("accept", "text/event-stream")
            .header("last-event-id", last_event.to_string())
            // The server sends a comment now and then; silence for a minute means that it is gone.
            .timeout(Duration::from_secs(24 * 3_600));
        let response = self.send(request).await?;
        let base = self.base.clone();
        let is_there = response.status() != StatusCode::NO_CONTENT;
        let chunks = response
            .bytes_stream()
            .map_ok(|chunk| chunk.to_vec())
            .map_err(move |cause| Error::Broken { url: Box::new(base.clone()), cause });
        Ok(is_there.then_some(chunks))
    }
}

fn signed(request: RequestBuilder, signature: Option<&Signature>) -> RequestBuilder {
    match signature {
        Some(signature) => request.header(SIGNATURE, signature.to_string()),
        None => request,
    }
}

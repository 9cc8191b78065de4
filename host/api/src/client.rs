//! A client of the API: typed answers, and errors that say what to do.
//!
//! All commands that talk to the API go through it, and so do rehearsals. It never tries again by itself: whether that is safe is
//! for the caller to know.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use pawl_domain::pipeline_file::Format;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::Error;
use outside::Outside;

use crate::home;
use crate::types::{AppliedPipeline, IDEMPOTENCY_KEY, PushedPlugin, Readiness, SubmitRun, SubmittedRun};

mod error;
mod outside;

/// How long an answer may take, besides what the server is asked to wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The same for a readiness, which its role says within two seconds.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Talks to one API; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    /// Whose API is meant.
    folder: Option<HeaderValue>,
    /// Where somebody stands who means none in particular.
    outside: Option<Arc<Outside>>,
}

/// A result of the client.
pub type Result<T> = std::result::Result<T, Error>;

impl Client {
    /// A client of the API at `base`.
    ///
    /// # Errors
    /// If `base` is not an HTTP URL or the token can't be sent in a header.
    pub fn new(base: &str, token: Option<String>) -> Result<Self> {
        let invalid = |why: String| {
            Error::Url(format!("the API's address `{base}` is not valid: {why}; it looks like http://127.0.0.1:7340"))
        };
        let base = Url::parse(base).map_err(|error| invalid(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(invalid("it does not begin with http:// or https://".to_owned()));
        }
        let authorization = token
            .map(|token| HeaderValue::from_str(&format!("Bearer {token}")))
            .transpose()
            .map_err(|_| Error::Url("the API token has characters that no HTTP header may have".to_owned()))?;
        // The process may have chosen one before: either is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("pawl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        if matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|cause| Error::Unreachable { url: Box::new(base.clone()), cause })?;
        Ok(Self { http, base, authorization, folder: None, outside: None })
    }

    /// Means the API of this folder, if it is one of a folder: that of another one refuses.
    #[must_use]
    pub fn of_folder(self, folder: &Path) -> Self {
        Self { folder: home::header_of(folder), ..self }
    }

    /// Means no API in particular, and stands in this folder: tells on standard error, once, if the one of another folder
    /// answers.
    #[must_use]
    pub fn outside(self, folder: PathBuf) -> Self {
        Self { outside: Some(Arc::new(Outside::of(folder))), ..self }
    }

    /// Whether the API is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
    }

    /// The API's address.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

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
        let response = self.sent(self.request(Method::GET, &["ready"], &[]).timeout(READINESS_TIMEOUT)).await?;
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
    pub async fn apply(&self, text: &str, format: Format) -> Result<AppliedPipeline> {
        self.post_pipeline(text, format, &[]).await
    }

    /// Says whether the text could be applied; changes nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn check(&self, text: &str, format: Format) -> Result<AppliedPipeline> {
        self.post_pipeline(text, format, &[("check", "true")]).await
    }

    async fn post_pipeline(&self, text: &str, format: Format, query: &[(&str, &str)]) -> Result<AppliedPipeline> {
        let media_type = match format {
            Format::Toml => "application/toml",
            Format::Json => "application/json",
        };
        self.post_bytes(&["v1", "pipelines"], query, media_type, text.as_bytes().to_vec()).await
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
        let mut query = vec![("activate", if activate { "true" } else { "false" })];
        query.extend(name.map(|name| ("name", name)));
        query.extend(version.map(|version| ("version", version)));
        self.post_bytes(&["v1", "plugins"], &query, "application/wasm", component).await
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

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("checked when the client was made").pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).timeout(TIMEOUT);
        if let Some(folder) = &self.folder {
            request = request.header(home::FOLDER, folder);
        }
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let response = self.send(request).await?;
        self.read(response).await
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T> {
        let (url, status) = (Box::new(response.url().clone()), response.status());
        let bytes = response.bytes().await.map_err(|cause| self.broken(cause))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Foreign { url, status, source: Some(error) })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = self.sent(request).await?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.refusal(response).await),
        }
    }

    /// The answer, whatever it is.
    async fn sent(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|cause| match cause.is_connect() {
            true => Error::Unreachable { url: Box::new(self.base.clone()), cause },
            false => self.broken(cause),
        })?;
        if let (Some(outside), Some(home)) = (&self.outside, home::folder_of(response.headers())) {
            outside.tell(&home);
        }
        Ok(response)
    }

    async fn refusal(&self, response: Response) -> Error {
        let (url, status) = (Box::new(response.url().clone()), response.status());
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes,
            Err(cause) => return self.broken(cause),
        };
        match serde_json::from_slice(&bytes) {
            Ok(problem) => Error::Problem(Box::new(problem)),
            Err(_) => Error::Foreign { url, status, source: None },
        }
    }

    fn broken(&self, cause: reqwest::Error) -> Error {
        Error::Broken { url: Box::new(self.base.clone()), cause }
    }
}

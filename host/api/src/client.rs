//! A client of the API: typed answers, and errors that say what to do.
//!
//! All commands that talk to the API go through it, and so do rehearsals. It never tries again by itself: whether that is safe is
//! for the caller to know.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pawl_base::is_loopback;
use pawl_domain::namespace::Namespace;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

pub use error::Error;
pub use finding::Finder;
use finding::{Finding, bearer};
use outside::Outside;
pub use trust::Trust;

use crate::home;
use crate::types::{NAMESPACE, RunList};

mod asking;
mod error;
mod finding;
mod outside;
mod secrets;
mod trust;

/// How long an answer may take, besides what the server is asked to wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Talks to one API; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    /// Whose things are asked for, if that was said.
    namespace: Option<Namespace>,
    /// Who has no token, and may find one.
    finding: Option<Finding>,
    /// Whose API is meant.
    folder: Option<HeaderValue>,
    /// Where somebody stands who means none in particular.
    outside: Option<Arc<Outside>>,
}

/// A result of the client.
pub type Result<T> = std::result::Result<T, Error>;

impl Client {
    /// A client of the API at `base`, which trusts whom the system trusts.
    ///
    /// # Errors
    /// If `base` is not an HTTP URL or the token can't be sent in a header.
    pub fn new(base: &str, token: Option<String>) -> Result<Self> {
        Self::trusting(&Trust::default(), base, token)
    }

    /// The same with certificates by a person's word.
    ///
    /// # Errors
    /// The same, or if there is a file that can't be used.
    pub fn trusting(trust: &Trust, base: &str, token: Option<String>) -> Result<Self> {
        let invalid = |why: String| {
            Error::Url(format!("the API's address `{base}` is not valid: {why}; it looks like http://127.0.0.1:7340"))
        };
        let base = Url::parse(base).map_err(|error| invalid(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(invalid("it does not begin with http:// or https://".to_owned()));
        }
        let authorization = token.map(|token| bearer(&token)).transpose()?;
        pawl_base::use_ring();
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("pawl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true);
        if base.host_str().is_some_and(is_loopback) {
            http = http.no_proxy();
        }
        let http = trust.given_to(http, base.scheme() == "https")?;
        let http = http.build().map_err(|cause| Error::Unreachable { url: Box::new(base.clone()), cause })?;
        Ok(Self { http, base, authorization, namespace: None, finding: None, folder: None, outside: None })
    }

    /// Means the API of this folder, if it is one of a folder: that of another one refuses.
    #[must_use]
    pub fn of_folder(self, folder: &Path) -> Self {
        Self { folder: home::header_of(folder), ..self }
    }

    /// Asks for the things of this namespace, if it is one.
    #[must_use]
    pub fn about(self, namespace: Option<Namespace>) -> Self {
        Self { namespace, ..self }
    }

    /// Whose things it asks for, if that was said.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Has no token, and may be told where that of a `pawl dev` on this machine is: it is looked for there, once.
    #[must_use]
    pub fn finding(self, finder: Finder) -> Self {
        let is_wanted = self.authorization.is_none() && self.is_local();
        Self { finding: is_wanted.then(|| Finding::by(finder)), ..self }
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
        self.base.host_str().is_some_and(is_loopback)
    }

    /// The API's address.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
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
        if let Some(namespace) = &self.namespace {
            request = request.header(NAMESPACE, namespace.as_str());
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
        let Some(finding) = &self.finding else { return self.sent_once(request).await };
        let token = match finding.found() {
            Some(found) => found,
            None => self.find(finding).await?,
        };
        self.sent_once(match token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        })
        .await
    }

    /// Asks for something that wants a token, without one. Whoever does not answer as an API does is asked for nothing else.
    async fn find(&self, finding: &Finding) -> Result<Option<HeaderValue>> {
        let answer = self.sent_once(self.request(Method::GET, &["v1", "runs"], &[("limit", "1")])).await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => Ok(finding.keep(finding.in_file(&self.base, answer.headers()))),
            status if status.is_success() => {
                let _: RunList = self.read(answer).await?;
                Ok(finding.keep(None))
            }
            // It has trouble of its own, which the request itself meets, too.
            _ => match self.refusal(answer).await {
                Error::Problem(_) => Ok(None),
                other => Err(other),
            },
        }
    }

    async fn sent_once(&self, request: RequestBuilder) -> Result<Response> {
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

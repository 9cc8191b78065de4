//! A user of the HTTP API. It remembers every run whose submission was answered: none of them may be lost.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use pawl_api::types::{Changed, Event, EventList, Problem, QueueList, Run, SubmittedRun, WorkerList};
use pawl_domain::id::RunId;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::certificates::Signed;
use crate::runtime::block_on;

/// For how long a load goes on although a store answers late, and after how long it asks again.
const LATE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(100);

/// A client of one API process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    answered: Arc<Mutex<Vec<RunId>>>,
    token: Arc<OnceLock<String>>,
}

/// What came back, whatever the status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// For example 202.
    pub status: u16,
    /// The header of that name.
    pub content_type: String,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of an answer that must be a success.
    ///
    /// # Errors
    /// If it is a problem, or not of that shape.
    pub fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        anyhow::ensure!(self.status < 400, "status {}: {}", self.status, String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).with_context(|| String::from_utf8_lossy(&self.body).into_owned())
    }

    /// The body of an answer that must be an error with this status.
    ///
    /// # Errors
    /// If it is something else.
    pub fn problem(&self, status: u16) -> anyhow::Result<Problem> {
        let text = String::from_utf8_lossy(&self.body);
        anyhow::ensure!(self.status == status, "expected status {status}, got {}: {text}", self.status);
        let is_problem = self.content_type.starts_with(pawl_api::types::PROBLEM_JSON);
        anyhow::ensure!(is_problem, "content type {}: {text}", self.content_type);
        serde_json::from_slice(&self.body).with_context(|| text.into_owned())
    }
}

impl Client {
    /// For the API at `base`, for example `http://127.0.0.1:7340`.
    ///
    /// # Errors
    /// If the system has no randomness to begin with.
    pub fn new(base: impl Into<String>) -> anyhow::Result<Self> {
        let http = block_on(async { reqwest::Client::builder().timeout(Duration::from_secs(30)).build() })?;
        Ok(Self { http, base: base.into(), answered: Arc::default(), token: Arc::default() })
    }

    /// The same for an API that speaks TLS with a certificate of that authority; `own` is shown to it.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn trusting(base: impl Into<String>, ca: &Path, own: Option<&Signed>) -> anyhow::Result<Self> {
        pawl_base::use_ring();
        let ca = reqwest::Certificate::from_pem_bundle(&std::fs::read(ca)?)?;
        let mut http = reqwest::Client::builder().timeout(Duration::from_secs(30)).tls_certs_only(ca);
        if let Some(Signed { certificate, key }) = own {
            let both = [std::fs::read(certificate)?, std::fs::read(key)?].concat();
            http = http.identity(reqwest::Identity::from_pem(&both)?);
        }
        let http = block_on(async { http.build() })?;
        Ok(Self { http, base: base.into(), answered: Arc::default(), token: Arc::default() })
    }

    /// Shows this token from now on, with all its clones; the first that was given stays.
    pub fn show(&self, token: impl Into<String>) {
        let _ = self.token.set(token.into());
    }

    /// The token that it shows, if it shows one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.get().map(String::as_str)
    }

    /// The same API, for somebody with another token.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(&self, token: &str) -> anyhow::Result<Self> {
        let other = Self::new(&self.base)?;
        other.show(token);
        Ok(other)
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// All runs whose submission was answered with success.
    #[must_use]
    pub fn answered(&self) -> Vec<RunId> {
        self.answered.lock().expect("no holder panics").clone()
    }

    /// These may be gone: their retention has ended.
    pub fn forget(&self, runs: &[RunId]) {
        self.answered.lock().expect("no holder panics").retain(|run| !runs.contains(run));
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method.parse()?, self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = self.token().filter(|_| headers.iter().all(|(name, _)| *name != "authorization")) {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
        let (status, content_type) = (response.status().as_u16(), content_type.to_owned());
        Ok(Answer { status, content_type, body: response.bytes().await?.to_vec() })
    }

    /// `GET`.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        block_on(self.send("GET", path, &[], Vec::new()))
    }

    /// `POST` of bytes.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn post(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> anyhow::Result<Answer> {
        block_on(self.send("POST", path, &[("content-type", content_type)], body.into()))
    }

    /// Submits a run, with an idempotency key if there is one.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn try_submit(&self, pipeline: &str, input: &Value, key: Option<&str>) -> anyhow::Result<Answer> {
        let body = serde_json::to_vec(&json!({"pipeline": pipeline, "input": input}))?;
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(key.map(|key| (pawl_api::types::IDEMPOTENCY_KEY, key)));
        let answer = self.send("POST", "/v1/runs", &headers, body).await?;
        if answer.status == 202 {
            let run: SubmittedRun = serde_json::from_slice(&answer.body)?;
            self.answered.lock().expect("no holder panics").push(run.id);
        }
        Ok(answer)
    }

    /// Submits one run for each input, many at a time.
    ///
    /// # Errors
    /// If one is not accepted.
    pub fn submit_all(&self, pipeline: &str, inputs: &[Value]) -> anyhow::Result<Vec<RunId>> {
        let submissions = inputs.iter().map(|input| async move {
            let answer = self.try_submit(pipeline, input, None).await?;
            Ok(answer.read::<SubmittedRun>()?.id)
        });
        let results: Vec<anyhow::Result<RunId>> =
            block_on(futures_util::stream::iter(submissions).buffered(32).collect());
        results.into_iter().collect()
    }

    /// Keeps this many runs of a pipeline in flight until `runs` of them have ended.
    ///
    /// # Errors
    /// If one is not accepted or does not succeed.
    pub fn keep_in_flight(&self, pipeline: &str, in_flight: usize, runs: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        let one = |number: usize| async move {
            // A store that is late beside other tests: to ask again is what the answer says, and what clients do. A run that is
            // submitted twice by that does no harm here.
            let is_late = |answer: &Answer| answer.status == 503 && begun.elapsed() < LATE;
            let run = loop {
                let answer = self.try_submit(pipeline, &json!({"number": number}), None).await?;
                if !is_late(&answer) {
                    break answer.read::<SubmittedRun>()?.id;
                }
                tokio::time::sleep(AGAIN).await;
            };
            loop {
                let path = format!("/v1/runs/{run}?wait_ms=10000");
                let answer = self.send("GET", &path, &[], Vec::new()).await?;
                if is_late(&answer) {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                let status = answer.read::<Run>()?.summary.status;
                if status.is_ended() {
                    anyhow::ensure!(status.as_str() == "succeeded", "run {run} ended as {status}");
                    return Ok(());
                }
            }
        };
        let all = futures_util::stream::iter((0..runs).map(one)).buffer_unordered(in_flight);
        block_on(all.collect::<Vec<anyhow::Result<()>>>()).into_iter().collect()
    }

    /// A run with its steps.
    ///
    /// # Errors
    /// If there is none.
    pub fn run(&self, run: RunId) -> anyhow::Result<Run> {
        self.get(&format!("/v1/runs/{run}"))?.read()
    }

    /// A step's output.
    ///
    /// # Errors
    /// If there is none.
    pub fn output(&self, run: RunId, step: &str) -> anyhow::Result<Value> {
        let detail: Value = self.get(&format!("/v1/runs/{run}/steps/{step}"))?.read()?;
        detail.get("output").cloned().context("the step has no output")
    }

    /// A run's history.
    ///
    /// # Errors
    /// If there is no such run.
    pub fn events(&self, run: RunId) -> anyhow::Result<Vec<Event>> {
        let list: EventList = self.get(&format!("/v1/runs/{run}/events"))?.read()?;
        Ok(list.events)
    }

    /// The workers that the database knows.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn workers(&self) -> anyhow::Result<WorkerList> {
        self.get("/v1/workers")?.read()
    }

    /// All queues.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn queues(&self) -> anyhow::Result<QueueList> {
        self.get("/v1/queues")?.read()
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// If it can't be.
    pub fn cancel(&self, run: RunId) -> anyhow::Result<Changed> {
        self.post(&format!("/v1/runs/{run}/cancel"), "application/json", "{}")?.read()
    }

    /// Fails a run.
    ///
    /// # Errors
    /// If it can't be.
    pub fn fail(&self, run: RunId, message: &str) -> anyhow::Result<Changed> {
        let body = serde_json::to_vec(&json!({"message": message}))?;
        self.post(&format!("/v1/runs/{run}/fail"), "application/json", body)?.read()
    }

    /// Has the failed steps of a run executed again.
    ///
    /// # Errors
    /// If it can't be.
    pub fn retry(&self, run: RunId) -> anyhow::Result<Changed> {
        self.post(&format!("/v1/runs/{run}/retry"), "application/json", "{}")?.read()
    }

    /// Lets a parked step go on, on `pinned`, `latest` or a digest.
    ///
    /// # Errors
    /// If it can't.
    pub fn resume(&self, run: RunId, step: &str, on: &str) -> anyhow::Result<Changed> {
        let body = serde_json::to_vec(&json!({"on": on}))?;
        self.post(&format!("/v1/runs/{run}/steps/{step}/resume"), "application/json", body)?.read()
    }
}

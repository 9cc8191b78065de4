//! Web pages, as a browser without scripts sees them: who gets in, what each role is offered and refused, that forms do
//! what the API's routes do, and that what others have said is text.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{CreatedToken, Role};
use pawl_tests::Client;
use pawl_tests::runtime::block_on;
use reqwest::redirect::Policy;
use serde_json::json;

use crate::served::{Api, PIPELINE};

mod access;
mod forms;
mod lists;
mod operations;
mod text;
mod things;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// The setting's.
const OWN: &str = "s3cret";

/// A browser without scripts, which follows no redirect by itself.
#[derive(Clone)]
struct Browser {
    http: reqwest::Client,
    base: String,
    cookie: Option<String>,
}

/// What it was shown.
#[derive(Debug)]
struct Shown {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Shown {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Browser {
    fn at(api: &Api) -> Result<Self> {
        let http = block_on(async { reqwest::Client::builder().redirect(Policy::none()).build() })?;
        Ok(Self { http, base: api.client.url(""), cookie: None })
    }

    /// One whose user has signed in with that token.
    fn signed_in(api: &Api, token: &str) -> Result<Self> {
        let mut browser = Self::at(api)?;
        let entered = browser.submit("/enter", &[("token", token)])?;
        ensure!(entered.status == 303 && entered.header("location") == "/", "{entered:?}");
        browser.cookie = Some(entered.header("set-cookie").split(';').next().context("a cookie")?.to_owned());
        Ok(browser)
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Shown> {
        block_on(async {
            let mut request = self.http.request(method.parse()?, format!("{}{path}", self.base)).body(body.to_owned());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(cookie) = &self.cookie {
                request = request.header("cookie", cookie);
            }
            let response = request.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Ok(Shown { status, headers, text: response.text().await? })
        })
    }

    fn get(&self, path: &str) -> Result<Shown> {
        self.send("GET", path, &[("accept", "text/html")], "")
    }

    /// Sends a form, as from a page of this address.
    fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Result<Shown> {
        let mut form = reqwest::Url::parse("http://form/")?;
        form.query_pairs_mut().extend_pairs(fields);
        let headers = [("content-type", FORM), ("origin", &*self.base)];
        self.send("POST", path, &headers, form.query().unwrap_or_default())
    }
}

/// An API with the token of the setting, which its client shows, and a pipeline.
fn start(name: &str) -> Result<Api> {
    let mut api = Api::prepare(name)?;
    api.migrate()?;
    api.config.token = Some(OWN.to_owned());
    api.client.show(OWN);
    api.serve()?;
    api.push_echo()?;
    ensure!(api.apply(PIPELINE)?.status == 201, "the pipeline is applied");
    Ok(api)
}

/// A new token.
fn token(client: &Client, name: &str, role: Role) -> Result<String> {
    let body = json!({ "name": name, "role": role });
    Ok(client.post("/v1/tokens", JSON, body.to_string())?.read::<CreatedToken>()?.token)
}

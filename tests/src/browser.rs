//! A real Chromium, driven over WebDriver (<https://www.w3.org/TR/webdriver2/>) by way of its `chromedriver`: for what
//! only a browser shows, as pages are current, used with the keyboard, or look like something. It speaks to this
//! machine alone.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use pawl_rehearsal::private::{Process, free_port};
use serde_json::{Value, json};

use crate::runtime::block_on;
use crate::{bounds, ending, wait};

/// How a browser is told to do nothing by itself.
const QUIET: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
];

/// The name of an element in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Times that something is looked for again which was replaced between finding and using it.
const REPLACED: u32 = 10;

/// Keys that are no characters.
pub const ENTER: char = '\u{e007}';
/// Leaves a field.
pub const ESCAPE: char = '\u{e00c}';
/// Goes to the next thing that has the focus.
pub const TAB: char = '\u{e004}';

/// A browser with one window.
#[derive(Debug)]
pub struct Chromium {
    http: reqwest::Client,
    session: String,
    _driver: Process,
}

impl Chromium {
    /// Starts one with a profile of its own in that folder.
    ///
    /// # Errors
    /// If Chromium and its driver are not installed (`make test-pages` installs them), or don't start.
    pub fn start(folder: &Path) -> Result<Self> {
        ending::stop_children_when_interrupted();
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).env("HOME", folder);
        let driver = Process::spawn("chromedriver", command, &folder.join("chromedriver.log"))?;
        let http = block_on(async { reqwest::Client::builder().timeout(Duration::from_secs(60)).build() })?;
        let base = format!("http://127.0.0.1:{port}");
        wait::until_true(bounds::PROCESS, "the driver to answer", || {
            Ok(block_on(async { http.get(format!("{base}/status")).send().await }).is_ok())
        })?;
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        let options = json!({ "args": QUIET.iter().copied().chain([&*profile]).collect::<Vec<_>>() });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let begun = block_on(call(&http, "POST", &format!("{base}/session"), &wanted))?;
        let session = begun["sessionId"].as_str().context("a session")?;
        Ok(Self { session: format!("{base}/session/{session}"), http, _driver: driver })
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        block_on(call(&self.http, "POST", &format!("{}{path}", self.session), body))
    }

    /// Opens an address, and returns when the page is loaded.
    ///
    /// # Errors
    /// If it can't be.
    pub fn open(&self, url: &str) -> Result<()> {
        self.post("/url", &json!({ "url": url })).map(drop)
    }

    /// Where it is.
    ///
    /// # Errors
    /// If the browser is gone.
    pub fn at(&self) -> Result<String> {
        let at = block_on(call(&self.http, "GET", &format!("{}/url", self.session), &Value::Null))?;
        Ok(at.as_str().context("an address")?.to_owned())
    }

    /// What an expression of JavaScript comes to, in the page.
    ///
    /// # Errors
    /// If it throws.
    pub fn value(&self, expression: &str) -> Result<Value> {
        self.post("/execute/sync", &json!({ "script": format!("return ({expression})"), "args": [] }))
    }

    /// The same of a body that may wait, and answers by calling its last argument.
    ///
    /// # Errors
    /// If it throws, or does not answer.
    pub fn later(&self, body: &str) -> Result<Value> {
        self.post("/execute/async", &json!({ "script": body, "args": [] }))
    }

    /// The text that somebody sees of what a selector finds first.
    ///
    /// # Errors
    /// If nothing is found.
    pub fn text(&self, selector: &str) -> Result<String> {
        self.with(selector, |id| {
            let text = block_on(call(&self.http, "GET", &format!("{}/element/{id}/text", self.session), &Value::Null))?;
            Ok(text.as_str().unwrap_or_default().to_owned())
        })
    }

    /// Waits until a selector finds something that has this text in it.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn shows(&self, selector: &str, text: &str) -> Result<()> {
        wait::until(bounds::RUN, &format!("{selector} to show {text:?}"), || {
            Ok(match self.text(selector) {
                Ok(seen) if seen.contains(text) => wait::Look::Done(()),
                Ok(seen) => wait::Look::NotYet(seen),
                Err(error) => wait::Look::NotYet(format!("{error:#}")),
            })
        })
    }

    /// Does something with what a selector finds first. What a live page has replaced meanwhile is found again.
    fn with<T>(&self, selector: &str, act: impl Fn(&str) -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            let found = self.post("/element", &json!({"using": "css selector", "value": selector}))?;
            let done = act(found[ELEMENT].as_str().context("an element")?);
            tries += 1;
            match &done {
                Err(error) if tries < REPLACED && format!("{error:#}").contains("stale element reference") => {}
                _ => return done,
            }
        }
    }

    /// Clicks on what a selector finds first.
    ///
    /// # Errors
    /// If nothing is found, or something else lies over it.
    pub fn click(&self, selector: &str) -> Result<()> {
        self.with(selector, |id| self.post(&format!("/element/{id}/click"), &json!({})).map(drop))
    }

    /// Types into what a selector finds first, in place of what stands there.
    ///
    /// # Errors
    /// If nothing is found, or it takes no text.
    pub fn fill(&self, selector: &str, text: &str) -> Result<()> {
        self.with(selector, |id| {
            self.post(&format!("/element/{id}/clear"), &json!({}))?;
            self.post(&format!("/element/{id}/value"), &json!({ "text": text })).map(drop)
        })
    }

    /// Presses keys, one after the other, wherever the focus is.
    ///
    /// # Errors
    /// If the browser is gone.
    pub fn press(&self, keys: &str) -> Result<()> {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]})).map(drop)
    }

    /// A command of the DevTools protocol.
    ///
    /// # Errors
    /// If it is refused.
    pub fn tools(&self, command: &str, params: &Value) -> Result<Value> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    /// The window's size, in pixels of the page, and whether it is dark.
    ///
    /// # Errors
    /// If the browser is gone.
    pub fn look(&self, width: u32, height: u32, dark: bool) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.tools("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.tools("Emulation.setEmulatedMedia", &json!({ "features": features })).map(drop)
    }

    /// Whether pages' scripts are executed from now on.
    ///
    /// # Errors
    /// If the browser is gone.
    pub fn scripts(&self, on: bool) -> Result<()> {
        self.tools("Emulation.setScriptExecutionDisabled", &json!({ "value": !on })).map(drop)
    }

    /// A picture of what is seen, as PNG.
    ///
    /// # Errors
    /// If the browser is gone.
    pub fn picture(&self) -> Result<Vec<u8>> {
        let taken = self.tools("Page.captureScreenshot", &json!({"format": "png", "optimizeForSpeed": false}))?;
        let text = taken["data"].as_str().context("a picture")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
    }

    /// What the console has said since it was asked last, and the addresses that were asked for beside that of `base`.
    ///
    /// # Errors
    /// If the browser is gone.
    pub fn complaints(&self, base: &str) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for entry in self.log("browser")? {
            all.push(format!("console: {}", entry["message"].as_str().unwrap_or_default()));
        }
        for entry in self.log("performance")? {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap_or("null"))?;
            let url = message["message"]["params"]["request"]["url"].as_str();
            if let Some(url) =
                url.filter(|url| !url.starts_with(base) && !url.starts_with("data:") && !url.starts_with("chrome"))
            {
                all.push(format!("request: {url}"));
            }
        }
        Ok(all)
    }

    fn log(&self, kind: &str) -> Result<Vec<Value>> {
        Ok(self.post("/se/log", &json!({ "type": kind }))?.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Chromium ends with its session; the driver alone would leave it.
        let _ = block_on(call(&self.http, "DELETE", &self.session, &Value::Null));
    }
}

async fn call(http: &reqwest::Client, method: &str, url: &str, body: &Value) -> Result<Value> {
    let mut request = http.request(method.parse()?, url);
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{method} {url}: {status}: {}", text.lines().next().unwrap_or_default());
    let answer: Value = serde_json::from_str(&text)?;
    Ok(answer["value"].clone())
}

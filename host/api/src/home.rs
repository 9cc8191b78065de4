//! Where an API is at home. `pawl dev` belongs to a folder: it refuses whoever means the one of another folder, tells everybody
//! else which one it is, and lets a submission wait for what it is still building. `pawl api` has no home, and none of this.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use pawl_domain::pipeline::{Pipeline, StepSpec};
use reqwest::Url;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::problem::Result;
use super::remarks;
use super::state::AppState;
use super::types::{BuildList, FailedBuild, Problem};
use super::whose::Scoped;

/// The folder whose API a client means, as a `file:` URL. A client that was told an address does not send it. In an answer it
/// is the folder whose API has answered.
pub(crate) const FOLDER: &str = "pawl-folder";

/// How long a submission waits for what is being built: less than a client does for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder, and what is being built there.
#[derive(Clone)]
pub struct Home {
    /// As the file system knows it, without links.
    pub folder: PathBuf,
    /// An admin's token: whoever can read the folder has it.
    pub token: String,
    /// The file that it stands in, for who may read that.
    pub token_file: PathBuf,
    /// Sent to whenever something of it may be there that was not.
    pub building: watch::Receiver<Building>,
}

/// How far what `pawl dev` builds has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Building {
    /// Something is not built yet that has been changed, or was found at the start.
    UnderWay {
        /// What it is.
        unbuilt: Unbuilt,
        /// What could not be built the last time.
        failed: Vec<FailedBuild>,
    },
    /// All that could be built is there.
    Done {
        /// What could not.
        failed: Vec<FailedBuild>,
        /// The same by name, as far as that is known: an earlier version of it may be there.
        behind: Unbuilt,
    },
}

/// What has changed and is not active, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unbuilt {
    /// Plugins that are being built.
    pub plugins: BTreeSet<String>,
    /// Pipelines whose files are to be applied.
    pub pipelines: BTreeSet<String>,
}

impl Unbuilt {
    /// Whether a run of this pipeline would be another one when all is built. What names its plugin's version does not change.
    fn concerns(&self, pipeline: &Pipeline) -> bool {
        let is_new = |step: &StepSpec| step.version.is_none() && self.plugins.contains(&step.plugin);
        self.pipelines.contains(&pipeline.name) || pipeline.steps.iter().any(is_new)
    }
}

/// Where an answer says that the token is, as a `file:` URL: the commands of whoever may read it need be told no other.
pub(crate) const TOKEN_FILE: &str = "pawl-token-file";

/// The value of [`FOLDER`] for a folder; `None` if its path is not absolute.
pub(crate) fn header_of(folder: &Path) -> Option<HeaderValue> {
    HeaderValue::from_str(Url::from_file_path(folder).ok()?.as_str()).ok()
}

pub(crate) fn folder_of(headers: &HeaderMap) -> Option<PathBuf> {
    path_of(headers, FOLDER)
}

/// Where the token is of the `pawl dev` that has answered.
pub(crate) fn token_file_of(headers: &HeaderMap) -> Option<PathBuf> {
    path_of(headers, TOKEN_FILE)
}

fn path_of(headers: &HeaderMap, name: &str) -> Option<PathBuf> {
    Url::parse(headers.get(name)?.to_str().ok()?).ok()?.to_file_path().ok()
}

/// Lets a request pass that means this API. What lies below its folder is at home here, too.
/// Its answer says whose it is.
pub(super) async fn check_folder(State(state): State<AppState>, request: Request, next: Next) -> Result<Response> {
    if let (Some(home), Some(meant)) = (&state.home, folder_of(request.headers()))
        && !meant.starts_with(&home.folder)
    {
        return Err(Problem::misdirected(&home.folder, &meant));
    }
    let mut response = next.run(request).await;
    let Some(home) = &state.home else { return Ok(response) };
    let is_unknown = response.status() == StatusCode::UNAUTHORIZED;
    for (name, path) in [(FOLDER, Some(&home.folder)), (TOKEN_FILE, is_unknown.then_some(&home.token_file))] {
        if let Some(path) = path.and_then(|path| header_of(path)) {
            response.headers_mut().insert(name, path);
        }
    }
    Ok(response)
}

impl Home {
    /// Waits while a pipeline may come that is not there, or something that its runs stand on is not built as it was saved
    /// last. Returns what to tell of that.
    pub(super) async fn until_built(&self, state: &AppState, pipeline: &str) -> Result<Vec<String>> {
        let mut building = self.building.clone();
        let begun = Instant::now();
        let mut waited_for = None;
        let mut remarks = Vec::new();
        loop {
            let now = building.borrow_and_update().clone();
            let unbuilt = match now {
                Building::UnderWay { unbuilt, .. } => unbuilt,
                Building::Done { failed, behind } => {
                    if behind != Unbuilt::default()
                        && current(state, pipeline).await?.is_some_and(|current| behind.concerns(&current))
                    {
                        remarks.push(remarks::on_version_before(&names(&failed)));
                    }
                    break;
                }
            };
            let known = current(state, pipeline).await?;
            if known.as_ref().is_some_and(|known| !unbuilt.concerns(known)) {
                break;
            }
            match timeout_at(begun + PATIENCE, building.changed()).await {
                Ok(Ok(())) => {}
                // It is late, or `pawl dev` ends.
                _ => return Err(Problem::being_built(pipeline, known.is_some())),
            }
            waited_for.get_or_insert(known);
        }
        // Whoever has waited for a first version knows.
        if matches!(waited_for, Some(Some(_))) {
            remarks.insert(0, remarks::waited_for_build(begun.elapsed()));
        }
        Ok(remarks)
    }

    /// What did not build, for somebody who misses it.
    pub(super) fn failed(&self) -> Option<String> {
        match &*self.building.borrow() {
            Building::Done { failed, .. } if !failed.is_empty() => Some(names(failed)),
            _ => None,
        }
    }
}

fn names(failed: &[FailedBuild]) -> String {
    failed.iter().map(|failed| &*failed.what).collect::<Vec<_>>().join(", ")
}

/// What is being built, and what could not be; of an API without a home, nothing.
pub(super) async fn builds(Scoped(state): Scoped) -> Json<BuildList> {
    Json(state.home.as_ref().map(|home| home.building.borrow().told()).unwrap_or_default())
}

impl Building {
    fn told(&self) -> BuildList {
        match self {
            Self::UnderWay { unbuilt: Unbuilt { plugins, pipelines }, failed } => {
                let building = plugins.union(pipelines).cloned().collect();
                BuildList { under_way: true, building, failed: failed.clone() }
            }
            Self::Done { failed, .. } => BuildList { failed: failed.clone(), ..BuildList::default() },
        }
    }
}

/// A pipeline as it is, if it is there.
async fn current(state: &AppState, pipeline: &str) -> Result<Option<Pipeline>> {
    Ok(match state.store.first_steps(&state.namespace, pipeline).await? {
        Some(_) => Some(state.store.pipeline(&state.namespace, pipeline).await?.1),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::limits::Limits;
    use pawl_domain::pipeline_file::{Format, read};

    #[test]
    fn a_folder_is_said_whatever_its_name() {
        for folder in ["/home/ada/hello", "/tmp/with space/ünïcode", "/a%20b"] {
            let mut headers = HeaderMap::new();
            headers.insert(FOLDER, header_of(Path::new(folder)).unwrap());
            assert_eq!(folder_of(&headers).as_deref(), Some(Path::new(folder)));
        }
        assert_eq!(header_of(Path::new("hello")), None);
        assert_eq!(folder_of(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_built_is_named_once_and_what_could_not_be_stays_told() {
        let both = BTreeSet::from(["hello".to_owned()]);
        let failed = vec![FailedBuild { what: "plugins/hello".into(), why: "error: no".into() }];
        let unbuilt = Unbuilt { plugins: both.clone(), pipelines: both };
        let told = Building::UnderWay { unbuilt: unbuilt.clone(), failed: failed.clone() }.told();
        assert_eq!((told.under_way, told.building.as_slice()), (true, &["hello".to_owned()][..]));
        let done = Building::Done { failed: failed.clone(), behind: unbuilt }.told();
        assert_eq!(done, BuildList { under_way: false, building: Vec::new(), failed });
    }

    #[test]
    fn a_submission_waits_for_what_its_steps_stand_on_and_for_nothing_else() {
        let text = b"name = \"shop\"\n[[step]]\nname = \"a\"\nplugin = \"load\"\n\
                     [[step]]\nname = \"b\"\nplugin = \"weigh@1\"\n";
        let shop = read(text, Format::Toml, &Limits::default(), None).unwrap();
        let unbuilt = |plugin: &str, pipeline: &str| Unbuilt {
            plugins: BTreeSet::from([plugin.to_owned()]),
            pipelines: BTreeSet::from([pipeline.to_owned()]),
        };
        assert!(unbuilt("load", "other").concerns(&shop));
        assert!(unbuilt("other", "shop").concerns(&shop));
        assert!(!unbuilt("weigh", "other").concerns(&shop), "its version is a fixed one");
    }
}

//! Where an API is at home. `pawl dev` belongs to a folder: it refuses whoever means the one of another folder, and lets
//! a submission wait for the pipeline that it is still building. `pawl api` has no home, and none of this.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use reqwest::Url;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::problem::Result;
use super::state::AppState;
use super::types::Problem;

/// The folder whose API a client means, as a `file:` URL. A client that was told an address does not send it.
pub(crate) const FOLDER: &str = "pawl-folder";

/// How long a submission waits for its pipeline: less than a client does for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder, and what is being built there.
#[derive(Debug, Clone)]
pub struct Home {
    /// As the file system knows it, without links.
    pub folder: PathBuf,
    /// Sent to whenever something of it may be there that was not.
    pub building: watch::Receiver<Building>,
}

/// How far what `pawl dev` builds has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Building {
    /// Something is not built yet that has been changed, or was found at the start.
    UnderWay,
    /// All that could be built is there.
    Done {
        /// What could not, as people know it.
        failed: Vec<String>,
    },
}

/// The value of [`FOLDER`] for a folder; `None` if its path is not absolute.
pub(crate) fn header_of(folder: &Path) -> Option<HeaderValue> {
    HeaderValue::from_str(Url::from_file_path(folder).ok()?.as_str()).ok()
}

fn folder_of(headers: &HeaderMap) -> Option<PathBuf> {
    Url::parse(headers.get(FOLDER)?.to_str().ok()?).ok()?.to_file_path().ok()
}

/// Lets a request pass that means this API. What lies below its folder is at home here, too.
pub(super) async fn check_folder(State(state): State<AppState>, request: Request, next: Next) -> Result<Response> {
    if let (Some(home), Some(meant)) = (&state.home, folder_of(request.headers()))
        && !meant.starts_with(&home.folder)
    {
        return Err(Problem::misdirected(&home.folder, &meant));
    }
    Ok(next.run(request).await)
}

impl Home {
    /// Waits while a pipeline is not there and may come.
    pub(super) async fn until_built(&self, state: &AppState, pipeline: &str) -> Result<()> {
        let mut building = self.building.clone();
        let end = Instant::now() + PATIENCE;
        while *building.borrow_and_update() == Building::UnderWay
            && state.store.first_steps(&state.namespace, pipeline).await?.is_none()
        {
            match timeout_at(end, building.changed()).await {
                Ok(Ok(())) => {}
                // It is late, or `pawl dev` ends.
                _ => return Err(Problem::being_built(pipeline)),
            }
        }
        Ok(())
    }

    /// What did not build, for somebody who misses it.
    pub(super) fn failed(&self) -> Option<String> {
        match &*self.building.borrow() {
            Building::Done { failed } if !failed.is_empty() => Some(failed.join(", ")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

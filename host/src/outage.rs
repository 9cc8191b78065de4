//! Waiting for what takes long while the API restarts, or is away for a while.

use std::time::Duration;

use pawl_api::client::{Error, Result};
use pawl_base::tell;

/// Pause before the API is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether the API is away, as far as somebody was told.
#[derive(Debug, Default)]
pub(super) struct Outage {
    is_told: bool,
}

impl Outage {
    /// Asks until there is an answer: what fails because the API is away is asked again.
    ///
    /// # Errors
    /// Those that do not pass.
    pub(super) async fn outlast<T>(&mut self, ask: impl AsyncFn() -> Result<T>) -> Result<T> {
        loop {
            match ask().await {
                Err(error) if error.is_passing() => self.pass(&error).await,
                answer => {
                    self.is_over();
                    return answer;
                }
            }
        }
    }

    /// It is away: said once for each outage.
    pub(super) async fn pass(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.is_told, true) {
            tell!("there is no answer now ({error}); trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// It has answered.
    pub(super) fn is_over(&mut self) {
        self.is_told = false;
    }
}

//! The names of keys and channels. All begin with the prefix and the installation, so that installations which share a
//! Redis never meet:
//!
//! ```text
//!  pawl:{01997e0c-…}:q:default:high      a stream: queue and priority
//!  pawl:{01997e0c-…}:runs, :plugins      channels
//!  pawl:{01997e0c-…}:dead-letters        a stream for other systems
//! ```
//!
//! What stands in braces decides the slot of a cluster: all keys of an installation are in one, and so at one node. Hence
//! what is touched together may be, several streams in one script, acknowledgements and deliveries of many queues in one
//! round trip; and what a node can deliver bounds an installation, which is far more than a database commits.
//! Installations are spread over the nodes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use pawl_domain::id::InstallationId;
use pawl_domain::pipeline::Priority;
use redis::{ErrorKind, RedisError, RedisResult};

use crate::{Source, Stream};

/// Tells which installation this is; asked until it knows. The store may be away when a process starts.
pub type WhichInstallation = Arc<dyn Fn() -> BoxFuture<'static, Result<InstallationId, Source>> + Send + Sync>;

/// How long that may take, for one who needs it now: less than the patience of those who ask whether all is well.
const TOLD_WITHIN: Duration = Duration::from_millis(1_500);

/// The names of one installation.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    head: String,
}

impl Keys {
    fn new(prefix: &str, installation: InstallationId) -> Self {
        Self { head: format!("{prefix}:{{{installation}}}") }
    }

    pub(super) fn of(&self, stream: &Stream) -> String {
        self.stream(&stream.queue, stream.priority)
    }

    pub(super) fn stream(&self, queue: &str, priority: Priority) -> String {
        format!("{}:q:{queue}:{}", self.head, priority.as_str())
    }

    /// Matches the keys of all streams.
    pub(super) fn any_stream(&self) -> String {
        format!("{}:q:*", self.head)
    }

    /// The stream of a key.
    pub(super) fn parse(&self, key: &str) -> Option<Stream> {
        let (queue, priority) = key.strip_prefix(&self.head)?.strip_prefix(":q:")?.rsplit_once(':')?;
        Some(Stream { queue: queue.to_owned(), priority: priority.parse().ok()? })
    }

    /// The channel on which readers of runs are woken. A hint: readers poll besides.
    pub(super) fn runs(&self) -> String {
        format!("{}:runs", self.head)
    }

    /// The channel on which workers hear of plugins. A hint, too.
    pub(super) fn plugins(&self) -> String {
        format!("{}:plugins", self.head)
    }

    /// The stream that tells other systems of dead letters. Nobody of ours reads it.
    pub(super) fn dead_letters(&self) -> String {
        format!("{}:dead-letters", self.head)
    }

    /// A stream that there never is: with it a server is asked whether it has our keys, and takes a delivery.
    pub(super) fn nothing(&self) -> String {
        format!("{}:nothing", self.head)
    }
}

/// The names, once it is known whose they are.
pub(super) struct Naming {
    prefix: String,
    installation: WhichInstallation,
    keys: OnceLock<Keys>,
}

impl Naming {
    pub(super) fn new(prefix: &str, installation: WhichInstallation) -> Self {
        Self { prefix: prefix.to_owned(), installation, keys: OnceLock::new() }
    }

    pub(super) async fn keys(&self) -> RedisResult<&Keys> {
        let unknown = |why| RedisError::from((ErrorKind::Client, "the installation is not known yet", why));
        if let Some(keys) = self.keys.get() {
            return Ok(keys);
        }
        // Each for itself: whoever waits for the answer of others waits for the sum of all times in which none came.
        let told = tokio::time::timeout(TOLD_WITHIN, (self.installation)()).await;
        let installation = told
            .unwrap_or_else(|_| Err("no answer in time".into()))
            .map_err(|error| unknown(pawl_base::chain(&*error)))?;
        Ok(self.keys.get_or_init(|| Keys::new(&self.prefix, installation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_stream_and_those_of_others_nothing() {
        let (ours, theirs) = (InstallationId::new(), InstallationId::new());
        let keys = Keys::new("a:b", ours);
        let stream = Stream { queue: "q:with:{colons}".to_owned(), priority: Priority::High };
        let key = keys.of(&stream);
        assert_eq!(key, format!("a:b:{{{ours}}}:q:q:with:{{colons}}:high"));
        assert_eq!(keys.parse(&key), Some(stream));
        assert_eq!(Keys::new("a:b", theirs).parse(&key), None);
        assert_eq!(keys.parse(&keys.runs()), None);
    }
}

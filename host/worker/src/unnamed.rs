//! Queues that a worker serves and no pipeline names: most likely misspelt, so that the worker looks healthy and gets
//! nothing.

use std::time::Duration;

use pawl_store::{SharedStore, within};

/// Says so in the log, once. A store that is away is somebody else's to tell.
pub async fn warn_of_unnamed(store: SharedStore, queues: Vec<String>, patience: Duration) {
    let Ok(named) = within(patience, store.named_queues()).await else { return };
    let unnamed = unnamed(&queues, &named);
    if !unnamed.is_empty() {
        tracing::warn!(queues = ?unnamed, ?named, "no pipeline names these queues: as they are written, they stay empty");
    }
}

/// Before the first pipeline is applied, nothing can be said.
fn unnamed<'q>(queues: &'q [String], named: &[String]) -> Vec<&'q String> {
    let is_unnamed = |queue: &&String| !named.is_empty() && !named.contains(queue);
    queues.iter().filter(is_unnamed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_no_pipeline_names_is_told_once_there_are_pipelines() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let queues = names(&["default", "gpuu"]);
        assert_eq!(unnamed(&queues, &names(&["default", "gpu"])), ["gpuu"]);
        assert!(unnamed(&queues, &names(&["gpuu", "default", "other"])).is_empty());
        assert!(unnamed(&queues, &[]).is_empty());
    }
}

//! Pauses of pipelines and of the queue that all steps are of: they come, end, and leave nothing behind.

use pawl_domain::id::StepId;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::Versions;
use pawl_domain::status::StepStatus;
use pawl_store::pauses::Pausable;

use crate::chance::Chance;
use crate::world::{Tested, World};

impl World {
    /// One of them is paused, or goes on.
    pub async fn pause(&mut self, chance: &mut Chance) {
        let place = chance.below(Versions::ALL.len() + 1);
        let is_paused = self.paused[place];
        for Tested { store, .. } in &self.stores {
            let changed = match is_paused {
                true => store.unpause(&what(place)).await,
                false => store.pause(&what(place), None).await,
            };
            assert!(changed.expect("an answer"), "{place} on {}", store.name());
            let again = match is_paused {
                true => store.unpause(&what(place)).await,
                false => store.pause(&what(place), Some("again")).await,
            };
            assert!(!again.expect("an answer"), "asked for twice: {place} on {}", store.name());
        }
        self.paused[place] = !is_paused;
        for run in self.model.values_mut() {
            run.queue_paused = self.paused[Versions::ALL.len()];
            run.pipeline_paused =
                Versions::ALL.iter().zip(&self.paused).any(|(it, paused)| *it == run.versions && *paused);
        }
        // At times what is on the shelf stays there for a while: nobody is lost by that.
        if chance.below(2) == 0 {
            self.release().await;
        }
    }

    /// All pauses of pipelines and queues end.
    pub async fn end_pauses(&mut self) {
        for place in 0..self.paused.len() {
            for Tested { store, .. } in &self.stores {
                store.unpause(&what(place)).await.expect("an answer");
            }
        }
        self.release().await;
        for Tested { store, .. } in &self.stores {
            assert_eq!(store.pauses().await.expect("a list"), [], "on {}", store.name());
        }
    }

    /// What is on the shelf by pauses that have ended is ready again, in both stores the same.
    async fn release(&self) {
        let mut first: Option<Vec<StepId>> = None;
        for Tested { store, .. } in &self.stores {
            let mut released: Vec<StepId> = Vec::new();
            loop {
                // In small pieces, so that there are some.
                let piece = store.release(2).await.expect("a piece");
                released.extend(piece.ready.iter().map(|ready| ready.id));
                if !piece.more {
                    break;
                }
            }
            released.sort();
            let ready = |id: &StepId| self.model[&id.run].steps[id.step.0 as usize].status == StepStatus::Ready;
            assert!(released.iter().all(ready), "{released:?} on {}", store.name());
            match &first {
                None => first = Some(released),
                Some(first) => assert_eq!(&released, first, "on {}", store.name()),
            }
        }
    }
}

fn what(place: usize) -> Pausable {
    match Versions::ALL.get(place) {
        Some(versions) => Pausable::Pipeline(Namespace::default(), versions.as_str().into()),
        None => Pausable::Queue("default".into()),
    }
}

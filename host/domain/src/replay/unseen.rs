//! A journal that a person cuts to its last checkpoint, between two attempts: no guest has gone through it. It is taken
//! in piece by piece, and only what the cut keeps stays in memory.

use std::collections::{BTreeMap, HashMap};

use super::tail::Tail;
use crate::attempt::Cut;
use crate::id::Digest;
use crate::journal::{Entry, RequestSummary};

/// What stays of the entries that were taken in.
#[derive(Debug)]
pub struct Unseen {
    start: u32,
    tail: Tail,
    sent: HashMap<Digest, RequestSummary>,
    finished: BTreeMap<String, Vec<u8>>,
    elapsed_ns: Option<u64>,
    round: Option<i64>,
}

impl Unseen {
    /// Nothing yet of a journal whose checkpoint stands at `start`.
    #[must_use]
    pub fn since(start: u32) -> Self {
        let (tail, sent, finished) = (Tail::new(start), HashMap::new(), BTreeMap::new());
        Self { start, tail, sent, finished, elapsed_ns: None, round: None }
    }

    /// Takes in an entry; what stands before the checkpoint says nothing of what comes after.
    pub fn take_in(&mut self, position: u32, entry: Entry) {
        if let Entry::Attempted { key, request } | Entry::Intent { key, request } = &entry {
            self.sent.insert(*key, request.clone());
        }
        if position < self.start {
            return;
        }
        self.tail.push(position, &entry);
        match entry {
            Entry::OnceFinished { name, value } | Entry::OnceKept { name, value } => {
                self.finished.insert(name, value);
            }
            Entry::Elapsed { monotonic_ns } => self.elapsed_ns = Some(monotonic_ns),
            Entry::Again { round } => self.round = Some(round),
            _ => {}
        }
    }

    /// The cut: all results of `once` since the checkpoint are kept.
    #[must_use]
    pub fn cut(self) -> Cut {
        let sent = |key| self.sent.get(&key).map(|request| Entry::Attempted { key, request: request.clone() });
        let mut notes: Vec<Entry> = self.round.map(|round| Entry::Again { round }).into_iter().collect();
        notes.extend(self.tail.seed_since(self.start));
        notes.extend(self.elapsed_ns.map(|monotonic_ns| Entry::Elapsed { monotonic_ns }));
        notes.extend(self.tail.left_since(self.start).into_iter().filter_map(sent));
        notes.extend(self.finished.into_iter().map(|(name, value)| Entry::OnceKept { name, value }));
        Cut { at: self.start, notes, failed_by: None }
    }
}

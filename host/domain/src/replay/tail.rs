//! What an attempt leaves behind if it fails and is retried: which entries since the last checkpoint the
//! next attempt replays, and which become notes.
//!
//! ```text
//!  checkpoint      A ok       B failed
//!      │  … entries │  … entries │ …          the attempt fails
//!      └──── kept ──┘└── dropped; B's request stays as a note ──┘
//! ```

use std::collections::HashSet;

use crate::id::Digest;
use crate::journal::Entry;
use crate::seed::Seed;

/// The entries since the last checkpoint, reduced to what a cut needs.
#[derive(Debug)]
pub(super) struct Tail {
    /// The checkpoint's position.
    start: u32,
    /// The position after the last successful effect; `start` if there is none.
    kept_until: u32,
    /// The position after the last entry.
    end: u32,
    /// Keys under which requests left, with their positions.
    left: Vec<(u32, Digest)>,
    /// The position of the last entry that told the guest of the world: neither of the clock nor of its attempt, and no
    /// note.
    told_at: Option<u32>,
    /// The last seed, with its position.
    seeded: Option<(u32, Seed)>,
}

impl Tail {
    pub(super) fn new(start: u32) -> Self {
        Self { start, kept_until: start, end: start, left: Vec::new(), told_at: None, seeded: None }
    }

    /// The checkpoint's position.
    pub(super) fn start(&self) -> u32 {
        self.start
    }

    /// Entries since the checkpoint.
    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub(super) fn push(&mut self, position: u32, entry: &Entry) {
        self.end = position + 1;
        let tells_nothing = matches!(
            entry,
            Entry::Now { .. }
                | Entry::Context { .. }
                | Entry::Attempted { .. }
                | Entry::OnceKept { .. }
                | Entry::Elapsed { .. }
                | Entry::Again { .. }
                | Entry::Seeded { .. }
        );
        if !tells_nothing {
            self.told_at = Some(position);
        }
        match entry {
            Entry::Answered { answer, .. } if answer.is_success() => self.kept_until = self.end,
            // Of the checkpoint, right behind it: whoever goes on from there needs it.
            Entry::Elapsed { .. } | Entry::OnceFinished { .. } | Entry::OnceKept { .. } => self.kept_until = self.end,
            // Keys are made with it.
            Entry::Again { .. } => self.kept_until = self.end,
            Entry::Seeded { seed } => self.seeded = Some((position, *seed)),
            Entry::Intent { key, .. } | Entry::Attempted { key, .. } => self.left.push((position, *key)),
            _ => {}
        }
    }

    /// Whether the world has told nothing since this entry.
    pub(super) fn ends_with(&self, position: u32) -> bool {
        self.told_at == Some(position)
    }

    /// Where a retry cuts the journal.
    pub(super) fn cut_at(&self, from_checkpoint: bool) -> u32 {
        if from_checkpoint { self.start } else { self.kept_until }
    }

    /// The seed that a cut at `at` would drop. The next attempt goes on with it: what has left under a key may be made of it.
    pub(super) fn seed_since(&self, at: u32) -> Option<Entry> {
        let (_, seed) = self.seeded.filter(|(position, _)| *position >= at)?;
        Some(Entry::Seeded { seed })
    }

    /// The keys that left in what is dropped by a cut at `at`, each once, in order.
    pub(super) fn left_since(&self, at: u32) -> Vec<Digest> {
        let mut seen = HashSet::new();
        let since = self.left.iter().filter(|(position, _)| *position >= at);
        since.map(|(_, key)| *key).filter(|key| seen.insert(*key)).collect()
    }
}

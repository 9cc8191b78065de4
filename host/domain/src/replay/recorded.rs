//! What is left of a journal to be replayed. Either all of it is in memory, or it comes in pieces, read as the guest
//! comes to them, so that a journal of any length takes the memory of one piece.
//!
//! ```text
//!   lived through     in memory       to be read         never read         to be read
//!  ────────────────┬──────────────┬─────────────────┬──────────────────┬────────────────────▶
//!               cursor           next            prelude           checkpoint              end
//! ```
//!
//! There is always an entry in memory, unless none is left or the rest can't be read: whoever looks at the front sees
//! what comes next. Whoever looks farther ahead than memory reaches reads those pieces in passing, and keeps nothing.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use crate::journal::{Checkpoint, Entry, History, Knowledge};

/// Where what is not in memory of a step's past is read from. Each call may take as long as a server's answer does.
pub trait Rest: fmt::Debug + Send {
    /// Entries from position `from` on, in order: at least one, and none from position `until` on.
    ///
    /// # Errors
    /// [`Unread`].
    fn entries(&mut self, from: u32, until: u32) -> Result<Vec<Entry>, Unread>;

    /// What the checkpoint holds.
    ///
    /// # Errors
    /// [`Unread`].
    fn state(&mut self) -> Result<Vec<u8>, Unread>;

    /// The signal that was given to the entry at this position, if one was.
    ///
    /// # Errors
    /// [`Unread`].
    fn signal(&mut self, position: u32) -> Result<Option<Vec<u8>>, Unread>;
}

/// Why something of a step's past was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The guest must stop, and nobody waits for it any more.
    #[error("the attempt was stopped while its journal was read")]
    Stopped,
    /// It is not there, or not what was written.
    #[error("{0}")]
    Damaged(String),
    /// Another build has written it, which knows more than this one.
    #[error("{what}")]
    Newer {
        /// Who knows that can read it.
        needs: Knowledge,
        /// What it is, in a sentence.
        what: String,
    },
}

#[derive(Debug)]
pub(super) struct Recorded {
    ready: VecDeque<(u32, Entry)>,
    /// The first entry that is not in memory.
    next: u32,
    end: u32,
    /// Between the guest's first `restore()` and the checkpoint.
    never_read: Range<u32>,
    rest: Option<Box<dyn Rest>>,
    unread: Option<Unread>,
}

impl Recorded {
    /// What the history holds, and the rest if there is one.
    pub(super) fn new(history: &mut History, rest: Option<Box<dyn Rest>>) -> Self {
        let never_read = match &history.checkpoint {
            Some(Checkpoint { prelude: Some(prelude), position, .. }) => *prelude..*position,
            _ => 0..0,
        };
        let segments = std::mem::take(&mut history.segments).into_iter();
        let ready = segments.flat_map(|(first, entries)| (first..).zip(entries)).collect();
        let next = if rest.is_some() { 0 } else { history.length };
        let mut this = Self { ready, next, end: history.length, never_read, rest, unread: None };
        this.pass_over();
        this
    }

    /// Entries in memory, from the front on.
    pub(super) fn in_memory(&self) -> impl Iterator<Item = &(u32, Entry)> {
        self.ready.iter()
    }

    pub(super) fn front(&self) -> Option<&(u32, Entry)> {
        self.ready.front()
    }

    pub(super) fn pop_front(&mut self) -> Option<(u32, Entry)> {
        self.ready.pop_front()
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.next >= self.end
    }

    /// Whether a piece is to be taken in before anything else is asked.
    pub(super) fn wants_piece(&self) -> bool {
        self.ready.is_empty() && self.next < self.end && self.unread.is_none()
    }

    pub(super) fn unread(&self) -> Option<&Unread> {
        self.unread.as_ref()
    }

    /// Reads on where it was only not waited for.
    pub(super) fn try_again(&mut self) {
        self.unread.take_if(|unread| *unread == Unread::Stopped);
    }

    /// Takes entries into memory.
    pub(super) fn take_in(&mut self, first: u32, entries: Vec<Entry>) {
        self.ready.extend((first..).zip(entries));
    }

    /// The next piece that is not in memory; it is not taken in by this. `None` if there is none, or it can't be read.
    pub(super) fn read(&mut self) -> Option<(u32, Vec<Entry>)> {
        let (first, entries) = self.read_from(self.next)?;
        self.next = first + count(&entries);
        self.pass_over();
        Some((first, entries))
    }

    /// Looks at all that is left until it has found what it looks for.
    pub(super) fn find_map<T>(&mut self, mut look: impl FnMut(u32, &Entry) -> Option<T>) -> Option<T> {
        let found = self.ready.iter().find_map(|(position, entry)| look(*position, entry));
        let mut next = self.next;
        let mut found = found;
        while found.is_none() {
            let (first, entries) = self.read_from(next)?;
            next = self.passed_over(first + count(&entries));
            found = (first..).zip(&entries).find_map(|(position, entry)| look(position, entry));
        }
        found
    }

    /// Asks for what belongs to the entries; `None` where all of it is in memory, or it can't be read.
    pub(super) fn ask<T>(&mut self, ask: impl FnOnce(&mut dyn Rest) -> Result<T, Unread>) -> Option<T> {
        match ask(self.rest.as_deref_mut()?) {
            Ok(answer) => Some(answer),
            Err(unread) => {
                self.unread.get_or_insert(unread);
                None
            }
        }
    }

    fn read_from(&mut self, from: u32) -> Option<(u32, Vec<Entry>)> {
        if from >= self.end || self.unread.is_some() {
            return None;
        }
        let until = if from < self.never_read.start { self.never_read.start } else { self.end };
        let entries = self.ask(|rest| rest.entries(from, until))?;
        if entries.is_empty() || count(&entries) > until - from {
            self.unread = Some(Unread::Damaged(format!("the journal has no entry at position {from}")));
            return None;
        }
        Some((from, entries))
    }

    fn pass_over(&mut self) {
        self.next = self.passed_over(self.next);
    }

    fn passed_over(&self, position: u32) -> u32 {
        if self.never_read.contains(&position) { self.never_read.end } else { position }
    }
}

fn count(entries: &[Entry]) -> u32 {
    u32::try_from(entries.len()).unwrap_or(u32::MAX)
}

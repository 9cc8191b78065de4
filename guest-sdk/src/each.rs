//! A loop that survives the worker: it goes through a collection and saves, now and then, how far it is and
//! what has come of it.
//!
//! Saved is one JSON document, `{"done": 17, "state": …}`. The loop asks for it when it begins and not
//! before, so that no question of the step can come between: what is asked earlier in the code is replayed,
//! what is asked in the loop belongs to its item.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::document;
use crate::failure::Failure;
use crate::host;

/// Goes through a collection and saves its place; got from [`Context::each`].
///
/// ```
/// use pawl_sdk::{Context, Failure, testing};
///
/// /// Two of a hundred customers don't pay.
/// fn total(ctx: &mut Context, prices: Vec<u64>) -> Result<u64, Failure> {
///     let mut each = ctx.each(prices, 0).save_every(10);
///     while let Some((price, total)) = each.next(ctx)? {
///         *total += price * u64::from(ctx.random_u64() % 100 < 98);
///     }
///     Ok(each.into_state())
/// }
///
/// testing::crash_everywhere(total, (1..=25).collect::<Vec<u64>>());
/// ```
///
/// A resumed step goes on with the item after the last save, with the state as it was saved; items between
/// that save and the crash are done again, and their questions are answered from the journal. `?`, `break` and
/// `return` do in the loop what they do in any.
///
/// A step has one such loop, and it is the step's state: [`Context::checkpoint`] and [`Context::restore`] are
/// for steps that save in another way.
#[must_use = "it does nothing until it is asked for its items: `while let Some((item, state)) = each.next(ctx)?`"]
pub struct Each<I, S> {
    items: I,
    state: S,
    /// Items whose turn is over.
    done: usize,
    /// Items between two saves; 0 for none.
    every: usize,
    resumed_at: usize,
    phase: Phase,
}

#[derive(PartialEq)]
enum Phase {
    /// The saved place has not been asked for.
    New,
    /// Between two items.
    Between,
    /// An item is out.
    Item,
    /// There are no more.
    Over,
}

#[derive(Deserialize)]
struct Saved<S> {
    done: usize,
    state: S,
}

/// The same, borrowed.
#[derive(Serialize)]
struct Save<'a, S> {
    done: usize,
    state: &'a S,
}

impl Context {
    /// Goes through a collection and saves where it is: see [`Each`], which shows how.
    ///
    /// `state` is what comes of the items, and is saved with the place; `()` if nothing does. The collection
    /// must be the same whenever the step runs: made of the input, or of what was asked before the loop.
    pub fn each<I: IntoIterator, S>(&mut self, items: I, state: S) -> Each<I::IntoIter, S> {
        Each::new(items.into_iter(), state)
    }
}

impl<I: Iterator, S> Each<I, S> {
    fn new(items: I, state: S) -> Self {
        Self { items, state, done: 0, every: 1, resumed_at: 0, phase: Phase::New }
    }

    /// Saves after so many items instead of after each one: for items that take less than saving is worth.
    /// With 0 it never saves.
    pub fn save_every(mut self, items: usize) -> Self {
        self.every = items;
        self
    }

    /// How many items are done, those before a crash included.
    pub fn done(&self) -> usize {
        self.done
    }

    /// How many of them a save held, so that they did not have to be done again. 0 until the loop has begun.
    pub fn resumed_at(&self) -> usize {
        self.resumed_at
    }

    /// What has come of the items.
    pub fn into_state(self) -> S {
        self.state
    }
}

impl<I: Iterator, S: Serialize + DeserializeOwned> Each<I, S> {
    /// The next item, and the state for its turn to change. Asking for it says that the turn of the one
    /// before is over, and that is when the place is saved.
    ///
    /// # Errors
    /// A fatal failure if the state can't be written as JSON, what was saved does not fit it, or the step
    /// has such a loop already.
    pub fn next(&mut self, ctx: &mut Context) -> Result<Option<(I::Item, &mut S)>, Failure> {
        match self.phase {
            Phase::New => self.begin(ctx)?,
            Phase::Item => self.end_turn()?,
            Phase::Between | Phase::Over => {}
        }
        if self.phase == Phase::Over {
            return Ok(None);
        }
        let item = self.items.next();
        self.phase = if item.is_some() { Phase::Item } else { Phase::Over };
        Ok(item.map(|item| (item, &mut self.state)))
    }

    fn begin(&mut self, ctx: &mut Context) -> Result<(), Failure> {
        ctx.begin_loop()?;
        self.phase = Phase::Between;
        let Some(saved) = host::restore() else { return Ok(()) };
        let Saved { done, state } = document::read("saved state of the loop", &saved)?;
        (self.done, self.resumed_at, self.state) = (done, done, state);
        match done.checked_sub(1) {
            Some(last) if self.items.nth(last).is_none() => Err(Failure::fatal(format!(
                "{done} items were done before and now the collection has fewer: make it of the input, or of what is \
                 asked before the loop, so that it is the same whenever the step runs"
            ))),
            _ => Ok(()),
        }
    }

    fn end_turn(&mut self) -> Result<(), Failure> {
        self.phase = Phase::Between;
        self.done += 1;
        if self.every != 0 && self.done.is_multiple_of(self.every) {
            host::checkpoint(&document::write("state", &Save { done: self.done, state: &self.state })?);
        }
        Ok(())
    }
}

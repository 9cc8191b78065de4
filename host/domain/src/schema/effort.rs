//! A bound for the work of a validation. Schemas can ask for more than anybody has time for, from a few lines: 2^40 visits
//! for forty definitions that each refer twice to the next, 10^9 for a list of a million numbers of which each is held
//! against a thousand alternatives. So documents are shown to the validator by a view that counts every look at them, and
//! gives up at the limit. What the validator does without looking is bounded by the schema's size.
//!
//! One look is one step; what takes longer the more there is (text, comparisons, distinct items) counts as many.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp, unique};
use serde_json::{Map, Number, Value};

/// Text that is looked through in one step, bytes.
const TEXT_PER_STEP: usize = 32;

/// Items that are compared pair by pair where they must be distinct; more are hashed.
const PAIRWISE: u64 = 16;

/// Steps between two questions whether the answer is still wanted.
const ASK_EVERY: u64 = 1 << 14;

/// Whether somebody still waits for the answer.
pub(super) type Wanted = Box<dyn Fn() -> bool>;

thread_local! {
    /// Steps that the validation under way on this thread may still take.
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    /// As many are left when the next question is due.
    static ASK_AT: Cell<u64> = const { Cell::new(0) };
    static WANTED: RefCell<Option<Wanted>> = const { RefCell::new(None) };
}

/// Why a validation was given up. Thrown through the validator, which has no other way to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// It would take more steps than it may.
    TooMuch,
    /// Nobody waits for it any more.
    Unwanted,
}

/// Runs a validation that may take so many steps, for as long as it is wanted.
pub(super) fn within<T>(steps: u64, wanted: Option<Wanted>, validate: impl FnOnce() -> T) -> Result<T, GivenUp> {
    LEFT.set(steps);
    ASK_AT.set(if wanted.is_some() { steps.saturating_sub(ASK_EVERY) } else { 0 });
    WANTED.set(wanted);
    let done = catch_unwind(AssertUnwindSafe(validate));
    WANTED.take();
    done.map_err(|thrown| match thrown.downcast::<GivenUp>() {
        Ok(given_up) => *given_up,
        Err(panic) => resume_unwind(panic),
    })
}

/// Steps that the last validation on this thread has left over.
pub(super) fn left() -> u64 {
    LEFT.get()
}

fn take(steps: u64) {
    let Some(left) = LEFT.get().checked_sub(steps) else { give_up(GivenUp::TooMuch) };
    LEFT.set(left);
    if left < ASK_AT.get() {
        ASK_AT.set(left.saturating_sub(ASK_EVERY));
        if WANTED.with_borrow(|wanted| wanted.as_ref().is_some_and(|wanted| !wanted())) {
            give_up(GivenUp::Unwanted);
        }
    }
}

fn give_up(why: GivenUp) -> ! {
    resume_unwind(Box::new(why))
}

/// How many values there are in a value.
fn size(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

fn text(length: usize) -> u64 {
    1 + (length / TEXT_PER_STEP) as u64
}

/// JSON that counts how often it is looked at.
#[derive(Debug)]
pub(super) struct Counted;

/// A value of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a>(pub(super) &'a Value);

impl Json for Counted {
    type Node<'a> = Seen<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    // As for `serde_json` itself: a map is a tree.
    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Seen<'_>) -> T) -> T {
        f(Seen(&Value::String(string.to_owned())))
    }
}

impl<'a> Node<'a, Counted> for Seen<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        take(1);
        self.0.as_object().map(Members)
    }

    fn as_array(&self) -> Option<Items<'a>> {
        take(1);
        self.0.as_array().map(|items| Items(items))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let string = self.0.as_str();
        take(text(string.map_or(0, str::len)));
        string.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a Number> {
        take(1);
        match self.0 {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        take(1);
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        take(1);
        self.0.is_null()
    }

    fn json_type(&self) -> JsonType {
        take(1);
        match self.0 {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        equal(self.0, expected)
    }

    /// Whoever asks for this makes a message of it, and may copy it.
    fn to_value(&self) -> Cow<'a, Value> {
        take(size(self.0));
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.0) as usize))
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            take(1);
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            take(1);
            let same = |(name, one)| other.get::<str>(name).is_some_and(|other| equal(one, other));
            one.len() == other.len() && one.iter().map(|(name, one)| (name.as_str(), one)).all(same)
        }
        (Value::String(one), Value::String(other)) => {
            take(text(one.len().min(other.len())));
            one == other
        }
        _ => {
            take(1);
            cmp::equal(one, other)
        }
    }
}

/// The members of an object.
pub(super) struct Members<'a>(&'a Map<String, Value>);

impl<'a> Object<'a, Counted> for Members<'a> {
    type Node = Seen<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersSeen<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Seen<'a>> {
        take(1);
        self.0.get(key.as_str()).map(Seen)
    }

    fn members(&self) -> MembersSeen<'a> {
        MembersSeen(self.0.iter())
    }
}

/// Looks at one member after the other.
pub(super) struct MembersSeen<'a>(serde_json::map::Iter<'a>);

impl<'a> Iterator for MembersSeen<'a> {
    type Item = (&'a str, Seen<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        take(text(name.len()));
        Some((name, Seen(value)))
    }
}

/// The items of a list.
pub(super) struct Items<'a>(&'a [Value]);

impl<'a> Array<'a, Counted> for Items<'a> {
    type Node = Seen<'a>;
    type ElementsIter = ItemsSeen<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> ItemsSeen<'a> {
        ItemsSeen(self.0.iter())
    }

    fn is_unique(&self) -> bool {
        let values: u64 = self.0.iter().map(size).sum();
        take(values.saturating_mul(PAIRWISE.min(self.0.len() as u64)));
        unique::is_unique(self.0)
    }
}

/// Looks at one item after the other.
pub(super) struct ItemsSeen<'a>(std::slice::Iter<'a, Value>);

impl<'a> Iterator for ItemsSeen<'a> {
    type Item = Seen<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.0.next()?;
        take(1);
        Some(Seen(item))
    }
}

//! One caller's context, in the slots of the plan that will judge it.
//!
//! Values are copied into one arena that the owner keeps between requests: after warm-up a context
//! costs no allocation, and nothing of it borrows from the request. Names that no plan asks for are
//! skipped. The rules of precedence are `spec/evaluation.md` 2.1 and 2.2, column *Ours*.

use std::{fmt::Write as _, ops::Range};

use super::{
    plan::{Plan, SlotId, Slots},
    value::date::Instant,
};

/// The fields that are read from the top level of a context, in the order of their slots.
pub(super) const ROOT_FIELDS: [&str; 6] =
    ["userId", "sessionId", "environment", "appName", "remoteAddress", "currentTime"];
pub(super) const USER_ID: SlotId = SlotId(0);
pub(super) const SESSION_ID: SlotId = SlotId(1);
pub(super) const REMOTE_ADDRESS: SlotId = SlotId(4);
pub(super) const CURRENT_TIME: SlotId = SlotId(5);

/// A context as slots of values. Reused from request to request.
#[derive(Debug, Default)]
pub struct Context {
    text: String,
    slots: Vec<Value>,
    pub(super) now: Instant,
    pub(super) seed: u64,
}

/// Fills a [`Context`] for one plan.
#[derive(Debug)]
pub struct ContextWriter<'a> {
    context: &'a mut Context,
    slots: &'a Slots,
}

#[derive(Clone, Copy, Debug, Default)]
struct Value {
    start: u32,
    end: u32,
    rank: Rank,
}

/// Which of several values of one name counts: the higher rank, and of equal ranks the later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    #[default]
    Absent,
    /// A root field's name inside `properties`, or another name outside of them.
    Weak,
    /// A root field at the root, or another name inside `properties`.
    Strong,
    Forced,
}

// === impl Context ===

impl Context {
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the context and lays it out for `plan`.
    ///
    /// `now_millis` is Unix time; it counts where the context brings no `currentTime`. `seed`
    /// decides every random draw: the same seed draws the same.
    pub fn start<'a>(
        &'a mut self,
        plan: &'a Plan,
        now_millis: i64,
        seed: u64,
    ) -> ContextWriter<'a> {
        let slots = plan.slots();
        self.text.clear();
        self.slots.clear();
        self.slots.resize(slots.len(), Value::default());
        self.now = Instant::from_millis(now_millis);
        self.seed = seed;
        ContextWriter { context: self, slots }
    }

    /// The value of a slot. `None` when the context has none.
    #[inline]
    pub(super) fn get(&self, slot: SlotId) -> Option<&str> {
        self.text.get(self.place(slot)?)
    }

    /// As [`Context::get`], for who compares bytes.
    #[inline]
    pub(super) fn bytes(&self, slot: SlotId) -> Option<&[u8]> {
        self.text.as_bytes().get(self.place(slot)?)
    }

    #[inline]
    fn place(&self, slot: SlotId) -> Option<Range<usize>> {
        let value = self.slots.get(slot.0 as usize)?;
        (value.rank != Rank::Absent).then_some(value.start as usize..value.end as usize)
    }

    /// The value of a slot where it can identify somebody: empty counts as missing.
    #[inline]
    pub(super) fn identifier(&self, slot: SlotId) -> Option<&[u8]> {
        self.bytes(slot).filter(|value| !value.is_empty())
    }
}

// === impl ContextWriter ===

impl ContextWriter<'_> {
    /// An entry of the context's top level: a root field (`userId`, `sessionId`, `environment`,
    /// `appName`, `remoteAddress`, `currentTime`) wins over a property of the same name, any other
    /// name yields to one. Of two equals the later counts.
    pub fn top(&mut self, name: &str, value: &str) {
        if let Some(slot) = self.slots.get(name) {
            self.set(slot, if slot.is_root() { Rank::Strong } else { Rank::Weak }, value);
        }
    }

    /// `currentTime` as a JSON number: Unix time in milliseconds. A time beyond what dates can say
    /// is left out.
    pub fn top_time_millis(&mut self, millis: i64) {
        let Some(time) = chrono::DateTime::from_timestamp_millis(millis) else { return };
        let text = &mut self.context.text;
        let start = text.len();
        // Written where it will stay: nothing is allocated. Text takes whatever is written.
        let _ = write!(text, "{time:?}");
        self.set_written(CURRENT_TIME, Rank::Strong, start);
    }

    /// An entry of `properties`.
    pub fn property(&mut self, name: &str, value: &str) {
        if let Some(slot) = self.slots.get(name) {
            self.set(slot, if slot.is_root() { Rank::Weak } else { Rank::Strong }, value);
        }
    }

    /// A value that wins over whatever came or comes.
    pub fn force(&mut self, name: &str, value: &str) {
        if let Some(slot) = self.slots.get(name) {
            self.set(slot, Rank::Forced, value);
        }
    }

    /// A value for where there is none yet.
    pub fn fill(&mut self, name: &str, value: &str) {
        if let Some(slot) = self.slots.get(name).filter(|slot| self.context.get(*slot).is_none()) {
            self.set(slot, Rank::Weak, value);
        }
    }

    /// Whether `name` has a value. Answers for the root fields and for names that the plan asks
    /// for; of others nothing is known, and the answer is no.
    pub fn has(&self, name: &str) -> bool {
        self.slots.get(name).is_some_and(|slot| self.context.get(slot).is_some())
    }

    /// Whether `name` has a value that can identify somebody: an empty one cannot
    /// (evaluation.md 2.2).
    pub fn identifies(&self, name: &str) -> bool {
        self.slots.get(name).is_some_and(|slot| self.context.identifier(slot).is_some())
    }

    /// Forgets every value written so far.
    pub fn clear(&mut self) {
        self.context.text.clear();
        self.context.slots.fill(Value::default());
    }

    /// Whether a value of this name would be kept: the others can be skipped unread.
    pub fn wants(&self, name: &str) -> bool {
        self.slots.get(name).is_some()
    }

    fn set(&mut self, slot: SlotId, rank: Rank, text: &str) {
        let start = self.context.text.len();
        self.context.text.push_str(text);
        self.set_written(slot, rank, start);
    }

    /// Takes the text from `start` to the arena's end for a slot's value.
    fn set_written(&mut self, slot: SlotId, rank: Rank, start: usize) {
        let end = self.context.text.len();
        let Some(value) = self.context.slots.get_mut(slot.0 as usize) else { return };
        if rank < value.rank {
            return;
        }
        // A request is bounded far below 4 GiB by its transport.
        *value = Value { start: start as u32, end: end as u32, rank };
    }
}

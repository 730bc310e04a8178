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

pub(super) const USER_ID: SlotId = Root::UserId.slot();
pub(super) const SESSION_ID: SlotId = Root::SessionId.slot();
pub(super) const REMOTE_ADDRESS: SlotId = Root::RemoteAddress.slot();
pub(super) const CURRENT_TIME: SlotId = Root::CurrentTime.slot();

/// A field that is read from the top level of a context. Every plan asks for each.
// In the order of their slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    UserId,
    SessionId,
    Environment,
    AppName,
    RemoteAddress,
    CurrentTime,
}

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

// === impl Root ===

impl Root {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::UserId,
        Self::SessionId,
        Self::Environment,
        Self::AppName,
        Self::RemoteAddress,
        Self::CurrentTime,
    ];

    /// As contexts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserId => "userId",
            Self::SessionId => "sessionId",
            Self::Environment => "environment",
            Self::AppName => "appName",
            Self::RemoteAddress => "remoteAddress",
            Self::CurrentTime => "currentTime",
        }
    }

    const fn slot(self) -> SlotId {
        SlotId(self as u32)
    }
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
    /// An entry of the context's top level: a [`Root`] wins over a property of the same name, any other
    /// name yields to one. Of two equals the later counts.
    pub fn top(&mut self, name: &str, value: &str) {
        if let Some(slot) = self.slots.get(name) {
            self.set(slot, if slot.is_root() { Rank::Strong } else { Rank::Weak }, value);
        }
    }

    /// As [`ContextWriter::top`] of the field's name.
    #[inline]
    pub fn root(&mut self, field: Root, value: &str) {
        self.set(field.slot(), Rank::Strong, value);
    }

    /// `currentTime` as a JSON number: Unix time in milliseconds. A time beyond what dates can say
    /// is left out.
    pub fn root_time_millis(&mut self, millis: i64) {
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
    pub fn force(&mut self, field: Root, value: &str) {
        self.set(field.slot(), Rank::Forced, value);
    }

    /// A value for where there is none yet.
    pub fn fill(&mut self, field: Root, value: &str) {
        if !self.has(field) {
            self.set(field.slot(), Rank::Weak, value);
        }
    }

    /// Whether the field has a value.
    pub fn has(&self, field: Root) -> bool {
        self.context.get(field.slot()).is_some()
    }

    /// Whether the field has a value that can identify somebody: an empty one cannot
    /// (evaluation.md 2.2).
    pub fn identifies(&self, field: Root) -> bool {
        self.context.identifier(field.slot()).is_some()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Features, Host, Projects, compile};

    #[test]
    fn a_root_field_has_the_slot_that_its_name_has() {
        let (plan, _) = compile(&Features::default(), &Projects::All, &Host::default());
        for field in Root::ALL {
            assert_eq!(plan.slots().get(field.name()), Some(field.slot()), "{}", field.name());
            assert!(field.slot().is_root());
        }
        assert_eq!(plan.slots().len(), Root::ALL.len());
    }
}

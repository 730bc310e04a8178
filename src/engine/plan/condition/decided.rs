//! What is known of literals while a request is decided.

use std::ops::BitAnd;

use crate::engine::{plan::SlotId, value::fold};

/// What is known of each literal in one request. Kept by the caller between requests.
#[derive(Debug, Default)]
pub(in crate::engine) struct Decided {
    /// By the literal: a condition's, and behind it that of the opposite. Then what is known for
    /// everybody, and what whoever asks for many flags appends.
    truths: Vec<Truth>,
    /// The value of `lowered_slot` in lower case.
    lowered: String,
    lowered_slot: Option<SlotId>,
}

/// What is known of a literal, or of several together.
// Two bits, so that several together are the bits that all of them have: they fail with any, hold
// with all, and are open otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Truth(u8);

/// What is known of each literal.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Truths<'d>(&'d [Truth]);

// === impl Truth ===

impl Truth {
    pub(in crate::engine) const FAILS: Self = Self(0b00);
    /// Nobody asked yet.
    pub(in crate::engine) const OPEN: Self = Self(0b01);
    pub(in crate::engine) const HOLDS: Self = Self(0b11);

    #[inline(always)]
    pub(in crate::engine) fn of(holds: bool) -> Self {
        Self(u8::from(holds) * Self::HOLDS.0)
    }

    /// Of a condition, and of the opposite.
    #[inline(always)]
    pub(super) fn both(holds: bool) -> [Self; 2] {
        [Self::of(holds), Self::of(!holds)]
    }

    /// The upper one: whether it holds. The lower one: whether it may hold yet.
    #[inline(always)]
    pub(in crate::engine) fn bits(self) -> u64 {
        self.0.into()
    }
}

impl BitAnd for Truth {
    type Output = Self;

    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

// === impl Truths ===

impl Truths<'_> {
    /// Of one. Nobody's literal fails.
    #[inline(always)]
    pub(in crate::engine) fn of(self, literal: u32) -> Truth {
        self.0.get(literal as usize).copied().unwrap_or(Truth::FAILS)
    }
}

// === impl Decided ===

impl Decided {
    /// Forgets all; what is known to begin with are these.
    pub(super) fn start(&mut self, truths: &[Truth]) {
        self.lowered_slot = None;
        self.truths.clear();
        self.truths.extend_from_slice(truths);
    }

    /// What is known of a literal.
    #[inline(always)]
    pub(in crate::engine) fn truth(&self, literal: u32) -> Truth {
        self.truths().of(literal)
    }

    /// What is known of all, for who asks for many while nothing is learned.
    #[inline(always)]
    pub(in crate::engine) fn truths(&self) -> Truths<'_> {
        Truths(&self.truths)
    }

    /// Says what is known of the one behind the last.
    #[inline]
    pub(in crate::engine) fn append(&mut self, is: Truth) {
        self.truths.push(is);
    }

    /// Says of each pair of literals what is known of both together, one behind the other: a pair may
    /// name those before it.
    pub(in crate::engine::plan) fn append_pairs(&mut self, pairs: &[[u32; 2]]) {
        let first = self.truths.len();
        self.truths.resize(first + pairs.len(), Truth::FAILS);
        let truths = &mut *self.truths;
        for (at, [one, other]) in (first..).zip(pairs) {
            let both = Truths(truths).of(*one) & Truths(truths).of(*other);
            if let Some(place) = truths.get_mut(at) {
                *place = both;
            }
        }
    }

    #[inline]
    pub(super) fn set(&mut self, condition: u32, holds: bool) {
        if let Some(truths) = self.from(condition).first_mut() {
            *truths = Truth::both(holds);
        }
    }

    /// Of a condition and of those behind it.
    #[inline]
    pub(super) fn from(&mut self, condition: u32) -> &mut [[Truth; 2]] {
        let truths = self.truths.get_mut(2 * condition as usize..).unwrap_or_default();
        truths.as_chunks_mut().0
    }

    /// Room for a text; what it held is forgotten.
    pub(in crate::engine) fn text(&mut self) -> &mut String {
        self.lowered_slot = None;
        &mut self.lowered
    }

    /// `text`, the value of `slot`, in lower case; folded once while one slot is asked for.
    pub(super) fn lowered(&mut self, slot: SlotId, text: &str) -> &str {
        if self.lowered_slot != Some(slot) {
            self.lowered.clear();
            fold::lower_into(text, &mut self.lowered);
            self.lowered_slot = Some(slot);
        }
        &self.lowered
    }
}

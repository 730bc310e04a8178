//! What a condition asks of a context value, as lowering defines it: equal definitions become one
//! condition of a plan.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
    sync::Arc,
};

use ahash::{AHashMap, RandomState};
use regex::Regex;

use super::{
    list::List,
    pattern::{self, PatternError},
};
use crate::engine::value::{date::Instant, network::Networks, version};

/// A condition on a field, as lowering defines it: equal definitions become one condition.
#[derive(Debug)]
pub(super) struct Definition {
    hash: u64,
    pub(super) field: Box<str>,
    pub(super) predicate: Predicate,
}

/// What is asked of a value.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Predicate {
    /// Is one of these.
    In(List),
    Number(Comparison, Number),
    Date(Comparison, Instant),
    Version(Comparison, Version),
    Network(Networks),
    /// Holds one of these at its start, its end or anywhere; folded: compared in lower case.
    Text {
        place: Place,
        needles: Box<[Box<str>]>,
        folded: bool,
    },
    Pattern(Arc<Pattern>),
}

/// Which orders of a value and a threshold are admitted.
// Each order has a bit: less the lowest, then equal, then greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Comparison {
    Equal = 0b010,
    Greater = 0b100,
    GreaterOrEqual = 0b110,
    Less = 0b001,
    LessOrEqual = 0b011,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Start,
    End,
    Anywhere,
}

/// A finite or infinite number, never NaN; equal when its bits are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) f64);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    pub(super) pre: Box<str>,
}

/// A compiled pattern; equal when its source is.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) source: Box<str>,
    pub(super) case_insensitive: bool,
    pub(super) regex: Regex,
}

/// The patterns in use: many flags ask for the same, and a pattern is dear to compile.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    compiled: AHashMap<(Box<str>, bool), Arc<Pattern>>,
}

// === impl Patterns ===

impl Patterns {
    /// The pattern `source`, compiled if it was not before.
    ///
    /// # Errors
    ///
    /// When it is no pattern.
    pub(super) fn get(
        &mut self,
        source: &str,
        case_insensitive: bool,
    ) -> Result<Arc<Pattern>, PatternError> {
        let key = (Box::from(source), case_insensitive);
        if let Some(pattern) = self.compiled.get(&key) {
            return Ok(Arc::clone(pattern));
        }
        let regex = pattern::compile(source, case_insensitive)?;
        let pattern = Arc::new(Pattern { source: source.into(), case_insensitive, regex });
        self.compiled.insert(key, Arc::clone(&pattern));
        Ok(pattern)
    }

    /// Forgets what no definition holds any more.
    pub(super) fn forget_unused(&mut self) {
        self.compiled.retain(|_, pattern| Arc::strong_count(pattern) > 1);
    }
}

// === impl Definition ===

impl Definition {
    pub(super) fn new(field: &str, predicate: Predicate) -> Self {
        let field = field.into();
        // Fixed seeds: the hash outlives one table. What is hashed comes from upstream alone.
        let hash = RandomState::with_seeds(1, 2, 3, 4).hash_one((&field, &predicate));
        Self { hash, field, predicate }
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || (self.hash, &self.field, &self.predicate)
                == (other.hash, &other.field, &other.predicate)
    }
}

impl Eq for Definition {}

impl Hash for Definition {
    // A list of a hundred thousand values is hashed when it is lowered, and not again.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

// === impl Predicate ===

impl Predicate {
    /// Orders predicates so that those of one family are neighbours.
    pub(super) fn family(&self) -> u8 {
        match self {
            Self::In(_) => 0,
            Self::Number(..) => 1,
            Self::Date(..) => 2,
            Self::Version(..) => 3,
            Self::Network(_) => 4,
            Self::Text { .. } => 5,
            Self::Pattern(_) => 6,
        }
    }

    pub(super) fn stands_alone(family: u8) -> bool {
        family >= 5
    }
}

// === impl Comparison ===

impl Comparison {
    #[inline]
    pub(super) fn admits(self, order: Ordering) -> bool {
        self as u8 >> (order as i8 + 1) & 1 == 1
    }
}

// === impl Version ===

impl Version {
    pub(super) fn borrow(&self) -> version::Version<'_> {
        version::Version { major: self.major, minor: self.minor, patch: self.patch, pre: &self.pre }
    }
}

// === impl Number, Pattern: equality of what was written ===

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, self.case_insensitive) == (&other.source, other.case_insensitive)
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.source, self.case_insensitive).hash(state);
    }
}

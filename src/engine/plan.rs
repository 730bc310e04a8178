//! The plan: a payload compiled for one set of projects. Immutable, flat, index-based.
//!
//! Everything that can be known before a request is decided here; what is left is numbered:
//! slots of context values, conditions on them, strategies as short lists of conditions, outcomes as
//! fragments of bytes. [`compile()`] makes it, [`super::evaluate`] reads it.

mod basis;
pub(super) mod compile;
mod condition;
mod conjunction;
mod constraint;
mod definition;
pub(super) mod fragment;
pub(super) mod index;
mod link;
mod list;
pub(super) mod listing;
mod lower;
mod names;
mod pattern;
pub(super) mod rollout;
mod strategy;
pub(super) mod trace;
mod values;
mod variant;

use std::{ops::Range, sync::Arc};

pub use compile::{Compiler, compile};
pub(super) use condition::{Conditions, Decided, Truth};
pub use fragment::Profile;
pub(super) use lower::{OFF, ON};

use self::{
    basis::Basis,
    fragment::{Fragments, Run},
    index::TextIndex,
    listing::Listing,
    lower::{Choice, Code},
    rollout::{Prefix, Rollouts},
};
use super::{
    context::{Context, Root, SESSION_ID, USER_ID},
    model::Impression,
};

/// A payload compiled for one set of projects.
///
/// Immutable and shared by all workers; what changes from request to request is the caller's.
#[derive(Debug)]
pub struct Plan {
    slots: Slots,
    pub(super) conditions: Conditions,
    /// The names of the visible flags; a name's number is its flag's.
    names: Arc<TextIndex>,
    /// Visible flags in byte order of their names, then flags that only their children see.
    pub(super) flags: Vec<Flag>,
    /// Of each flag.
    pub(super) labels: Vec<Label>,
    pub(super) strategies: Vec<Strategy>,
    /// Condition `<< 1`, with the lowest bit set where it must not hold.
    pub(super) literals: Vec<u32>,
    pub(super) rollouts: Rollouts,
    pub(super) draws: Vec<Draw>,
    pub(super) picks: Vec<Pick>,
    pub(super) overrides: Vec<Override>,
    pub(super) dependencies: Vec<Dependency>,
    /// The variants of each flag that has any and can be on.
    pub(super) choices: Vec<Arc<[Choice]>>,
    pub(super) fragments: Fragments,
    /// The fragments from this one on say that a flag is off, the visible flags in turn.
    first_off: u32,
    pub(super) listing: Listing,
    /// The flags that others depend on.
    pub(super) parents: Vec<u32>,
    basis: Basis,
    /// What explanations lower again with.
    host: Host,
}

/// A visible flag of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagId(pub(super) u32);

/// Which projects' flags are visible.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projects {
    All,
    Only(Box<[Box<str>]>),
}

/// What a plan must know of the machine it runs on.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// What the strategy `applicationHostname` compares with. Empty matches nothing.
    pub name: String,
}

/// What a plan is made of: says why a payload is dear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Flags that are on, whoever asks.
    pub folded_on: usize,
    /// Flags that are off, whoever asks.
    pub folded_off: usize,
    /// Flags that depend on the context.
    pub live: usize,
    /// Flags that are compiled for their children alone.
    pub hidden: usize,
    /// Distinct conditions.
    pub conditions: usize,
    /// References to conditions, by strategies and overrides.
    pub literals: usize,
    /// Context names that the plan asks for, the six root fields included.
    pub slots: usize,
    /// Bytes held, roughly.
    pub bytes: usize,
}

/// Where a context keeps the value of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotId(pub(super) u32);

/// The names a plan asks for; the root fields come first.
#[derive(Debug)]
pub(super) struct Slots {
    names: TextIndex,
}

#[derive(Clone, Debug)]
pub(super) struct Flag {
    pub(super) kind: Kind,
    /// The fragment that says it is on. Of a live flag: by outcome, the first of them.
    pub(super) fragment: u32,
    pub(super) strategies: Range<u32>,
    pub(super) dependencies: Range<u32>,
    /// Its place in `parents`; nowhere for a flag without children.
    pub(super) parenthood: u32,
}

/// What is not needed to decide a flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    pub(super) impression: Impression,
    /// Its place in `choices`, if it has variants.
    choice: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One outcome for every context.
    Folded(Code),
    Live,
}

#[derive(Clone, Debug)]
pub(super) struct Strategy {
    pub(super) literals: Range<u32>,
    pub(super) test: Test,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Always,
    Present(SlotId),
    /// Chance alone decides, for each request anew.
    Chance {
        percent: u8,
    },
    Rollout(Share),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// `userId`, else `sessionId`, else chance.
    Default,
    Random,
    Slot(SlotId),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Is(Code),
    /// Drawn from one of the plan's draws.
    Drawn(u32),
}

/// A weighted choice between variants.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    pub(super) key: Key,
    pub(super) prefix: Prefix,
    // INVARIANT: above 0; draws that could choose nothing are folded away.
    pub(super) total: u32,
    pub(super) picks: Range<u32>,
    pub(super) overrides: Range<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pick {
    /// The weights up to and with this one.
    pub(super) sum: u32,
    pub(super) code: Code,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Override {
    pub(super) condition: u32,
    pub(super) code: Code,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) parent: u32,
    /// The parent's place in `parents`: a list need not look at the parent itself.
    pub(super) parenthood: u32,
    /// The parent's outcomes that let the child be on, sorted.
    pub(super) wanted: Wanted,
}

/// Which outcomes of a parent let its child be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Off,
    On,
    /// One of these.
    Listed(Box<[Code]>),
}

/// A part of the callers: those within `percent` of 100 in a rollout of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) rollout: u32,
    pub(super) percent: u8,
}

// === impl Plan ===

impl Plan {
    /// The number of visible flags.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no flag is visible.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The visible flag called `name`.
    pub fn flag(&self, name: &str) -> Option<FlagId> {
        self.names.get(name.as_bytes()).map(FlagId)
    }

    /// What the plan is made of.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            hidden: self.flags.len() - self.len(),
            conditions: self.conditions.len(),
            literals: self.literals.len() + self.overrides.len(),
            slots: self.slots.len(),
            bytes: self.bytes(),
            ..Stats::default()
        };
        for flag in self.flags.iter().take(self.len()) {
            match flag.kind {
                Kind::Folded(OFF) => stats.folded_off += 1,
                Kind::Folded(_) => stats.folded_on += 1,
                Kind::Live => stats.live += 1,
            }
        }
        stats
    }

    /// What an outcome of the visible flag of this number reads like.
    #[inline]
    pub(super) fn run_of(&self, flag: u32, code: Code) -> Run {
        let fragment = match self.flags.get(flag as usize) {
            Some(Flag { kind: Kind::Live, fragment, .. }) if code != OFF => fragment + (code - ON),
            Some(Flag { fragment, .. }) if code != OFF => *fragment,
            _ => self.first_off + flag,
        };
        Run::of(fragment)
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    fn bytes(&self) -> usize {
        fn held<T>(list: &Vec<T>) -> usize {
            list.capacity() * size_of::<T>()
        }
        let choices: usize = self
            .choices
            .iter()
            .flat_map(|choices| choices.iter())
            .map(|choice| {
                size_of::<Choice>()
                    + choice.name.len()
                    + choice.payload.as_ref().map_or(0, |payload| payload.len())
            })
            .sum();
        self.slots.names.bytes()
            + self.conditions.bytes()
            + self.names.bytes()
            + held(&self.flags)
            + held(&self.labels)
            + held(&self.parents)
            + held(&self.strategies)
            + held(&self.literals)
            + self.rollouts.bytes()
            + held(&self.draws)
            + held(&self.picks)
            + held(&self.overrides)
            + held(&self.dependencies)
            + held(&self.choices)
            + choices
            + self.fragments.bytes()
            + self.listing.bytes()
    }
}

// === impl Projects ===

impl Projects {
    /// Whether flags of `project` are visible.
    pub fn contains(&self, project: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(projects) => projects.iter().any(|listed| **listed == *project),
        }
    }
}

// === impl Slots ===

impl Slots {
    #[inline]
    pub(super) fn get(&self, name: &str) -> Option<SlotId> {
        self.names.get(name.as_bytes()).map(SlotId)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

// === impl SlotId ===

impl SlotId {
    pub(super) fn is_root(self) -> bool {
        (self.0 as usize) < Root::ALL.len()
    }
}

// === impl Key ===

impl Key {
    /// Who the caller is. `None` where that is left to chance, or where the caller lacks the field.
    #[inline]
    pub(super) fn identifier(self, context: &Context) -> Option<&[u8]> {
        match self {
            Self::Default => context.identifier(USER_ID).or_else(|| context.identifier(SESSION_ID)),
            Self::Random => None,
            Self::Slot(slot) => context.identifier(slot),
        }
    }
}

// === impl Wanted ===

impl Wanted {
    pub(super) fn admits(&self, code: u32) -> bool {
        match self {
            Self::Off => code == OFF,
            Self::On => code != OFF,
            Self::Listed(codes) => codes.contains(&code),
        }
    }
}

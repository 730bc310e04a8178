//! What an evaluation knows before it decides a flag.

use crate::engine::{
    context::Context,
    plan::{
        Conditions, Decided,
        rollout::{Bucket, Rollouts},
    },
};

/// What an evaluation keeps of what it decided, so that nothing dear is decided twice.
pub(in crate::engine) trait Memory {
    fn holds(&mut self, conditions: &Conditions, condition: u32, context: &Context) -> bool;

    /// The bucket of a rollout.
    fn bucket(&self, rollouts: &Rollouts, rollout: u32, context: &Context) -> Bucket;

    /// The outcome of a parent, by its place among them. `None` where it has to be decided.
    fn parent(&self, parenthood: u32) -> Option<u32>;
}

/// For many flags: conditions, rollouts and parents are decided before.
pub(in crate::engine) struct Remembering<'a> {
    pub(super) decided: &'a mut Decided,
    pub(super) buckets: &'a [Bucket],
    /// Whether any of the buckets is left to chance.
    pub(super) leaves_to_chance: bool,
    pub(super) parents: &'a mut Vec<u32>,
}

/// For one flag: preparing a memory would cost more than deciding what little it asks for.
pub(super) struct Forgetting<'a> {
    /// Room for a value in lower case.
    lowered: &'a mut String,
}

// === impl Remembering ===

impl Memory for Remembering<'_> {
    #[inline]
    fn holds(&mut self, conditions: &Conditions, condition: u32, context: &Context) -> bool {
        conditions.holds(condition, context, self.decided)
    }

    #[inline(always)]
    fn bucket(&self, _: &Rollouts, rollout: u32, _: &Context) -> Bucket {
        self.buckets.get(rollout as usize).copied().unwrap_or(Bucket::NONE)
    }

    #[inline(always)]
    fn parent(&self, parenthood: u32) -> Option<u32> {
        self.parents.get(parenthood as usize).copied()
    }
}

// === impl Forgetting ===

impl<'a> Forgetting<'a> {
    #[inline]
    pub(super) fn new(decided: &'a mut Decided) -> Self {
        Self { lowered: decided.text() }
    }
}

impl Memory for Forgetting<'_> {
    #[inline(always)]
    fn holds(&mut self, conditions: &Conditions, condition: u32, context: &Context) -> bool {
        conditions.holds_alone(condition, context, self.lowered)
    }

    fn bucket(&self, rollouts: &Rollouts, rollout: u32, context: &Context) -> Bucket {
        rollouts.bucket(rollout, context)
    }

    fn parent(&self, _: u32) -> Option<u32> {
        None
    }
}

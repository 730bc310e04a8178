//! Evaluates a plan for a context: which fragments make the answer.
//!
//! One pass gives on or off and the variant together, from the same draw. Nothing is allocated once
//! the caller's [`Scratch`] has grown to the plan's size.

mod list;
mod memory;
mod runs;

use std::cell::Cell;

pub(super) use self::memory::{Memory, Remembering};
use self::{memory::Forgetting, runs::Runs};
use super::{
    answer::{Answer, Form, NOBODY, Named, Show},
    context::Context,
    plan::{
        Decided, Draw, Flag, FlagId, Kind, OFF, ON, Outcome, Plan, Share, Strategy, Test,
        rollout::{Bucket, Words},
    },
};

/// The draw behind `default` stickiness without an identifier: one per request.
const REQUEST_DRAW: u64 = 0;

/// Memory that an evaluation needs, kept by the caller between requests.
#[derive(Debug, Default)]
pub struct Scratch {
    decided: Decided,
    /// The bucket of each rollout.
    buckets: Vec<Bucket>,
    words: Words,
    /// The outcome of each parent: a child and its parent see the same draw.
    parents: Vec<u32>,
    /// The fragments that make a list.
    runs: Runs,
    /// What was asked for by name.
    named: Vec<Named>,
}

/// What one flag is for one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'p> {
    pub enabled: bool,
    /// The name of the chosen variant. `None`: no variant, which surfaces spell `disabled`.
    pub variant: Option<&'p str>,
    /// The variant's payload as JSON text.
    pub payload: Option<&'p str>,
}

/// One evaluation under way.
pub(super) struct Evaluation<'a, M> {
    plan: &'a Plan,
    pub(super) context: &'a Context,
    memory: M,
    /// Whether anything was drawn at random.
    by_chance: Cell<bool>,
}

// === impl Scratch ===

impl Scratch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the last request.
    pub(super) fn start<'a>(
        &'a mut self,
        plan: &'a Plan,
        context: &'a Context,
    ) -> (Evaluation<'a, Remembering<'a>>, &'a mut Runs) {
        plan.conditions.decide(context, &mut self.decided);
        let buckets = &mut self.buckets;
        let leaves_to_chance = plan.rollouts.decide(context, &mut self.words, buckets);
        self.parents.clear();
        let memory = Remembering {
            decided: &mut self.decided,
            buckets,
            leaves_to_chance,
            parents: &mut self.parents,
        };
        let mut evaluation = Evaluation::new(plan, context, memory);
        for parent in &plan.parents {
            // A parent has no parents of its own, so this needs no order.
            let code = evaluation.outcome_of(*parent);
            evaluation.memory.parents.push(code);
        }
        (evaluation, &mut self.runs)
    }
}

// === impl Plan ===

impl Plan {
    /// Evaluates every visible flag; the answer lists them in byte order of their names.
    ///
    /// `context` must have been started for this plan.
    pub fn evaluate_all<'a>(
        &'a self,
        context: &'a Context,
        scratch: &'a mut Scratch,
        show: Show,
    ) -> Answer<'a> {
        let (mut evaluation, runs) = scratch.start(self, context);
        match show {
            Show::Enabled => evaluation.list_enabled(runs),
            Show::All => evaluation.list_all(runs),
        }
        let by_chance = evaluation.by_chance.get();
        Answer { plan: self, form: Form::List(show, runs.as_slice()), by_chance }
    }

    /// Evaluates exactly `names`, in their order, duplicates kept. A name that no visible flag has
    /// is answered as a flag that is off.
    pub fn evaluate_named<'a>(
        &'a self,
        context: &'a Context,
        scratch: &'a mut Scratch,
        names: &'a [String],
    ) -> Answer<'a> {
        let Scratch { decided, named, .. } = scratch;
        let mut evaluation = Evaluation::new(self, context, Forgetting::new(decided));
        named.clear();
        named.extend(names.iter().map(|name| match self.flag(name) {
            Some(FlagId(flag)) => Named { flag, code: evaluation.outcome(flag) },
            None => Named { flag: NOBODY, code: OFF },
        }));
        let by_chance = evaluation.by_chance.get();
        Answer { plan: self, form: Form::Named(names, named), by_chance }
    }

    /// Evaluates one flag.
    #[inline]
    pub fn evaluate_one(
        &self,
        flag: FlagId,
        context: &Context,
        scratch: &mut Scratch,
    ) -> Verdict<'_> {
        let code = match self.flags.get(flag.0 as usize) {
            Some(Flag { kind: Kind::Folded(code), .. }) => *code,
            Some(flag) => self.decide_one(flag, context, scratch),
            None => OFF,
        };
        let choice = self.choice(flag.0, code);
        Verdict {
            enabled: code != OFF,
            variant: choice.map(|choice| &*choice.name),
            payload: choice.and_then(|choice| choice.payload.as_deref()),
        }
    }

    // Out of line: who asks for a flag that is on for everybody should not pay for the others.
    #[inline(never)]
    fn decide_one(&self, flag: &Flag, context: &Context, scratch: &mut Scratch) -> u32 {
        Evaluation::new(self, context, Forgetting::new(&mut scratch.decided)).decide(flag)
    }
}

// === impl Evaluation ===

impl<'a, M> Evaluation<'a, M> {
    fn new(plan: &'a Plan, context: &'a Context, memory: M) -> Self {
        Self { plan, context, memory, by_chance: Cell::new(false) }
    }
}

impl<M: Memory> Evaluation<'_, M> {
    #[inline(always)]
    pub(super) fn outcome(&mut self, number: u32) -> u32 {
        match self.plan.flags.get(number as usize) {
            None => OFF,
            Some(Flag { kind: Kind::Folded(code), .. }) => *code,
            Some(flag) => match self.memory.parent(flag.parenthood) {
                Some(code) => code,
                None => self.decide(flag),
            },
        }
    }

    /// As [`Evaluation::outcome`], where a call more does not count.
    #[inline(never)]
    pub(super) fn outcome_of(&mut self, number: u32) -> u32 {
        self.outcome(number)
    }

    /// Whether a condition holds for the context.
    #[inline(always)]
    pub(super) fn holds(&mut self, condition: u32) -> bool {
        self.memory.holds(&self.plan.conditions, condition, self.context)
    }

    // In line with what is most asked for (conditions), out of line what is less (parents, draws): a
    // flag that is asked for by name is decided in the time of some calls.
    #[inline(always)]
    fn decide(&mut self, flag: &Flag) -> u32 {
        if !flag.dependencies.is_empty() && !self.is_let_by_parents(flag) {
            return OFF;
        }
        let plan = self.plan;
        let strategies = slice(&plan.strategies, &flag.strategies);
        for (number, strategy) in (flag.strategies.start..).zip(strategies) {
            if self.satisfied(number, strategy) {
                return match strategy.outcome {
                    Outcome::Is(code) => code,
                    Outcome::Drawn(draw) => self.choose(draw),
                };
            }
        }
        OFF
    }

    #[inline(never)]
    fn is_let_by_parents(&mut self, flag: &Flag) -> bool {
        let dependencies = slice(&self.plan.dependencies, &flag.dependencies);
        dependencies.iter().all(|dependency| {
            let code = match self.memory.parent(dependency.parenthood) {
                Some(code) => code,
                // It has no parents of its own, so this goes one level deep.
                None => self.outcome_of(dependency.parent),
            };
            dependency.wanted.admits(code)
        })
    }

    #[inline(always)]
    pub(super) fn satisfied(&mut self, number: u32, strategy: &Strategy) -> bool {
        for literal in slice(&self.plan.literals, &strategy.literals) {
            if !self.agrees(*literal) {
                return false;
            }
        }
        self.passes(number, &strategy.test)
    }

    /// Whether the context is as a literal wants it.
    #[inline(always)]
    fn agrees(&mut self, literal: u32) -> bool {
        let inverted = literal & 1 == 1;
        self.holds(literal >> 1) != inverted
    }

    /// Whether the caller is of a share.
    #[inline(always)]
    fn is_of(&self, share: Share) -> bool {
        let bucket = self.bucket(share.rollout);
        if bucket.is_by_chance() {
            return self.drawn_for_all() <= u32::from(share.percent);
        }
        bucket.is_within(share.percent)
    }

    /// Whether the strategy of this number is satisfied, its conditions aside.
    #[inline]
    pub(super) fn passes(&self, number: u32, test: &Test) -> bool {
        match *test {
            Test::Always => true,
            Test::Present(slot) => self.context.identifier(slot).is_some(),
            Test::Chance { percent } => self.drawn_alone(number) <= u32::from(percent),
            Test::Rollout(share) => self.is_of(share),
        }
    }

    /// The bucket among 100 that a rollout puts the caller in. `None` for a caller without the
    /// value that it sticks to.
    pub(super) fn bucket_number(&self, number: u32, test: &Test) -> Option<u32> {
        match *test {
            Test::Always | Test::Present(_) => None,
            Test::Chance { .. } => Some(self.drawn_alone(number)),
            Test::Rollout(share) => self.bucket(share.rollout).number(|| self.drawn_for_all()),
        }
    }

    #[inline(always)]
    fn bucket(&self, rollout: u32) -> Bucket {
        self.memory.bucket(&self.plan.rollouts, rollout, self.context)
    }

    /// A bucket among 100, for the strategy of this number alone.
    #[inline(never)]
    fn drawn_alone(&self, number: u32) -> u32 {
        self.drawn(1 + 2 * u64::from(number), 100)
    }

    /// A bucket among 100, for every rollout that finds nothing to stick to.
    #[inline(never)]
    fn drawn_for_all(&self) -> u32 {
        self.drawn(REQUEST_DRAW, 100)
    }

    /// The variant that a draw gives (`spec/evaluation.md` 7.2).
    #[inline(never)]
    fn choose(&mut self, number: u32) -> u32 {
        let plan = self.plan;
        let Some(draw) = plan.draws.get(number as usize) else { return ON };
        for over in slice(&plan.overrides, &draw.overrides) {
            if self.holds(over.condition) {
                return over.code;
            }
        }
        let target = self.target(number, draw);
        let picks = slice(&plan.picks, &draw.picks);
        picks.iter().find(|pick| pick.sum >= target).map_or(ON, |pick| pick.code)
    }

    /// The bucket among its total that the draw of this number puts the caller in.
    #[inline]
    pub(super) fn target(&self, number: u32, draw: &Draw) -> u32 {
        match draw.key.identifier(self.context) {
            Some(id) => draw.prefix.normalized(id, draw.total),
            None => self.drawn(2 + 2 * u64::from(number), draw.total),
        }
    }

    /// A number from 1 to `total`, the same for the same request and draw.
    fn drawn(&self, draw: u64, total: u32) -> u32 {
        self.by_chance.set(true);
        // SplitMix64: every draw of a request is a step of its own from the request's seed.
        let mut bits = self
            .context
            .seed
            .wrapping_add(draw.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 32) as u32 % total.max(1) + 1
    }
}

#[inline]
pub(super) fn slice<'a, T>(list: &'a [T], range: &std::ops::Range<u32>) -> &'a [T] {
    list.get(range.start as usize..range.end as usize).unwrap_or(&[])
}

#[cfg(test)]
mod tests;

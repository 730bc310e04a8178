//! Evaluates a plan for a context: which fragments make the answer.
//!
//! One pass gives on or off and the variant together, from the same draw. Nothing is allocated once
//! the caller's [`Scratch`] has grown to the plan's size.

use std::cell::Cell;

use super::{
    answer::{Answer, Form, NOBODY, Picked, Show},
    context::{Context, SESSION_ID, USER_ID},
    plan::{
        Conditions, Decided, Draw, Flag, FlagId, Key, Kind, OFF, ON, Outcome, Plan, Step, Strategy,
        Test, rollout::Prefix,
    },
};

/// A flag whose outcome nobody asked for yet.
const UNKNOWN: u32 = u32::MAX;
/// The draw behind `default` stickiness without an identifier: one per request.
const REQUEST_DRAW: u64 = 0;

/// Memory that an evaluation needs, kept by the caller between requests.
#[derive(Debug, Default)]
pub struct Scratch {
    decided: Decided,
    /// The outcome of each parent, once known: a child and its parent see the same draw.
    outcomes: Vec<u32>,
    picked: Vec<Picked>,
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

/// What an evaluation keeps of what it decided, so that nothing dear is decided twice.
pub(super) trait Memory {
    fn holds(&mut self, conditions: &Conditions, condition: u32, context: &Context) -> bool;

    /// The outcome of a parent. `None` where it has to be decided.
    fn recall(&self, memo: u32) -> Option<u32>;

    fn keep(&mut self, memo: u32, code: u32);
}

/// For many flags: conditions are decided by the group, parents once.
pub(super) struct Remembering<'a> {
    decided: &'a mut Decided,
    outcomes: &'a mut [u32],
}

/// For one flag: preparing a memory would cost more than deciding what little it asks for.
struct Forgetting<'a> {
    /// Room for a value in lower case.
    lowered: &'a mut String,
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
    ) -> (Evaluation<'a, Remembering<'a>>, &'a mut Vec<Picked>) {
        self.decided.reset(&plan.conditions);
        self.outcomes.clear();
        self.outcomes.resize(plan.parents as usize, UNKNOWN);
        self.picked.clear();
        let memory = Remembering { decided: &mut self.decided, outcomes: &mut self.outcomes };
        let by_chance = Cell::new(false);
        (Evaluation { plan, context, memory, by_chance }, &mut self.picked)
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
        let (mut evaluation, picked) = scratch.start(self, context);
        match show {
            Show::Enabled => evaluation.list_enabled(picked),
            Show::All => evaluation.list_all(picked),
        }
        let by_chance = evaluation.by_chance.get();
        Answer { plan: self, picked, form: Form::List(show), by_chance }
    }

    /// Evaluates exactly `names`, in their order, duplicates kept. A name that no visible flag has
    /// is answered as a flag that is off.
    pub fn evaluate_named<'a>(
        &'a self,
        context: &'a Context,
        scratch: &'a mut Scratch,
        names: &'a [String],
    ) -> Answer<'a> {
        let (mut evaluation, picked) = scratch.start(self, context);
        picked.extend(names.iter().map(|name| match self.flag(name) {
            Some(FlagId(number)) => evaluation.pick(number),
            None => Picked { first: 0, end: 0, flag: NOBODY },
        }));
        let by_chance = evaluation.by_chance.get();
        Answer { plan: self, picked, form: Form::Named(names), by_chance }
    }

    /// Evaluates one flag.
    #[inline]
    pub fn evaluate_one(
        &self,
        flag: FlagId,
        context: &Context,
        scratch: &mut Scratch,
    ) -> Verdict<'_> {
        let memory = Forgetting { lowered: scratch.decided.text() };
        let by_chance = Cell::new(false);
        let code = Evaluation { plan: self, context, memory, by_chance }.outcome(flag.0);
        let choice = self.choice(flag.0, code);
        Verdict {
            enabled: code != OFF,
            variant: choice.map(|choice| &*choice.name),
            payload: choice.and_then(|choice| choice.payload.as_deref()),
        }
    }
}

// === impl Remembering ===

impl Memory for Remembering<'_> {
    #[inline]
    fn holds(&mut self, conditions: &Conditions, condition: u32, context: &Context) -> bool {
        conditions.holds(condition, context, self.decided)
    }

    fn recall(&self, memo: u32) -> Option<u32> {
        self.outcomes.get(memo as usize).copied().filter(|code| *code != UNKNOWN)
    }

    fn keep(&mut self, memo: u32, code: u32) {
        if let Some(outcome) = self.outcomes.get_mut(memo as usize) {
            *outcome = code;
        }
    }
}

// === impl Forgetting ===

impl Memory for Forgetting<'_> {
    #[inline(always)]
    fn holds(&mut self, conditions: &Conditions, condition: u32, context: &Context) -> bool {
        conditions.holds_alone(condition, context, self.lowered)
    }

    fn recall(&self, _: u32) -> Option<u32> {
        None
    }

    fn keep(&mut self, _: u32, _: u32) {}
}

// === impl Evaluation ===

impl Evaluation<'_, Remembering<'_>> {
    fn list_enabled(&mut self, picked: &mut Vec<Picked>) {
        for step in &self.plan.enabled {
            match *step {
                Step::Run { first, end } => picked.push(Picked { first, end, flag: NOBODY }),
                Step::Live(number) => {
                    let code = self.outcome(number);
                    if code != OFF {
                        picked.push(self.picked(number, code));
                    }
                }
            }
        }
    }

    fn list_all(&mut self, picked: &mut Vec<Picked>) {
        for number in 0..self.plan.len() as u32 {
            picked.push(self.pick(number));
        }
    }

    fn pick(&mut self, number: u32) -> Picked {
        let code = self.outcome(number);
        self.picked(number, code)
    }

    fn picked(&self, number: u32, code: u32) -> Picked {
        let first = self.plan.flags.get(number as usize).map_or(0, |flag| match flag.kind {
            Kind::Folded(_) => flag.fragment,
            Kind::Live => flag.fragment + code,
        });
        Picked { first, end: first + 1, flag: number }
    }
}

impl<M: Memory> Evaluation<'_, M> {
    #[inline(always)]
    pub(super) fn outcome(&mut self, number: u32) -> u32 {
        match self.plan.flags.get(number as usize) {
            None => OFF,
            Some(Flag { kind: Kind::Folded(code), .. }) => *code,
            Some(flag) => self.live(flag),
        }
    }

    /// The outcome of a flag that depends on the context.
    fn live(&mut self, flag: &Flag) -> u32 {
        let Some(memo) = flag.memo else { return self.decide(flag) };
        self.memory.recall(memo).unwrap_or_else(|| {
            let code = self.decide(flag);
            self.memory.keep(memo, code);
            code
        })
    }

    /// Whether a condition holds for the context.
    #[inline(always)]
    pub(super) fn holds(&mut self, condition: u32) -> bool {
        self.memory.holds(&self.plan.conditions, condition, self.context)
    }

    // In line with what is most asked for (conditions), out of line what is less (parents, draws): in
    // the list of a thousand flags this is worth a fifteenth of the instructions.
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
        // A parent has no parents of its own, so this goes one level deep.
        dependencies.iter().all(|dependency| {
            let code = self.outcome(dependency.parent);
            dependency.wanted.admits(code)
        })
    }

    #[inline(always)]
    pub(super) fn satisfied(&mut self, number: u32, strategy: &Strategy) -> bool {
        for literal in slice(&self.plan.literals, &strategy.literals) {
            let inverted = literal & 1 == 1;
            if self.holds(literal >> 1) == inverted {
                return false;
            }
        }
        self.passes(number, &strategy.test)
    }

    /// Whether the strategy of this number is satisfied, its conditions aside.
    #[inline]
    pub(super) fn passes(&self, number: u32, test: &Test) -> bool {
        match test {
            Test::Always => true,
            Test::Present(slot) => self.context.identifier(*slot).is_some(),
            Test::Rollout { key, prefix, percent } => {
                self.bucket(number, *key, prefix).is_some_and(|place| place <= u32::from(*percent))
            }
        }
    }

    /// The bucket among 100 that a rollout puts the caller in. `None` for a caller without the
    /// value that it sticks to.
    #[inline]
    pub(super) fn bucket(&self, number: u32, key: Key, prefix: &Prefix) -> Option<u32> {
        match key {
            Key::Random => Some(self.drawn(1 + 2 * u64::from(number), 100)),
            Key::Slot(slot) => self.context.identifier(slot).map(|id| prefix.normalized(id, 100)),
            Key::Default => Some(match self.identifier() {
                Some(id) => prefix.normalized(id, 100),
                None => self.drawn(REQUEST_DRAW, 100),
            }),
        }
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
        let id = match draw.key {
            Key::Default => self.identifier(),
            Key::Slot(slot) => self.context.identifier(slot),
            Key::Random => None,
        };
        match id {
            Some(id) => draw.prefix.normalized(id, draw.total),
            None => self.drawn(2 + 2 * u64::from(number), draw.total),
        }
    }

    /// What `default` stickiness sticks to.
    #[inline]
    fn identifier(&self) -> Option<&[u8]> {
        self.context.identifier(USER_ID).or_else(|| self.context.identifier(SESSION_ID))
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

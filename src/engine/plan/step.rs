//! Steps: a list of enabled flags, as far as it can be written before anybody asks.

use std::ops::Range;

use super::{
    Flag, Kind, OFF, ON, Outcome, Plan, Share, Test, conjunction::ConjunctionsBuilder,
    fragment::Run,
};
use crate::engine::evaluate::slice;

/// What comes next in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Step {
    /// These of the plan's parts.
    Parts(Range<u32>),
    /// What this flag turns out to be.
    Live(u32),
}

/// Fragments, for everybody or for whom one literal and one rollout let have them: most flags ask for
/// no more. All that decides stands here, and the same is done for each: nothing is to be guessed by
/// a processor that runs ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Part {
    /// Of a condition, or of a conjunction.
    pub(in crate::engine) literal: u32,
    pub(in crate::engine) share: Share,
    /// What the list gets; of a flag whose variant is drawn, the first of its fragments.
    pub(in crate::engine) run: Run,
    /// The draw that chooses the variant. [`UNDRAWN`]: none.
    draw: u32,
}

/// No draw's number.
const UNDRAWN: u32 = u32::MAX;

// === impl Plan ===

impl Plan {
    /// Writes the steps that list those of the first `visible` flags that are on.
    pub(super) fn write_steps(&mut self, visible: usize) {
        let (mut steps, mut parts) = (Vec::new(), Vec::<Part>::new());
        let mut conjunctions = ConjunctionsBuilder::behind((self.conditions.always() >> 1) + 1);
        for (number, flag) in (0..).zip(self.flags.iter().take(visible)) {
            let part = match flag.kind {
                Kind::Folded(OFF) => continue,
                Kind::Folded(_) => Some(self.unconditional(flag)),
                Kind::Live => self.part_of(flag, &mut conjunctions),
            };
            let Some(part) = part else {
                steps.push(Step::Live(number));
                continue;
            };
            let at = parts.len() as u32;
            match (steps.last_mut(), parts.last_mut()) {
                (Some(Step::Parts(_)), Some(last)) if last.takes(&part) => {
                    last.run.end = part.run.end;
                    continue;
                }
                (Some(Step::Parts(range)), _) => range.end += 1,
                _ => steps.push(Step::Parts(at..at + 1)),
            }
            parts.push(part);
        }
        (self.steps, self.parts, self.conjunctions) = (steps, parts, conjunctions.build());
    }

    /// The part that is a flag which is on, whoever asks.
    fn unconditional(&self, flag: &Flag) -> Part {
        Part {
            literal: self.conditions.always(),
            share: self.rollouts.everybody(),
            run: Run::of(flag.fragment),
            draw: UNDRAWN,
        }
    }

    /// The part that is a live flag. `None` for one that asks for more than a part can.
    fn part_of(&self, flag: &Flag, conjunctions: &mut ConjunctionsBuilder) -> Option<Part> {
        let [strategy] = slice(&self.strategies, &flag.strategies) else { return None };
        let share = match strategy.test {
            Test::Always => self.rollouts.everybody(),
            Test::Rollout(share) => share,
            Test::Present(_) | Test::Chance { .. } => return None,
        };
        if !flag.dependencies.is_empty() {
            return None;
        }
        let literal = match slice(&self.literals, &strategy.literals) {
            [] => self.conditions.always(),
            [literal] => *literal,
            literals => conjunctions.literal_of(literals),
        };
        let (run, draw) = match strategy.outcome {
            Outcome::Is(code) => (Run::of(flag.fragment + (code - ON)), UNDRAWN),
            Outcome::Drawn(draw) => (Run::of(flag.fragment), draw),
        };
        Some(Part { literal, share, run, draw })
    }
}

// === impl Part ===

impl Part {
    /// The draw that chooses the variant of a flag that is on, if one does.
    #[inline(always)]
    pub(in crate::engine) fn draw_if(&self, is_on: bool) -> Option<u32> {
        // Both at once: whether it is on cannot be guessed, that hardly any is and draws can.
        (is_on & (self.draw != UNDRAWN)).then_some(self.draw)
    }

    /// Whether `next` is for the same callers and goes on where this ends.
    fn takes(&self, next: &Self) -> bool {
        let (draws, callers) = ((self.draw, next.draw), (self.literal, self.share));
        draws == (UNDRAWN, UNDRAWN)
            && callers == (next.literal, next.share)
            && self.run.end == next.run.first
    }
}

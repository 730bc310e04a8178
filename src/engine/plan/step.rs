//! Steps: a list of enabled flags, as far as it can be written before anybody asks.

use std::ops::Range;

use super::{Flag, Kind, OFF, ON, Outcome, Plan, Share, Test, fragment::Run};
use crate::engine::evaluate::slice;

/// What comes next in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Step {
    /// These of the plan's parts.
    Parts(Range<u32>),
    /// What this flag turns out to be.
    Live(u32),
}

/// Fragments, for everybody or for whom one condition and one rollout let have them: most flags ask
/// for no more. All that decides stands here, and the same is done for each: nothing is to be
/// guessed by a processor that runs ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Part {
    pub(in crate::engine) literal: u32,
    pub(in crate::engine) share: Share,
    pub(in crate::engine) run: Run,
}

// === impl Plan ===

impl Plan {
    /// Writes the steps that list those of the first `visible` flags that are on.
    pub(super) fn write_steps(&mut self, visible: usize) {
        let (mut steps, mut parts) = (Vec::new(), Vec::<Part>::new());
        for (number, flag) in (0..).zip(self.flags.iter().take(visible)) {
            let part = match flag.kind {
                Kind::Folded(OFF) => continue,
                Kind::Folded(_) => Some(self.unconditional(flag)),
                Kind::Live => self.part_of(flag),
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
        (self.steps, self.parts) = (steps, parts);
    }

    /// The part that is a flag which is on, whoever asks.
    fn unconditional(&self, flag: &Flag) -> Part {
        Part {
            literal: self.conditions.always(),
            share: self.rollouts.everybody(),
            run: Run::of(flag.fragment),
        }
    }

    /// The part that is a live flag. `None` for one that asks for more than a part can.
    fn part_of(&self, flag: &Flag) -> Option<Part> {
        let [strategy] = slice(&self.strategies, &flag.strategies) else { return None };
        let Outcome::Is(code) = strategy.outcome else { return None };
        let literal = match slice(&self.literals, &strategy.literals) {
            [] => self.conditions.always(),
            [literal] => *literal,
            _ => return None,
        };
        let share = match strategy.test {
            Test::Always => self.rollouts.everybody(),
            Test::Rollout(share) => share,
            Test::Present(_) | Test::Chance { .. } => return None,
        };
        let run = Run::of(flag.fragment + (code - ON));
        flag.dependencies.is_empty().then_some(Part { literal, share, run })
    }
}

// === impl Part ===

impl Part {
    /// Whether `next` is for the same callers and goes on where this ends.
    fn takes(&self, next: &Self) -> bool {
        (self.literal, self.share, self.run.end) == (next.literal, next.share, next.run.first)
    }
}

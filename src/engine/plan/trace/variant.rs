//! Traces the variants of a satisfied strategy to a draw of the plan.

use std::iter;

use super::{Trace, Truth};
use crate::engine::{
    evaluate::slice,
    model::{Override, Variant},
    plan::{
        Choice, Outcome, Plan,
        lower::FIRST_VARIANT,
        rollout::{Prefix, VARIANT_SEED},
        variant::VariantSet,
    },
};

/// The variants that a satisfied strategy draws from.
#[derive(Debug)]
pub(in crate::engine) struct VariantTrace<'f> {
    pub(in crate::engine) of_strategy: bool,
    pub(in crate::engine) stickiness: String,
    pub(in crate::engine) group: &'f str,
    pub(in crate::engine) overrides: Vec<OverrideTrace<'f>>,
    /// The plan's number of the draw. `None` where there is one variant to choose.
    pub(in crate::engine) draw: Option<u32>,
}

#[derive(Debug)]
pub(in crate::engine) struct OverrideTrace<'f> {
    pub(in crate::engine) variant: &'f Variant,
    pub(in crate::engine) source: &'f Override,
    pub(in crate::engine) truth: Truth,
}

// === impl Plan ===

impl Plan {
    /// The variant behind an outcome of a flag. `None` for an outcome without one.
    pub(in crate::engine) fn choice(&self, flag: u32, code: u32) -> Option<&Choice> {
        let variant = code.checked_sub(FIRST_VARIANT)?;
        let choices = self.labels.get(flag as usize)?.choice;
        self.choices.get(choices as usize)?.get(variant as usize)
    }

    /// What is drawn from when the strategy at `position` (counted from 0; `None` for a flag that
    /// lists none) is the first to hold. `Some(None)` where no variant weighs anything, `None` when
    /// the plan was compiled from other features.
    pub(in crate::engine) fn trace_variants<'f>(
        &self,
        trace: &Trace<'f>,
        position: Option<usize>,
    ) -> Option<Option<VariantTrace<'f>>> {
        let strategy = position.and_then(|position| trace.strategies.get(position));
        let number = match strategy {
            Some(strategy) => strategy.number,
            None => trace.unconditional,
        };
        let source = strategy.map(|strategy| strategy.source);
        let Some(set) = VariantSet::of(trace.feature, source) else { return Some(None) };
        let outcome = number.and_then(|number| self.strategies.get(number as usize));
        let draw = match outcome.map(|strategy| strategy.outcome) {
            Some(Outcome::Drawn(draw)) => Some(draw),
            Some(Outcome::Is(_)) | None => None,
        };
        let overrides = self.trace_overrides(&set, draw)?;
        Some(Some(VariantTrace {
            of_strategy: set.of_strategy,
            stickiness: set.key.text().to_owned(),
            group: set.group,
            overrides,
            draw,
        }))
    }

    fn trace_overrides<'f>(
        &self,
        set: &VariantSet<'f>,
        draw: Option<u32>,
    ) -> Option<Vec<OverrideTrace<'f>>> {
        let drawn = draw.and_then(|draw| self.draws.get(draw as usize));
        let prefix = Prefix::new(set.group, VARIANT_SEED);
        if drawn.is_some_and(|draw| draw.prefix != prefix || !self.is_key(draw.key, &set.key)) {
            return None;
        }
        let asked = drawn.map_or(&[][..], |draw| slice(&self.overrides, &draw.overrides));
        set.overrides()
            .zip(asked.iter().map(Some).chain(iter::repeat(None)))
            .map(|((position, source, literal), asked)| {
                let truth = Truth::Condition { number: asked?.condition, inverted: false };
                let variant = set.variants.get(position)?;
                self.asks(asked?.condition, &literal).then_some(OverrideTrace {
                    variant,
                    source,
                    truth,
                })
            })
            .collect()
    }
}

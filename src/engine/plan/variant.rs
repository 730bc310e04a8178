//! Which variant a flag is when it is on (`spec/evaluation.md` section 7).

use super::{
    constraint::{self, Literal, Meaning},
    lower::{Choice, Code, Draw, FIRST_VARIANT, Key, Lowering, ON, Outcome},
    rollout::{Prefix, VARIANT_SEED},
};
use crate::engine::model::{Feature, Override, Strategy, Variant};

/// Variants that are drawn from together.
#[derive(Debug)]
pub(super) struct VariantSet<'a> {
    pub(super) variants: &'a [Variant],
    pub(super) key: Key,
    pub(super) group: &'a str,
    /// Or of the feature itself.
    pub(super) of_strategy: bool,
}

// === impl VariantSet ===

impl<'a> VariantSet<'a> {
    /// The strategy's own, if they weigh anything.
    fn of_strategy(feature: &'a Feature, strategy: &'a Strategy) -> Option<Self> {
        let variants = &*strategy.variants;
        let stickiness = strategy
            .parameter("stickiness")
            .filter(|stickiness| !stickiness.is_empty())
            .or_else(|| variants.first().and_then(|v| v.stickiness.as_deref()));
        let group = strategy.parameter("groupId").unwrap_or(&feature.name);
        let key = Key::of(stickiness);
        (total(variants) > 0).then_some(Self { variants, key, group, of_strategy: true })
    }

    /// The feature's own, if they weigh anything.
    fn of_feature(feature: &'a Feature) -> Option<Self> {
        let variants = &*feature.variants;
        let key = Key::of(variants.first().and_then(|v| v.stickiness.as_deref()));
        let group = &feature.name;
        (total(variants) > 0).then_some(Self { variants, key, group, of_strategy: false })
    }

    /// What is drawn from when `strategy` is the first to hold; `None` stands for the one that a
    /// feature without strategies has.
    pub(super) fn of(feature: &'a Feature, strategy: Option<&'a Strategy>) -> Option<Self> {
        strategy
            .and_then(|strategy| Self::of_strategy(feature, strategy))
            .or_else(|| Self::of_feature(feature))
    }

    /// The overrides that some context may meet, in their order, each with the position of its
    /// variant. Those of strategies do not count.
    pub(super) fn overrides(&self) -> impl Iterator<Item = (usize, &'a Override, Literal)> {
        let variants = if self.of_strategy { &[] } else { self.variants };
        variants.iter().enumerate().flat_map(|(position, variant)| {
            variant.overrides.iter().filter_map(move |over| {
                match constraint::one_of(&over.field, over.values.clone(), false) {
                    Meaning::Literal(literal) => Some((position, over, literal)),
                    Meaning::Always | Meaning::Never => None,
                }
            })
        })
    }
}

// === impl Lowering ===

impl Lowering<'_> {
    /// What the flag is when this strategy is the first to hold (`spec/evaluation.md` 7.1).
    pub(super) fn outcome(&mut self, strategy: &Strategy) -> Outcome {
        match VariantSet::of_strategy(self.feature, strategy) {
            Some(set) => self.draw(set),
            None => self.feature_variants(),
        }
    }

    pub(super) fn feature_variants(&mut self) -> Outcome {
        if let Some(outcome) = self.feature_outcome {
            return outcome;
        }
        let outcome = match VariantSet::of_feature(self.feature) {
            Some(set) => self.draw(set),
            None => Outcome::Is(ON),
        };
        self.feature_outcome = Some(outcome);
        outcome
    }

    fn draw(&mut self, set: VariantSet<'_>) -> Outcome {
        // Numbered in their order, whether they can be chosen or not.
        let codes: Vec<Code> =
            set.variants.iter().map(|variant| self.code(variant, set.of_strategy)).collect();
        let mut sum = 0u32;
        let mut picks = Vec::new();
        for (variant, code) in set.variants.iter().zip(&codes) {
            sum = sum.saturating_add(variant.weight);
            if variant.weight > 0 {
                picks.push((sum, *code));
            }
        }
        let overrides: Box<[(Literal, Code)]> = set
            .overrides()
            .filter_map(|(position, _, literal)| Some((literal, *codes.get(position)?)))
            .collect();
        if let ([(_, code)], true) = (picks.as_slice(), overrides.is_empty()) {
            return Outcome::Is(*code);
        }
        let prefix = Prefix::new(set.group, VARIANT_SEED);
        self.draws.push(Draw { key: set.key, prefix, total: sum, picks: picks.into(), overrides });
        Outcome::Drawn(self.draws.len() as u32 - 1)
    }

    fn code(&mut self, variant: &Variant, of_strategy: bool) -> Code {
        let choice =
            Choice { name: variant.name.clone(), payload: variant.payload.clone(), of_strategy };
        let known = self.variants.iter().position(|other| *other == choice);
        let at = known.unwrap_or_else(|| {
            self.variants.push(choice);
            self.variants.len() - 1
        });
        FIRST_VARIANT + at as Code
    }
}

fn total(variants: &[Variant]) -> u32 {
    variants.iter().fold(0, |sum, variant| sum.saturating_add(variant.weight))
}

//! Traces a feature's parts to what the plan made of them.
//!
//! A plan keeps nothing for explanations. Its features are lowered again instead, and each part that
//! comes out is looked up in the plan: what is not found there was compiled from other features.

mod parent;
mod variant;

pub(in crate::engine) use parent::{Parent, ParentTrace};
pub(in crate::engine) use variant::{OverrideTrace, VariantTrace};

use super::{
    Key, Kind, Plan, Test,
    constraint::{self, Literal, Meaning},
    definition::Patterns,
    lower::{self, Fate, LoweredStrategy, lower_telling},
    strategy::{self, items, lists_host},
};
use crate::engine::{
    evaluate::slice,
    model::{Constraint, Feature, Features, Strategy, Warning},
};

/// A feature beside what the plan made of it.
#[derive(Debug)]
pub(in crate::engine) struct Trace<'f> {
    pub(in crate::engine) feature: &'f Feature,
    pub(in crate::engine) parents: Vec<ParentTrace<'f>>,
    pub(in crate::engine) strategies: Vec<StrategyTrace<'f>>,
    /// What the feature's reading and lowering complained of.
    pub(in crate::engine) warnings: Vec<Warning>,
    /// The plan's number of the strategy that a live feature without strategies has.
    unconditional: Option<u32>,
}

#[derive(Debug)]
pub(in crate::engine) struct StrategyTrace<'f> {
    pub(in crate::engine) source: &'f Strategy,
    pub(in crate::engine) ruling: Ruling,
    pub(in crate::engine) constraints: Vec<ConstraintTrace<'f>>,
    pub(in crate::engine) segments: Vec<SegmentTrace<'f>>,
    pub(in crate::engine) test: TestTrace<'f>,
    /// The plan's number of it. `None` for a strategy that the plan does without.
    pub(in crate::engine) number: Option<u32>,
}

/// What compiling could say of a strategy.
#[derive(Debug)]
pub(in crate::engine) enum Ruling {
    /// The context decides.
    Open,
    Always,
    Never,
    /// It is off, because it …
    Fault(String),
    /// One before it always holds.
    Unreached,
    /// The flag is off without its strategies.
    Unasked,
}

#[derive(Debug)]
pub(in crate::engine) struct ConstraintTrace<'f> {
    pub(in crate::engine) source: &'f Constraint,
    pub(in crate::engine) truth: Truth,
    /// What is odd about it, as texts that follow its name.
    pub(in crate::engine) faults: Vec<String>,
}

#[derive(Debug)]
pub(in crate::engine) struct SegmentTrace<'f> {
    pub(in crate::engine) id: i64,
    /// `Err`: why no strategy that names it holds.
    pub(in crate::engine) constraints: Result<Vec<ConstraintTrace<'f>>, String>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Truth {
    /// The same for every context.
    Fixed(bool),
    /// As the plan's condition, or its opposite.
    Condition { number: u32, inverted: bool },
    /// The plan does not ask.
    Unasked,
}

/// What a strategy asks beside its constraints.
#[derive(Debug)]
pub(in crate::engine) enum TestTrace<'f> {
    Nothing,
    Rollout {
        stickiness: String,
        /// `None` where chance decides.
        group: Option<&'f str>,
        percent: Option<u8>,
    },
    /// `field` is one of `items`.
    Listed {
        field: &'static str,
        operator: &'static str,
        items: Vec<&'f str>,
        truth: Truth,
    },
    Hosts {
        items: Vec<&'f str>,
        holds: bool,
    },
    Unknown,
}

// === impl Plan ===

impl Plan {
    /// Traces the flag `number`, which is called `name`. `None` when the plan was compiled from
    /// other features.
    pub(in crate::engine) fn trace<'f>(
        &self,
        features: &'f Features,
        number: u32,
        name: &str,
    ) -> Option<Trace<'f>> {
        let feature = features.features.get(name)?;
        let flag = self.flags.get(number as usize)?;
        let is_live = flag.kind == Kind::Live;
        let mut fates = Vec::new();
        let patterns = &mut Patterns::default();
        let tell = |fate| fates.push(fate);
        let lowered = lower_telling(feature, &features.segments, &self.host, patterns, tell);
        if is_live && lowered.strategies.len() != flag.strategies.len() {
            return None;
        }
        let mut kept = (0u32..)
            .zip(&lowered.strategies)
            .map(|(at, lowered)| (is_live.then_some(flag.strategies.start + at), lowered));
        let mut fates = fates.into_iter();
        let mut strategies = Vec::with_capacity(feature.strategies.len());
        for source in &feature.strategies {
            let fate = fates.next();
            let lowered = if matches!(fate, Some(Fate::Kept)) { kept.next() } else { None };
            let ruling = ruling(feature, fate, lowered);
            strategies.push(self.trace_strategy(features, feature, source, ruling, lowered)?);
        }
        let warnings = feature.warnings.iter().cloned().chain(lowered.warnings.clone()).collect();
        let parents = self.trace_parents(features, feature, number)?;
        let unconditional =
            (is_live && feature.strategies.is_empty()).then_some(flag.strategies.start);
        Some(Trace { feature, parents, strategies, warnings, unconditional })
    }

    fn trace_strategy<'f>(
        &self,
        features: &'f Features,
        feature: &'f Feature,
        source: &'f Strategy,
        ruling: Ruling,
        lowered: Option<(Option<u32>, &LoweredStrategy)>,
    ) -> Option<StrategyTrace<'f>> {
        let number = lowered.and_then(|(number, _)| number);
        if let Some((Some(number), lowered)) = lowered {
            self.asks_no_more(number, lowered).then_some(())?;
        }
        let mut segments = Vec::with_capacity(source.segments.len());
        for &id in &source.segments {
            let constraints = match features.segments.get(&id).map(|s| &s.constraints) {
                None => Err("is not in the payload".to_owned()),
                Some(Err(fault)) => Err(format!("cannot be read: {fault}")),
                Some(Ok(constraints)) => Ok(self.trace_constraints(constraints, number)?),
            };
            segments.push(SegmentTrace { id, constraints });
        }
        let constraints = self.trace_constraints(&source.constraints, number)?;
        let test = self.trace_test(feature, source, number)?;
        Some(StrategyTrace { source, ruling, constraints, segments, test, number })
    }

    fn trace_constraints<'f>(
        &self,
        sources: &'f [Constraint],
        strategy: Option<u32>,
    ) -> Option<Vec<ConstraintTrace<'f>>> {
        let trace = |source| {
            let mut faults = Vec::new();
            let truth = match constraint::read(source, &mut Patterns::default(), &mut faults) {
                Ok(meaning) => self.truth(meaning, strategy)?,
                Err(fault) => {
                    faults.push(fault);
                    Truth::Fixed(false)
                }
            };
            Some(ConstraintTrace { source, truth, faults })
        };
        sources.iter().map(trace).collect()
    }

    fn trace_test<'f>(
        &self,
        feature: &'f Feature,
        source: &'f Strategy,
        number: Option<u32>,
    ) -> Option<TestTrace<'f>> {
        Some(match strategy::Kind::of(source, &feature.name) {
            strategy::Kind::Default => TestTrace::Nothing,
            strategy::Kind::Rollout(rollout) => TestTrace::Rollout {
                stickiness: rollout.key.text().to_owned(),
                group: (rollout.key != lower::Key::Random).then_some(rollout.group),
                percent: rollout.percent(),
            },
            strategy::Kind::Users(list) => {
                let meaning = constraint::one_of("userId", items(list).collect(), false);
                let truth = self.truth(meaning, number)?;
                TestTrace::listed("userId", "IN", list, truth)
            }
            strategy::Kind::Addresses(list) => {
                let faults = &mut Vec::new();
                let meaning = constraint::networks("remoteAddress", items(list), false, faults);
                let truth = self.truth(meaning, number)?;
                TestTrace::listed("remoteAddress", "IN_CIDR", list, truth)
            }
            strategy::Kind::Hosts(list) => {
                let holds = lists_host(list, &self.host);
                TestTrace::Hosts { items: items(list).collect(), holds }
            }
            strategy::Kind::Unknown => TestTrace::Unknown,
        })
    }

    /// Finds what a strategy of the plan asks. `None` when it asks nothing of the kind.
    fn truth(&self, meaning: Meaning, strategy: Option<u32>) -> Option<Truth> {
        let literal = match (meaning, strategy) {
            (Meaning::Always, _) => return Some(Truth::Fixed(true)),
            (Meaning::Never, _) => return Some(Truth::Fixed(false)),
            (Meaning::Literal(_), None) => return Some(Truth::Unasked),
            (Meaning::Literal(literal), Some(_)) => literal,
        };
        let strategy = self.strategies.get(strategy? as usize)?;
        let inverted = literal.inverted;
        slice(&self.literals, &strategy.literals)
            .iter()
            .filter(|asked| **asked & 1 == u32::from(inverted))
            .map(|asked| *asked >> 1)
            .find(|number| self.asks(*number, &literal))
            .map(|number| Truth::Condition { number, inverted })
    }

    fn asks(&self, condition: u32, literal: &Literal) -> bool {
        let definition = &literal.condition;
        self.slots
            .get(&definition.field)
            .is_some_and(|slot| self.conditions.asks(condition, slot, &definition.predicate))
    }

    /// Whether a strategy of the plan has the test of `lowered` and no condition but its own.
    fn asks_no_more(&self, strategy: u32, lowered: &LoweredStrategy) -> bool {
        self.strategies.get(strategy as usize).is_some_and(|strategy| {
            let is_known = |asked: &u32| {
                lowered.literals.iter().any(|literal| {
                    asked & 1 == u32::from(literal.inverted) && self.asks(asked >> 1, literal)
                })
            };
            slice(&self.literals, &strategy.literals).iter().all(is_known)
                && self.is_test(strategy.test, &lowered.test)
        })
    }

    fn is_test(&self, test: Test, wanted: &lower::Test) -> bool {
        match (test, wanted) {
            (Test::Always, lower::Test::Always) => true,
            (Test::Present(slot), lower::Test::Present(field)) => {
                self.slots.get(field) == Some(slot)
            }
            (
                Test::Chance { percent },
                lower::Test::Rollout { key: lower::Key::Random, percent: share, .. },
            ) => percent == *share,
            (
                Test::Rollout(share),
                lower::Test::Rollout { key: wanted, prefix: group, percent },
            ) => self.rollouts.get(share.rollout).is_some_and(|(key, prefix)| {
                (prefix, share.percent) == (*group, *percent) && self.is_key(key, wanted)
            }),
            _ => false,
        }
    }

    fn is_key(&self, key: Key, wanted: &lower::Key) -> bool {
        match (key, wanted) {
            (Key::Default, lower::Key::Default) | (Key::Random, lower::Key::Random) => true,
            (Key::Slot(slot), lower::Key::Field(field)) => self.slots.get(field) == Some(slot),
            _ => false,
        }
    }
}

fn ruling(
    feature: &Feature,
    fate: Option<Fate>,
    lowered: Option<(Option<u32>, &LoweredStrategy)>,
) -> Ruling {
    match (fate, lowered) {
        (Some(Fate::Never), _) => Ruling::Never,
        (Some(Fate::Fault(fault)), _) => Ruling::Fault(fault),
        (Some(Fate::Kept), Some((_, lowered))) if lowered.is_unconditional() => Ruling::Always,
        (Some(Fate::Kept), Some((Some(_), _))) => Ruling::Open,
        (None, _) if feature.enabled => Ruling::Unreached,
        _ => Ruling::Unasked,
    }
}

// === impl TestTrace ===

impl<'f> TestTrace<'f> {
    fn listed(
        field: &'static str,
        operator: &'static str,
        list: Option<&'f str>,
        truth: Truth,
    ) -> Self {
        Self::Listed { field, operator, items: items(list).collect(), truth }
    }
}

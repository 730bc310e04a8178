//! Lowers one feature to its typed form: what can be known before any request is decided here.
//!
//! Depends on the feature, the segments it names and the host alone, never on other features, so
//! that a change to one flag lowers one flag again.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Host,
    constraint::{self, Literal, Meaning},
    definition::Patterns,
    fragment::{Fragment, Says, Speller},
    rollout::Prefix,
    strategy::Asked,
};
use crate::engine::model::{Feature, Segment, Strategy, Warning};

/// The outcome of a flag for a context: 0 is off, 1 is on without a variant, 2 + i is on with the
/// i-th of [`Lowered::variants`].
pub(in crate::engine) type Code = u32;
pub(in crate::engine) const OFF: Code = 0;
pub(in crate::engine) const ON: Code = 1;
pub(super) const FIRST_VARIANT: Code = 2;

/// One feature, lowered.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) strategies: Box<[LoweredStrategy]>,
    pub(super) draws: Box<[Draw]>,
    pub(super) variants: Arc<[Choice]>,
    /// Of each outcome; of a flag that is off whatever comes, only of that.
    pub(super) fragments: Box<[Fragment]>,
    pub(super) warnings: Box<[Warning]>,
}

/// A strategy that some context may satisfy.
#[derive(Debug)]
pub(super) struct LoweredStrategy {
    /// All must hold.
    pub(super) literals: Box<[Literal]>,
    pub(super) test: Test,
    pub(super) outcome: Outcome,
}

/// What a strategy asks beside its constraints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Always,
    /// The field has a value that is not empty: a full rollout over a named field.
    Present(Box<str>),
    /// The identifier's place among 100, 1 to 100, is at most `percent`.
    Rollout {
        key: Key,
        prefix: Prefix,
        percent: u8,
    },
}

/// What a rollout or a choice of variants sticks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// `userId`, else `sessionId`, else chance.
    Default,
    Random,
    Field(Box<str>),
}

/// What a satisfied strategy makes of its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Is(Code),
    /// Drawn from one of [`Lowered::draws`].
    Drawn(u32),
}

/// A weighted choice between variants.
#[derive(Debug)]
pub(super) struct Draw {
    pub(super) key: Key,
    pub(super) prefix: Prefix,
    pub(super) total: u32,
    /// Running sums of the weights with the outcome of each; weights of 0 are left out.
    pub(super) picks: Box<[(u32, Code)]>,
    /// The first whose literal holds wins over the weights.
    pub(super) overrides: Box<[(Literal, Code)]>,
}

/// A variant that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Choice {
    pub(in crate::engine) name: Box<str>,
    pub(in crate::engine) payload: Option<Box<str>>,
    /// Answers spell the two kinds in different orders of keys.
    pub(super) of_strategy: bool,
}

/// What a context must satisfy, or that none can or all do.
enum Conjunction {
    Never,
    Literals(Vec<Literal>),
}

/// A feature on its way to [`Lowered`]: `strategy.rs` and `variant.rs` do their part of it.
pub(super) struct Lowering<'a> {
    pub(super) feature: &'a Feature,
    segments: &'a BTreeMap<i64, Arc<Segment>>,
    pub(super) host: &'a Host,
    patterns: &'a mut Patterns,
    strategies: Vec<LoweredStrategy>,
    pub(super) draws: Vec<Draw>,
    pub(super) variants: Vec<Choice>,
    warnings: Vec<Warning>,
    /// The outcome by the feature's own variants, once a strategy needs it.
    pub(super) feature_outcome: Option<Outcome>,
}

/// What becomes of one of a feature's strategies.
#[derive(Debug)]
pub(super) enum Fate {
    /// The next of [`Lowered::strategies`].
    Kept,
    /// No context can satisfy it.
    Never,
    /// It is off, because it …
    Fault(String),
}

/// Lowers `feature`. Strategies that no context can satisfy, and those behind one that every
/// context satisfies, are gone from the result.
pub(super) fn lower(
    feature: &Feature,
    segments: &BTreeMap<i64, Arc<Segment>>,
    host: &Host,
    patterns: &mut Patterns,
) -> Lowered {
    lower_telling(feature, segments, host, patterns, |_| {})
}

/// Lowers `feature` and tells what becomes of each strategy, in their order. Of those behind one
/// that every context satisfies, and of those of a feature that is off, nothing is told.
pub(super) fn lower_telling(
    feature: &Feature,
    segments: &BTreeMap<i64, Arc<Segment>>,
    host: &Host,
    patterns: &mut Patterns,
    tell: impl FnMut(Fate),
) -> Lowered {
    let mut lowering = Lowering {
        feature,
        segments,
        host,
        patterns,
        strategies: Vec::new(),
        draws: Vec::new(),
        variants: Vec::new(),
        warnings: Vec::new(),
        feature_outcome: None,
    };
    if feature.enabled {
        lowering.strategies(tell);
    }
    lowering.finish()
}

// === impl Lowered ===

impl Lowered {
    /// The outcome that every context gets, parents aside. `None` when it depends on the context.
    pub(super) fn constant(&self) -> Option<Code> {
        match self.strategies.first() {
            None => Some(OFF),
            Some(strategy) => match strategy.outcome {
                Outcome::Is(code) if strategy.is_unconditional() => Some(code),
                _ => None,
            },
        }
    }

    /// What the outcome `code` says of the flag, with its fragment. `None` for one that it never has.
    pub(super) fn outcome(&self, code: Code) -> Option<(&Fragment, Says<'_>)> {
        let says = match code {
            OFF => Says::Off,
            ON => Says::On,
            _ => Says::Chosen(self.variants.get((code - FIRST_VARIANT) as usize)?),
        };
        Some((self.fragments.get(code as usize)?, says))
    }
}

impl LoweredStrategy {
    pub(super) fn is_unconditional(&self) -> bool {
        self.literals.is_empty() && self.test == Test::Always
    }
}

// === impl Lowering ===

impl Lowering<'_> {
    fn strategies(&mut self, mut tell: impl FnMut(Fate)) {
        let feature = self.feature;
        if feature.strategies.is_empty() {
            let outcome = self.feature_variants();
            self.push(LoweredStrategy { literals: Box::default(), test: Test::Always, outcome });
            return;
        }
        for (position, strategy) in (1..).zip(&feature.strategies) {
            match self.strategy(strategy) {
                Ok(Some(lowered)) => {
                    let last = lowered.is_unconditional();
                    self.push(lowered);
                    tell(Fate::Kept);
                    if last {
                        return;
                    }
                }
                Ok(None) => tell(Fate::Never),
                Err(fault) => {
                    self.warn(format!("strategy {position} is off: it {fault}"));
                    tell(Fate::Fault(fault));
                }
            }
        }
    }

    fn finish(self) -> Lowered {
        let mut lowered = Lowered {
            strategies: self.strategies.into(),
            draws: self.draws.into(),
            variants: self.variants.into(),
            fragments: Box::default(),
            warnings: self.warnings.into(),
        };
        let mut speller = Speller::default();
        speller.turn_to(&self.feature.name, self.feature.impression);
        let mut buffer = Vec::new();
        let mut measure = |says| Fragment::measure(&speller, says, &mut buffer);
        let mut fragments = vec![measure(Says::Off)];
        if lowered.constant() != Some(OFF) {
            let chosen = lowered.variants.iter().map(Says::Chosen);
            fragments.extend([Says::On].into_iter().chain(chosen).map(measure));
        }
        lowered.fragments = fragments.into();
        lowered
    }

    fn push(&mut self, strategy: LoweredStrategy) {
        self.strategies.push(strategy);
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(Warning::about(&self.feature.name, text));
    }

    pub(super) fn warn_strategy(&mut self, faults: Vec<String>) {
        for fault in faults {
            self.warn(format!("a strategy {fault}"));
        }
    }

    /// `None` when no context can satisfy the strategy.
    fn strategy(&mut self, strategy: &Strategy) -> Result<Option<LoweredStrategy>, String> {
        if let Some(fault) = &strategy.fault {
            return Err(fault.to_string());
        }
        let mut literals = match self.conjunction(strategy)? {
            Conjunction::Never => return Ok(None),
            Conjunction::Literals(literals) => literals,
        };
        let test = match self.test(strategy)? {
            Asked::Never => return Ok(None),
            Asked::Test(test) => test,
            Asked::Literal(literal) => {
                literals.push(literal);
                Test::Always
            }
        };
        let outcome = self.outcome(strategy);
        Ok(Some(LoweredStrategy { literals: literals.into(), test, outcome }))
    }

    fn conjunction(&mut self, strategy: &Strategy) -> Result<Conjunction, String> {
        let mut constraints: Vec<_> = strategy.constraints.iter().collect();
        for id in &strategy.segments {
            let segment = self
                .segments
                .get(id)
                .ok_or_else(|| format!("names segment `{id}`, which is not in the payload"))?;
            constraints.extend(
                segment
                    .constraints
                    .as_ref()
                    .map_err(|fault| format!("names a segment that cannot be read: {fault}"))?,
            );
        }
        let mut faults = Vec::new();
        let mut literals: Vec<Literal> = Vec::new();
        let mut never = false;
        for constraint in constraints {
            match constraint::read(constraint, self.patterns, &mut faults)? {
                Meaning::Always => {}
                Meaning::Never => never = true,
                Meaning::Literal(literal) => literals.push(literal),
            }
        }
        self.warn_strategy(faults);
        Ok(if never { Conjunction::Never } else { Conjunction::Literals(literals) })
    }
}

//! Links lowered features into a [`Plan`]: equal conditions get one number, names get slots, outcomes
//! get fragments, parents come before anybody asks for them.

use std::{ops::Range, sync::Arc};

use ahash::AHashMap;

use super::{
    Dependency, Draw, Flag, Host, Key, Kind, Label, OFF, ON, Outcome, Override, Pick, Plan, Share,
    SlotId, Slots, Strategy, Test, Wanted,
    basis::Basis,
    condition::Conditions,
    definition::Definition,
    fragment::{Fragments, Speller},
    listing::Listing,
    lower::{self, Lowered},
    names::{NameCache, slots},
    rollout::{Prefix, Rollouts},
    values::ValueCache,
};
use crate::engine::model::{Dependency as Parent, Feature};

/// The place of what has none.
const NOWHERE: u32 = u32::MAX;

/// A feature of the payload with its lowered form.
pub(super) type Unit = (Arc<Feature>, Arc<Lowered>);

/// Gathers the parts of a plan, feature by feature.
pub(super) struct Linker<'a> {
    /// The visible flags in byte order of their names, then the hidden ones.
    features: &'a [Unit],
    visible: usize,
    /// The number of each distinct condition.
    conditions: AHashMap<&'a Definition, u32>,
    /// Each rollout in the order they came.
    rollouts: Vec<(Key, Prefix)>,
    plan: Plan,
}

/// What a dependency comes down to once the parent is known.
enum Depends {
    Never,
    Always,
    On(Dependency),
}

// === impl Linker ===

impl<'a> Linker<'a> {
    pub(super) fn new(
        features: &'a [Unit],
        visible: usize,
        names: &mut NameCache,
        values: &mut ValueCache,
    ) -> Self {
        let mut definitions: Vec<Arc<Definition>> = Vec::new();
        let mut positions: AHashMap<&Definition, u32> = AHashMap::new();
        for literal in features.iter().flat_map(|(_, lowered)| lowered.literals()) {
            positions.entry(&literal.condition).or_insert_with(|| {
                definitions.push(Arc::clone(&literal.condition));
                definitions.len() as u32 - 1
            });
        }
        let (slots, fields) = slots(features, &definitions);
        let (conditions, numbers) = Conditions::build(&definitions, &fields, values);
        for number in positions.values_mut() {
            *number = numbers.get(*number as usize).copied().unwrap_or(u32::MAX);
        }
        let plan = Plan {
            slots,
            conditions,
            names: names.get(features.get(..visible).unwrap_or(&[])),
            flags: Vec::with_capacity(features.len()),
            labels: Vec::with_capacity(features.len()),
            strategies: Vec::new(),
            literals: Vec::new(),
            rollouts: Rollouts::default(),
            draws: Vec::new(),
            picks: Vec::new(),
            overrides: Vec::new(),
            dependencies: Vec::new(),
            choices: Vec::new(),
            fragments: Fragments::default(),
            first_off: 0,
            listing: Listing::default(),
            parents: Vec::new(),
            basis: Basis::default(),
            host: Host::default(),
        };
        Self { features, visible, conditions: positions, rollouts: Vec::new(), plan }
    }

    pub(super) fn link(mut self, between: fn()) -> Plan {
        for (feature, lowered) in self.features {
            between();
            self.flag(feature, lowered);
        }
        between();
        self.number_rollouts();
        self.mark_parents();
        between();
        self.write_fragments(between);
        between();
        self.plan.write_listing(self.visible);
        between();
        self.plan.shrink();
        self.plan
    }

    fn flag(&mut self, feature: &Feature, lowered: &Lowered) {
        let (kind, dependencies) = self.kind(feature, lowered);
        let choice = self.plan.choices.len() as u32;
        if kind != Kind::Folded(OFF) && !lowered.variants.is_empty() {
            self.plan.choices.push(Arc::clone(&lowered.variants));
        }
        let strategies = match kind {
            Kind::Folded(_) => 0..0,
            Kind::Live => self.strategies(lowered),
        };
        let dependencies = append(&mut self.plan.dependencies, dependencies);
        self.plan.labels.push(Label { impression: feature.impression, choice });
        self.plan.flags.push(Flag {
            kind,
            fragment: 0,
            strategies,
            dependencies,
            parenthood: NOWHERE,
        });
    }

    /// What is known of the flag's outcome, and the parents it still depends on.
    fn kind(&self, feature: &Feature, lowered: &Lowered) -> (Kind, Vec<Dependency>) {
        let constant = lowered.constant();
        if constant == Some(OFF) {
            return (Kind::Folded(OFF), Vec::new());
        }
        let mut dependencies = Vec::new();
        for parent in &feature.dependencies {
            match self.depends(parent) {
                Depends::Never => return (Kind::Folded(OFF), Vec::new()),
                Depends::Always => {}
                Depends::On(dependency) => dependencies.push(dependency),
            }
        }
        match constant {
            Some(code) if dependencies.is_empty() => (Kind::Folded(code), dependencies),
            _ => (Kind::Live, dependencies),
        }
    }

    /// The rules of `spec/evaluation.md` section 6. A parent with parents of its own satisfies
    /// nobody, so chains and cycles end here.
    fn depends(&self, on: &Parent) -> Depends {
        let Some((number, (feature, lowered))) = self.find(&on.parent) else {
            return Depends::Never;
        };
        if !feature.dependencies.is_empty() {
            return Depends::Never;
        }
        let wanted = Wanted::of(on, lowered);
        match lowered.constant() {
            Some(code) if wanted.admits(code) => Depends::Always,
            Some(_) => Depends::Never,
            None => Depends::On(Dependency { parent: number, parenthood: NOWHERE, wanted }),
        }
    }

    /// The feature called `name`, and its number.
    fn find(&self, name: &str) -> Option<(u32, &'a Unit)> {
        let (visible, hidden) = self.features.split_at_checked(self.visible)?;
        let among = |features: &[Unit]| {
            features.binary_search_by(|(feature, _)| (*feature.name).cmp(name)).ok()
        };
        let at = among(visible).or_else(|| Some(self.visible + among(hidden)?))?;
        Some((at as u32, self.features.get(at)?))
    }

    fn strategies(&mut self, lowered: &Lowered) -> Range<u32> {
        let first_draw = self.plan.draws.len() as u32;
        for draw in &lowered.draws {
            self.draw(draw);
        }
        let first = self.plan.strategies.len() as u32;
        for strategy in &lowered.strategies {
            let literals = strategy
                .literals
                .iter()
                .map(|literal| {
                    self.condition(&literal.condition) << 1 | u32::from(literal.inverted)
                })
                .collect::<Vec<_>>();
            let strategy = Strategy {
                literals: append(&mut self.plan.literals, literals),
                test: self.test(&strategy.test),
                outcome: match strategy.outcome {
                    lower::Outcome::Is(code) => Outcome::Is(code),
                    lower::Outcome::Drawn(draw) => Outcome::Drawn(first_draw + draw),
                },
            };
            self.plan.strategies.push(strategy);
        }
        first..self.plan.strategies.len() as u32
    }

    fn draw(&mut self, draw: &lower::Draw) {
        let picks = draw.picks.iter().map(|&(sum, code)| Pick { sum, code });
        let overrides: Vec<Override> = draw
            .overrides
            .iter()
            .map(|(literal, code)| Override {
                condition: self.condition(&literal.condition),
                code: *code,
            })
            .collect();
        let draw = Draw {
            key: self.key(&draw.key),
            prefix: draw.prefix,
            total: draw.total,
            picks: append(&mut self.plan.picks, picks),
            overrides: append(&mut self.plan.overrides, overrides),
        };
        self.plan.draws.push(draw);
    }

    fn test(&mut self, test: &lower::Test) -> Test {
        match test {
            lower::Test::Always => Test::Always,
            lower::Test::Present(field) => Test::Present(self.plan.slots.of(field)),
            lower::Test::Rollout { key: lower::Key::Random, percent, .. } => {
                Test::Chance { percent: *percent }
            }
            lower::Test::Rollout { key, prefix, percent } => {
                // By the order in which they come, until all are known.
                let rollout = self.rollouts.len() as u32;
                self.rollouts.push((self.key(key), *prefix));
                Test::Rollout(Share { rollout, percent: *percent })
            }
        }
    }

    fn key(&self, key: &lower::Key) -> Key {
        match key {
            lower::Key::Default => Key::Default,
            lower::Key::Random => Key::Random,
            lower::Key::Field(field) => Key::Slot(self.plan.slots.of(field)),
        }
    }

    fn condition(&self, definition: &Definition) -> u32 {
        self.conditions.get(definition).copied().unwrap_or(u32::MAX >> 1)
    }

    fn number_rollouts(&mut self) {
        let (rollouts, numbers) = Rollouts::build(&self.rollouts);
        for strategy in &mut self.plan.strategies {
            if let Test::Rollout(Share { rollout, .. }) = &mut strategy.test {
                *rollout = numbers.get(*rollout as usize).copied().unwrap_or(u32::MAX);
            }
        }
        self.plan.rollouts = rollouts;
    }

    fn mark_parents(&mut self) {
        for dependency in &mut self.plan.dependencies {
            let Some(flag) = self.plan.flags.get_mut(dependency.parent as usize) else { continue };
            if flag.parenthood == NOWHERE {
                flag.parenthood = self.plan.parents.len() as u32;
                self.plan.parents.push(dependency.parent);
            }
            dependency.parenthood = flag.parenthood;
        }
    }

    /// What makes lists of enabled flags comes first and in their order, so that flags which are on
    /// side by side are one piece of bytes; what flags that are off say stands behind it.
    fn write_fragments(&mut self, between: fn()) {
        let Plan { flags, fragments, first_off, .. } = &mut self.plan;
        let visible = || self.features.iter().take(self.visible);
        let ons = visible().zip(&*flags).flat_map(|((_, lowered), flag)| {
            flag.codes_on(lowered).map(|code| lowered.fragments.get(code as usize))
        });
        let offs = visible().zip(&*flags).map(|((_, lowered), flag)| {
            flag.can_be_off().then(|| lowered.fragments.first()).flatten()
        });
        fragments.reserve(ons.chain(offs));
        let mut speller = Speller::default();
        for ((feature, lowered), flag) in visible().zip(&mut *flags) {
            between();
            flag.fragment = fragments.len();
            let codes = flag.codes_on(lowered);
            if !codes.is_empty() {
                speller.turn_to(&feature.name, feature.impression);
            }
            let ons = codes.filter_map(|code| lowered.outcome(code));
            ons.for_each(|(fragment, says)| fragments.push(fragment, &speller, says));
        }
        *first_off = fragments.len();
        for ((feature, lowered), flag) in visible().zip(&*flags) {
            between();
            match lowered.outcome(OFF) {
                Some((fragment, says)) if flag.can_be_off() => {
                    speller.turn_to(&feature.name, feature.impression);
                    fragments.push(fragment, &speller, says);
                }
                _ => fragments.skip(),
            }
        }
    }
}

/// Appends `items` and says where they stand.
fn append<T>(list: &mut Vec<T>, items: impl IntoIterator<Item = T>) -> Range<u32> {
    let first = list.len() as u32;
    list.extend(items);
    first..list.len() as u32
}

// === impl Plan ===

impl Plan {
    fn shrink(&mut self) {
        self.flags.shrink_to_fit();
        self.labels.shrink_to_fit();
        self.parents.shrink_to_fit();
        self.strategies.shrink_to_fit();
        self.literals.shrink_to_fit();
        self.draws.shrink_to_fit();
        self.picks.shrink_to_fit();
        self.overrides.shrink_to_fit();
        self.dependencies.shrink_to_fit();
        self.choices.shrink_to_fit();
    }
}

// === impl Flag ===

impl Flag {
    /// The outcomes by which it can be on.
    fn codes_on(&self, lowered: &Lowered) -> Range<lower::Code> {
        match self.kind {
            Kind::Live => ON..lowered.fragments.len() as lower::Code,
            Kind::Folded(OFF) => 0..0,
            Kind::Folded(code) => code..code + 1,
        }
    }

    fn can_be_off(&self) -> bool {
        matches!(self.kind, Kind::Live | Kind::Folded(OFF))
    }
}

// === impl Slots ===

impl Slots {
    /// The slot of a name that was gathered; one that holds nothing for any other.
    fn of(&self, name: &str) -> SlotId {
        self.get(name).unwrap_or(SlotId(u32::MAX))
    }
}

// === impl Wanted ===

impl Wanted {
    /// What `on` wants of the parent that `lowered` is (`spec/evaluation.md` section 6).
    pub(super) fn of(on: &Parent, lowered: &Lowered) -> Self {
        if !on.enabled {
            return Self::Off;
        }
        if on.variants.is_empty() {
            return Self::On;
        }
        let names = ["disabled"].into_iter().chain(lowered.variants.iter().map(|v| &*v.name));
        let listed = (ON..).zip(names).filter(|(_, name)| on.variants.iter().any(|v| v == *name));
        Self::Listed(listed.map(|(code, _)| code).collect())
    }
}

// === impl Lowered ===

impl Lowered {
    fn literals(&self) -> impl Iterator<Item = &super::constraint::Literal> {
        let overrides = self.draws.iter().flat_map(|draw| draw.overrides.iter().map(|(l, _)| l));
        self.strategies.iter().flat_map(|strategy| &strategy.literals).chain(overrides)
    }
}

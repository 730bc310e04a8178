//! Links lowered features into a [`Plan`]: equal conditions get one number, names get slots, outcomes
//! get fragments, parents come before anybody asks for them.

use std::{ops::Range, sync::Arc};

use ahash::AHashMap;

use super::{
    Dependency, Draw, Flag, Host, Key, Kind, OFF, ON, Outcome, Override, Pick, Plan, SlotId, Slots,
    Step, Strategy, Test, Wanted,
    basis::Basis,
    condition::Conditions,
    definition::Definition,
    fragment::Fragments,
    index::TextIndexBuilder,
    lower::{self, Lowered},
    values::ValueCache,
};
use crate::engine::{
    context::ROOT_FIELDS,
    model::{Dependency as Parent, Feature},
};

/// A feature of the payload with its lowered form.
pub(super) type Unit = (Arc<Feature>, Arc<Lowered>);

/// Gathers the parts of a plan, feature by feature.
pub(super) struct Linker<'a> {
    /// The visible flags in byte order of their names, then the hidden ones.
    features: &'a [Unit],
    visible: usize,
    numbers: AHashMap<&'a str, u32>,
    /// The number of each distinct condition.
    conditions: AHashMap<&'a Definition, u32>,
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
    pub(super) fn new(features: &'a [Unit], visible: usize, values: &mut ValueCache) -> Self {
        let mut definitions: Vec<Arc<Definition>> = Vec::new();
        let mut positions: AHashMap<&Definition, u32> = AHashMap::new();
        for literal in features.iter().flat_map(|(_, lowered)| lowered.literals()) {
            positions.entry(&literal.condition).or_insert_with(|| {
                definitions.push(Arc::clone(&literal.condition));
                definitions.len() as u32 - 1
            });
        }
        let slots = slots(features, &definitions);
        let (conditions, numbers) =
            Conditions::build(&definitions, |field| slots.of(field), values);
        for number in positions.values_mut() {
            *number = numbers.get(*number as usize).copied().unwrap_or(u32::MAX);
        }
        let mut names = TextIndexBuilder::with_capacity(visible);
        for (feature, _) in features.iter().take(visible) {
            names.insert(&feature.name);
        }
        let plan = Plan {
            slots,
            conditions,
            names: names.build(),
            flags: Vec::with_capacity(features.len()),
            strategies: Vec::new(),
            literals: Vec::new(),
            draws: Vec::new(),
            picks: Vec::new(),
            overrides: Vec::new(),
            dependencies: Vec::new(),
            choices: Vec::new(),
            fragments: Fragments::default(),
            enabled: Vec::new(),
            parents: 0,
            basis: Basis::default(),
            host: Host::default(),
        };
        let numbers = features.iter().map(|(feature, _)| &*feature.name).zip(0..).collect();
        Self { features, visible, numbers, conditions: positions, plan }
    }

    pub(super) fn link(mut self) -> Plan {
        for (feature, lowered) in self.features {
            self.flag(feature, lowered);
        }
        self.mark_parents();
        self.write_fragments();
        self.list_enabled();
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
        self.plan.flags.push(Flag {
            kind,
            impression: feature.impression,
            fragment: 0,
            choice,
            strategies,
            dependencies,
            memo: None,
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
        let Some(number) = self.numbers.get(on.parent.as_str()).copied() else {
            return Depends::Never;
        };
        let Some((feature, lowered)) = self.features.get(number as usize) else {
            return Depends::Never;
        };
        if !feature.dependencies.is_empty() {
            return Depends::Never;
        }
        let wanted = Wanted::of(on, lowered);
        match lowered.constant() {
            Some(code) if wanted.admits(code) => Depends::Always,
            Some(_) => Depends::Never,
            None => Depends::On(Dependency { parent: number, wanted }),
        }
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

    fn test(&self, test: &lower::Test) -> Test {
        match test {
            lower::Test::Always => Test::Always,
            lower::Test::Present(field) => Test::Present(self.plan.slots.of(field)),
            lower::Test::Rollout { key, prefix, percent } => {
                Test::Rollout { key: self.key(key), prefix: *prefix, percent: *percent }
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

    fn mark_parents(&mut self) {
        for dependency in &self.plan.dependencies {
            if let Some(flag) = self.plan.flags.get_mut(dependency.parent as usize)
                && flag.memo.is_none()
            {
                flag.memo = Some(self.plan.parents);
                self.plan.parents += 1;
            }
        }
    }

    fn write_fragments(&mut self) {
        // Folded flags that are on come first and in order, so that neighbours form one run.
        let folded_on = |kind| matches!(kind, Kind::Folded(code) if code != OFF);
        let visible = self.features.iter().take(self.visible).map(|(_, lowered)| lowered);
        let placed: Vec<_> = visible
            .zip(&mut self.plan.flags)
            .map(|(lowered, flag)| {
                let fragments = match flag.kind {
                    Kind::Folded(code) => lowered.fragments.get(code as usize..code as usize + 1),
                    Kind::Live => Some(&*lowered.fragments),
                };
                (fragments.unwrap_or(&[]), flag)
            })
            .collect();
        let fragments = &mut self.plan.fragments;
        fragments.reserve(placed.iter().flat_map(|(written, _)| written.iter()));
        let (first, then): (Vec<_>, Vec<_>) =
            placed.into_iter().partition(|(_, flag)| folded_on(flag.kind));
        for (written, flag) in first.into_iter().chain(then) {
            flag.fragment = fragments.len();
            written.iter().for_each(|fragment| fragments.push(fragment));
        }
    }

    fn list_enabled(&mut self) {
        let steps = &mut self.plan.enabled;
        for (number, flag) in (0u32..).zip(self.plan.flags.iter().take(self.visible)) {
            match (flag.kind, steps.last_mut()) {
                (Kind::Folded(OFF), _) => {}
                (Kind::Folded(_), Some(Step::Run { end, .. })) if *end == flag.fragment => {
                    *end += 1
                }
                (Kind::Folded(_), _) => {
                    steps.push(Step::Run { first: flag.fragment, end: flag.fragment + 1 });
                }
                (Kind::Live, _) => steps.push(Step::Live(number)),
            }
        }
    }
}

/// Every name that a live part of `features` asks a context for, the root fields first.
fn slots(features: &[Unit], definitions: &[Arc<Definition>]) -> Slots {
    let mut named: Vec<&str> = ROOT_FIELDS.to_vec();
    named.extend(definitions.iter().map(|definition| &*definition.field));
    for (_, lowered) in features {
        let tests = lowered.strategies.iter().filter_map(|strategy| match &strategy.test {
            lower::Test::Present(field) => Some(&**field),
            lower::Test::Rollout { key: lower::Key::Field(field), .. } => Some(&**field),
            _ => None,
        });
        let draws = lowered.draws.iter().filter_map(|draw| match &draw.key {
            lower::Key::Field(field) => Some(&**field),
            _ => None,
        });
        named.extend(tests.chain(draws));
    }
    let mut names = TextIndexBuilder::with_capacity(named.len());
    for name in named {
        names.insert(name);
    }
    Slots { names: names.build() }
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
        self.strategies.shrink_to_fit();
        self.literals.shrink_to_fit();
        self.draws.shrink_to_fit();
        self.picks.shrink_to_fit();
        self.overrides.shrink_to_fit();
        self.dependencies.shrink_to_fit();
        self.choices.shrink_to_fit();
        self.enabled.shrink_to_fit();
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
        let listed = (ON..).zip(names).filter(|(_, name)| on.variants.iter().any(|v| v == name));
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

//! The names of a plan: what its flags are called, and what it asks contexts for.

use std::sync::Arc;

use super::{
    SlotId, Slots,
    definition::Definition,
    index::{TextIndex, TextIndexBuilder},
    link::Unit,
    lower,
};
use crate::engine::context::Root;

/// The flags' names of earlier plans: they are mostly those of the next one.
#[derive(Debug, Default)]
pub(super) struct NameCache {
    built: Vec<Arc<TextIndex>>,
}

// === impl NameCache ===

impl NameCache {
    /// The names of `features` in their order, indexed if these very names were not before.
    pub(super) fn get(&mut self, features: &[Unit]) -> Arc<TextIndex> {
        let names = || features.iter().map(|(feature, _)| &*feature.name);
        let are_names = |built: &TextIndex| {
            built.len() == features.len()
                && (0..).zip(names()).all(|(number, name)| built.text(number) == name)
        };
        if let Some(built) = self.built.iter().find(|built| are_names(built)) {
            return Arc::clone(built);
        }
        let mut index = TextIndexBuilder::with_capacity(features.len());
        names().for_each(|name| {
            index.insert(name);
        });
        let index = Arc::new(index.build());
        self.built.push(Arc::clone(&index));
        index
    }

    /// Forgets what no plan holds any more.
    pub(super) fn forget_unused(&mut self) {
        self.built.retain(|index| Arc::strong_count(index) > 1);
    }
}

/// Every name that a live part of `features` asks a context for, the root fields first, and the slot
/// of each definition.
pub(super) fn slots(features: &[Unit], definitions: &[Arc<Definition>]) -> (Slots, Vec<SlotId>) {
    let mut named: Vec<&str> = Vec::new();
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
    let capacity = Root::ALL.len() + definitions.len() + named.len();
    let mut names = TextIndexBuilder::with_capacity(capacity);
    for name in Root::ALL.map(Root::name) {
        names.insert(name);
    }
    let fields = definitions.iter().map(|definition| SlotId(names.insert(&definition.field)));
    let fields = fields.collect();
    for name in named {
        names.insert(name);
    }
    (Slots { names: names.build() }, fields)
}

//! Compiles payloads into plans, and on the second time only what changed.

use std::{collections::BTreeMap, sync::Arc};

use ahash::AHashMap;

use super::{
    Host, Plan, Projects,
    basis::Basis,
    definition::Patterns,
    link::{Linker, Unit},
    lower::{Lowered, lower},
    names::NameCache,
    values::ValueCache,
};
use crate::engine::model::{Feature, Features, Segment, Warning};

/// Compiles what `projects` may see of `features`, from nothing.
///
/// Never fails: what cannot be compiled is off, and said so in the warnings, each of which names
/// its flag. Flags outside `projects` are compiled only where a visible flag depends on them.
pub fn compile(features: &Features, projects: &Projects, host: &Host) -> (Plan, Vec<Warning>) {
    Compiler::new(host.clone()).compile(features, projects)
}

/// Compiles again and again, and does again only what changed.
///
/// A feature is lowered once for as long as it and its segments stay the same objects (see
/// [`Features::parse_over`]), whatever the scopes that see it; the index of a slot's lists is built
/// once for as long as the lists do. Linking is done each time: it numbers and writes what is known.
#[derive(Debug)]
pub struct Compiler {
    host: Host,
    lowered: AHashMap<Identity, Known>,
    names: NameCache,
    values: ValueCache,
    patterns: Patterns,
    between: fn(),
}

/// A feature, as distinct from all others that are known.
// INVARIANT: who keeps an identity keeps its feature, so that no other takes its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity(usize);

/// A feature as it was when it was lowered.
#[derive(Debug)]
struct Known {
    feature: Arc<Feature>,
    /// The segments it names; `None` for one that was not there.
    segments: Box<[(i64, Option<Arc<Segment>>)]>,
    lowered: Arc<Lowered>,
}

// === impl Compiler ===

impl Compiler {
    /// Knows nothing yet.
    pub fn new(host: Host) -> Self {
        Self {
            host,
            lowered: AHashMap::new(),
            names: NameCache::default(),
            values: ValueCache::default(),
            patterns: Patterns::default(),
            between: || {},
        }
    }

    /// From now on calls `between` every so often, between two features mostly, so that whoever
    /// compiles a large payload can let others have the core.
    #[must_use]
    pub fn pausing(self, between: fn()) -> Self {
        Self { between, ..self }
    }

    /// As [`compile()`], with what is known of earlier calls.
    pub fn compile(&mut self, features: &Features, projects: &Projects) -> (Plan, Vec<Warning>) {
        let sees = |feature: &Feature| projects.contains(&feature.project);
        let visible = features.features.values().filter(|feature| sees(feature));
        // Sorted and distinct, as everything that decides about bytes must be.
        let hidden: BTreeMap<&str, &Arc<Feature>> = visible
            .clone()
            .flat_map(|feature| &feature.dependencies)
            .filter_map(|parent| features.features.get(&*parent.parent))
            .filter(|parent| !sees(parent))
            .map(|parent| (&*parent.name, parent))
            .collect();

        let mut warnings = Vec::new();
        let mut units: Vec<Unit> = Vec::with_capacity(features.len());
        for feature in visible.chain(hidden.values().copied()) {
            (self.between)();
            let lowered = self.lower(feature, features);
            warnings.extend(lowered.warnings.iter().cloned());
            units.push((Arc::clone(feature), lowered));
        }
        let hidden = hidden.len();
        let visible = units.len() - hidden;
        let mut plan =
            Linker::new(&units, visible, &mut self.names, &mut self.values).link(self.between);
        plan.basis = Basis::of(&plan, (&units, visible), features, &self.host);
        plan.host = self.host.clone();
        (plan, warnings)
    }

    /// Forgets what nobody else holds any more: features that are gone, and what plans that are gone
    /// were made of. What is still in use stays, and no plan changes.
    pub fn forget_unused(&mut self) {
        self.lowered.retain(|_, known| {
            (self.between)();
            Arc::strong_count(&known.feature) > 1
        });
        self.names.forget_unused();
        self.values.forget_unused();
        self.patterns.forget_unused();
    }

    fn lower(&mut self, feature: &Arc<Feature>, features: &Features) -> Arc<Lowered> {
        let identity = Identity(Arc::as_ptr(feature).addr());
        if let Some(known) = self.lowered.get(&identity)
            && known.is_current(features)
        {
            return Arc::clone(&known.lowered);
        }
        let lowered = Arc::new(lower(feature, &features.segments, &self.host, &mut self.patterns));
        let ids = feature.strategies.iter().flat_map(|strategy| &strategy.segments);
        let segments = ids.map(|id| (*id, features.segments.get(id).cloned())).collect();
        let known = Known { feature: Arc::clone(feature), segments, lowered: Arc::clone(&lowered) };
        self.lowered.insert(identity, known);
        lowered
    }
}

impl Known {
    /// Whether the segments are still those of then.
    fn is_current(&self, features: &Features) -> bool {
        self.segments.iter().all(|(id, then)| match (then, features.segments.get(id)) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            (None, None) => true,
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests;

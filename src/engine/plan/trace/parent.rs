//! Traces a feature's dependencies to flags of the plan, those included that nobody else sees.

use std::collections::BTreeSet;

use crate::engine::{
    evaluate::slice,
    model::{Dependency, Feature, Features},
    plan::{Kind, Plan, Wanted, definition::Patterns, lower::lower},
};

#[derive(Debug)]
pub(in crate::engine) struct ParentTrace<'f> {
    pub(in crate::engine) source: &'f Dependency,
    pub(in crate::engine) parent: Parent,
}

#[derive(Debug)]
pub(in crate::engine) enum Parent {
    Unknown,
    /// It has parents of its own, so it satisfies nobody.
    Child,
    Flag {
        number: u32,
        wanted: Wanted,
    },
}

// === impl Plan ===

impl Plan {
    pub(super) fn trace_parents<'f>(
        &self,
        features: &'f Features,
        feature: &'f Feature,
        child: u32,
    ) -> Option<Vec<ParentTrace<'f>>> {
        let trace = |source| {
            let parent = self.trace_parent(features, source)?;
            (!self.contradicts(child, &parent)).then_some(ParentTrace { source, parent })
        };
        feature.dependencies.iter().map(trace).collect()
    }

    fn trace_parent(&self, features: &Features, source: &Dependency) -> Option<Parent> {
        let name = &*source.parent;
        let Some(feature) = features.features.get(name) else { return Some(Parent::Unknown) };
        if !feature.dependencies.is_empty() {
            return Some(Parent::Child);
        }
        let number = match self.flag(name) {
            Some(flag) => flag.0,
            None => self.hidden(features, name)?,
        };
        let lowered = lower(feature, &features.segments, &self.host, &mut Patterns::default());
        Some(Parent::Flag { number, wanted: Wanted::of(source, &lowered) })
    }

    /// The number of a flag that only its children see: behind the visible ones, by name.
    fn hidden(&self, features: &Features, name: &str) -> Option<u32> {
        let known = |name: &str| features.features.contains_key(name) && self.flag(name).is_none();
        let hidden: BTreeSet<&str> = features
            .features
            .values()
            .filter(|feature| self.flag(&feature.name).is_some())
            .flat_map(|feature| &feature.dependencies)
            .map(|dependency| &*dependency.parent)
            .filter(|name| known(name))
            .collect();
        let position = hidden.iter().position(|hidden| *hidden == name)?;
        Some((self.len() + position) as u32)
    }

    /// Whether the plan has a live `child` depend on anything but this parent.
    fn contradicts(&self, child: u32, on: &Parent) -> bool {
        let Some(child) = self.flags.get(child as usize).filter(|f| f.kind == Kind::Live) else {
            return false;
        };
        let Parent::Flag { number, wanted } = on else { return true };
        match self.flags.get(*number as usize).map(|parent| parent.kind) {
            Some(Kind::Folded(code)) => !wanted.admits(code),
            Some(Kind::Live) => !slice(&self.dependencies, &child.dependencies)
                .iter()
                .any(|known| (known.parent, &known.wanted) == (*number, wanted)),
            None => true,
        }
    }
}

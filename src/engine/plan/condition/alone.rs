//! Decides one condition, and leaves the rest of its group alone: for a caller who asks for a single
//! flag, preparing a memory for all conditions costs more than it saves.

use std::cmp::Ordering;

use super::{Conditions, Form, Group, of_numbers};
use crate::engine::{
    context::Context,
    plan::definition::Comparison,
    value::{fold, network, number, version},
};

// === impl Conditions ===

impl Conditions {
    /// Whether a condition holds for `context`. `lowered` is room for a value in lower case.
    #[inline(always)]
    pub(in crate::engine) fn holds_alone(
        &self,
        condition: u32,
        context: &Context,
        lowered: &mut String,
    ) -> bool {
        let home = self.homes.get(condition as usize);
        home.and_then(|home| self.groups.get(*home as usize))
            .is_some_and(|group| group.holds(condition - group.first, context, lowered))
    }
}

// === impl Group ===

impl Group {
    /// Whether the condition that is the group's `member`th holds.
    #[inline(always)]
    fn holds(&self, member: u32, context: &Context, lowered: &mut String) -> bool {
        match &self.form {
            Form::In(sets) => {
                context.bytes(self.slot).is_some_and(|text| sets.is_held(text, member))
            }
            _ => self.holds_otherwise(member, context, lowered),
        }
    }

    // Out of line, so that lists, which most conditions are, cost little.
    #[inline(never)]
    fn holds_otherwise(&self, member: u32, context: &Context, lowered: &mut String) -> bool {
        match &self.form {
            Form::Dates(dates) => self
                .instant(context)
                .is_some_and(|instant| admits(dates, member, |threshold| instant.cmp(threshold))),
            form => {
                context.get(self.slot).is_some_and(|text| form.holds_text(member, text, lowered))
            }
        }
    }
}

// === impl Form ===

impl Form {
    fn holds_text(&self, member: u32, text: &str, lowered: &mut String) -> bool {
        match self {
            Self::Numbers(numbers) => number::parse(text).is_some_and(|number| {
                admits(numbers, member, |threshold| of_numbers(number, *threshold))
            }),
            Self::Versions(versions) => version::parse(text).is_some_and(|version| {
                admits(versions, member, |threshold| version.cmp_precedence(&threshold.borrow()))
            }),
            Self::Networks(networks) => network::parse_address(text).is_some_and(|address| {
                networks.get(member as usize).is_some_and(|networks| networks.contains(address))
            }),
            Self::Text(needles) if needles.folded => {
                lowered.clear();
                fold::lower_into(text, lowered);
                needles.found_in(lowered)
            }
            Self::Text(needles) => needles.found_in(text),
            Self::Pattern { regex, .. } => regex.is_match(text),
            // Decided by the group, which knows what a missing value means.
            Self::In(_) | Self::Dates(_) => false,
        }
    }
}

/// Whether the threshold at `member` admits what is compared with it.
fn admits<T>(
    thresholds: &[(Comparison, T)],
    member: u32,
    against: impl Fn(&T) -> Ordering,
) -> bool {
    thresholds
        .get(member as usize)
        .is_some_and(|(comparison, threshold)| comparison.admits(against(threshold)))
}

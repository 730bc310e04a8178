//! Decides one condition, and leaves the rest of its group alone: for a caller who asks for a single
//! flag, preparing a memory for all conditions costs more than it saves.

use std::cmp::Ordering;

use super::{Conditions, Form, Group, Home, of_numbers};
use crate::engine::{
    context::Context,
    plan::{definition::Comparison, index::Ends},
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
        let Some(home) = self.homes.get(condition as usize) else { return false };
        if home.few.is_empty() {
            return self.holds_otherwise(condition, *home, context, lowered);
        }
        let Some(text) = context.bytes(home.slot) else { return false };
        let first = Ends::of(text).first;
        home.few.can_be(first) && self.are_few(*home, text, first)
    }

    // Out of line, here and below: in line stands what decides most.
    #[inline(never)]
    fn are_few(&self, home: Home, text: &[u8], first: u64) -> bool {
        match self.groups.get(home.group as usize) {
            Some(Group { form: Form::In(sets), .. }) => sets.are(home.few, text, first),
            _ => false,
        }
    }

    #[inline(never)]
    fn holds_otherwise(
        &self,
        condition: u32,
        home: Home,
        context: &Context,
        lowered: &mut String,
    ) -> bool {
        let Some(group) = self.groups.get(home.group as usize) else { return false };
        let member = condition - group.first;
        match &group.form {
            Form::In(sets) => {
                context.bytes(home.slot).is_some_and(|text| sets.is_held(text, member))
            }
            Form::Dates(dates) => group
                .instant(context)
                .is_some_and(|instant| admits(dates, member, |threshold| instant.cmp(threshold))),
            form => {
                context.get(home.slot).is_some_and(|text| form.holds_text(member, text, lowered))
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

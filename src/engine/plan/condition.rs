//! Conditions: what constraints, user lists, address lists and overrides ask of one context value.
//!
//! Conditions of one operator family on one slot form a group that is decided together: one look-up
//! tells every list that holds a value, one parse serves every threshold. Whoever asks for many flags
//! has the groups decided before; what is dear to decide stands alone and waits until somebody asks.
//! A missing or unreadable value satisfies no condition; `NOT_IN` and `inverted` are inversions of
//! the reference, not conditions of their own (`spec/evaluation.md` 4.2).

mod alone;
mod decided;
mod form;
mod meaning;

use std::{cmp::Ordering, sync::Arc};

pub(in crate::engine) use self::decided::{Decided, Truth};
use self::form::Form;
use super::{
    SlotId,
    definition::{Comparison, Definition, Predicate},
    values::{Few, ValueCache},
};
use crate::engine::{
    context::{CURRENT_TIME, Context},
    value::{date, date::Instant, network, number, version},
};

/// All conditions of a plan, numbered so that those of one group are neighbours.
#[derive(Debug, Default)]
pub(in crate::engine) struct Conditions {
    /// Of each condition.
    homes: Vec<Home>,
    groups: Vec<Group>,
    /// What is known of each literal before anything is: common conditions fail until they hold, and
    /// their opposites hold.
    unasked: Box<[Truth]>,
    /// The groups that are decided whoever asks; those behind stand alone.
    common_groups: usize,
}

/// Where a condition is decided.
#[derive(Clone, Copy, Debug)]
struct Home {
    group: u32,
    /// The group's.
    slot: SlotId,
    /// What it compares with, if that is little: whoever asks for it alone looks no further.
    few: Few,
}

#[derive(Debug)]
struct Group {
    first: u32,
    slot: SlotId,
    form: Form,
}

// === impl Conditions ===

impl Conditions {
    /// Numbers `definitions`, which are on `fields`, and builds their groups. Also returns the number
    /// that each of them got, in the order they came.
    pub(super) fn build(
        definitions: &[Arc<Definition>],
        fields: &[SlotId],
        values: &mut ValueCache,
    ) -> (Self, Vec<u32>) {
        let mut order: Vec<(u8, SlotId, usize)> = definitions
            .iter()
            .zip(fields)
            .enumerate()
            .map(|(at, (definition, slot))| (definition.predicate.family(), *slot, at))
            .collect();
        order.sort_unstable();

        let mut conditions = Self { homes: Vec::with_capacity(order.len()), ..Self::default() };
        let mut numbers = vec![0; definitions.len()];
        let mut common = 0;
        for chunk in order.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some(&(family, slot, _)) = chunk.first() else { continue };
            let members: Vec<&Arc<Definition>> =
                chunk.iter().filter_map(|&(_, _, at)| definitions.get(at)).collect();
            for (number, &(_, _, at)) in (conditions.homes.len() as u32..).zip(chunk) {
                if let Some(slot) = numbers.get_mut(at) {
                    *slot = number;
                }
            }
            if Predicate::stands_alone(family) {
                for member in members {
                    conditions.push_group(slot, &[member], values);
                }
            } else {
                conditions.push_group(slot, &members, values);
                // Families come in their order: those that stand alone are the last.
                (common, conditions.common_groups) =
                    (conditions.homes.len(), conditions.groups.len());
            }
        }
        let common = (0..common).flat_map(|_| [Truth::FAILS, Truth::HOLDS]);
        let mut unasked: Vec<Truth> = common.collect();
        unasked.resize(2 * conditions.len(), Truth::OPEN);
        unasked.extend([Truth::HOLDS, Truth::OPEN]);
        conditions.unasked = unasked.into();
        (conditions, numbers)
    }

    fn push_group(&mut self, slot: SlotId, members: &[&Arc<Definition>], values: &mut ValueCache) {
        let first = self.homes.len() as u32;
        let Some(form) = Form::of(members, values) else { return };
        let group = self.groups.len() as u32;
        self.homes.extend((0..).zip(members).map(|(member, _)| {
            let few = match &form {
                Form::In(sets) => sets.few(member),
                _ => Few::default(),
            };
            Home { group, slot, few }
        }));
        self.groups.push(Group { first, slot, form });
    }

    pub(super) fn len(&self) -> usize {
        self.homes.len()
    }

    /// Whether any condition is on the value of `slot`.
    pub(super) fn read(&self, slot: SlotId) -> bool {
        self.groups.iter().any(|group| group.slot == slot)
    }

    /// The points in time that `currentTime` is compared with, sorted.
    pub(super) fn turns(&self) -> Box<[Instant]> {
        let dates = self.groups.iter().filter(|group| group.slot == CURRENT_TIME);
        let mut turns: Vec<Instant> = dates
            .filter_map(|group| match &group.form {
                Form::Dates(dates) => Some(dates),
                _ => None,
            })
            .flat_map(|dates| dates.iter().map(|(_, instant)| *instant))
            .collect();
        turns.sort_unstable();
        turns.dedup();
        turns.into()
    }

    pub(super) fn bytes(&self) -> usize {
        let groups: usize = self.groups.iter().map(|group| group.form.bytes()).sum();
        size_of::<Home>() * self.homes.capacity()
            + size_of::<Group>() * self.groups.capacity()
            + self.unasked.len()
            + groups
    }

    /// The literal that holds for everybody, where conditions were decided for many flags.
    pub(super) fn always(&self) -> u32 {
        (self.len() as u32) << 1
    }

    /// The literal that nothing is known of before somebody asks.
    pub(super) fn unknown(&self) -> u32 {
        self.always() + 1
    }

    /// The first literal that is no condition's, nor everybody's.
    pub(super) fn next_literal(&self) -> u32 {
        self.always() + 2
    }

    /// Forgets the last request in `decided`, and decides every group for `context`.
    pub(in crate::engine) fn decide(&self, context: &Context, decided: &mut Decided) {
        decided.start(&self.unasked);
        for group in self.groups.iter().take(self.common_groups) {
            group.decide(context, decided);
        }
    }

    /// Whether a condition holds for the `context` that `decided` was decided for.
    #[inline(always)]
    pub(in crate::engine) fn holds(
        &self,
        condition: u32,
        context: &Context,
        decided: &mut Decided,
    ) -> bool {
        match decided.truth(condition << 1) {
            Truth::OPEN => self.decide_alone(condition, context, decided),
            truth => truth == Truth::HOLDS,
        }
    }

    #[cold]
    fn decide_alone(&self, condition: u32, context: &Context, decided: &mut Decided) -> bool {
        decided.set(condition, false);
        let home = self.homes.get(condition as usize);
        if let Some(group) = home.and_then(|home| self.groups.get(home.group as usize)) {
            group.decide(context, decided);
        }
        decided.truth(condition << 1) == Truth::HOLDS
    }
}

// === impl Group ===

impl Group {
    fn decide(&self, context: &Context, decided: &mut Decided) {
        match &self.form {
            Form::Dates(dates) => {
                if let Some(instant) = self.instant(context) {
                    self.compare(dates, decided, |threshold| instant.cmp(threshold));
                }
            }
            Form::In(sets) => {
                if let Some(text) = context.bytes(self.slot) {
                    for member in sets.holding(text) {
                        decided.set(self.first + member, true);
                    }
                }
            }
            form => {
                if let Some(text) = context.get(self.slot) {
                    self.decide_text(form, text, decided);
                }
            }
        }
    }

    /// A context that brings no `currentTime` is asked now (`spec/evaluation.md` 2.1).
    fn instant(&self, context: &Context) -> Option<Instant> {
        match context.get(self.slot) {
            Some(text) => date::parse(text),
            None if self.slot == CURRENT_TIME => Some(context.now),
            None => None,
        }
    }

    fn decide_text(&self, form: &Form, text: &str, decided: &mut Decided) {
        match form {
            Form::Numbers(numbers) => {
                if let Some(number) = number::parse(text) {
                    self.compare(numbers, decided, |threshold| of_numbers(number, *threshold));
                }
            }
            Form::Versions(versions) => {
                if let Some(version) = version::parse(text) {
                    self.compare(versions, decided, |threshold| {
                        version.cmp_precedence(&threshold.borrow())
                    });
                }
            }
            Form::Networks(networks) => {
                if let Some(address) = network::parse_address(text) {
                    for (member, networks) in (0..).zip(networks) {
                        if networks.contains(address) {
                            decided.set(self.first + member, true);
                        }
                    }
                }
            }
            Form::Text(needles) => {
                let found = if needles.folded {
                    needles.found_in(decided.lowered(self.slot, text))
                } else {
                    needles.found_in(text)
                };
                if found {
                    decided.set(self.first, true);
                }
            }
            Form::Pattern { regex, .. } => {
                if regex.is_match(text) {
                    decided.set(self.first, true);
                }
            }
            // Decided by the caller: it compares bytes, or knows what a missing `currentTime` means.
            Form::In(_) | Form::Dates(_) => {}
        }
    }

    fn compare<T>(
        &self,
        thresholds: &[(Comparison, T)],
        decided: &mut Decided,
        against: impl Fn(&T) -> Ordering,
    ) {
        // Whether a threshold admits a value cannot be guessed, so nothing here depends on a guess.
        for ((comparison, threshold), truths) in thresholds.iter().zip(decided.from(self.first)) {
            *truths = Truth::both(comparison.admits(against(threshold)));
        }
    }
}

/// Neither side is NaN: what is none of the numbers was turned away before.
fn of_numbers(number: f64, threshold: f64) -> Ordering {
    (number > threshold).cmp(&(number < threshold))
}

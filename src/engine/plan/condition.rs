//! Conditions: what constraints, user lists, address lists and overrides ask of one context value.
//!
//! Conditions of one operator family on one slot form a group that is decided together: one look-up
//! tells every list that holds a value, one parse serves every threshold. Whoever asks for many flags
//! has the groups decided before; what is dear to decide stands alone and waits until somebody asks.
//! A missing or unreadable value satisfies no condition; `NOT_IN` and `inverted` are inversions of
//! the reference, not conditions of their own (`spec/evaluation.md` 4.2).

mod alone;
mod form;
mod meaning;

use std::{cmp::Ordering, sync::Arc};

use self::form::Form;
use super::{
    SlotId,
    definition::{Comparison, Definition, Predicate},
    values::{Few, ValueCache},
};
use crate::engine::{
    context::{CURRENT_TIME, Context},
    value::{date, date::Instant, fold, network, number, version},
};

/// All conditions of a plan, numbered so that those of one group are neighbours.
#[derive(Debug, Default)]
pub(in crate::engine) struct Conditions {
    /// Of each condition.
    homes: Vec<Home>,
    groups: Vec<Group>,
    /// The conditions and the groups that are decided for everybody; those behind stand alone.
    common: Common,
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

/// The first so many.
#[derive(Clone, Copy, Debug, Default)]
struct Common {
    conditions: usize,
    groups: usize,
}

/// What is known of each condition in one request. Kept by the caller between requests.
#[derive(Debug, Default)]
pub(in crate::engine) struct Decided {
    truths: Vec<Truth>,
    /// The value of `lowered_slot` in lower case.
    lowered: String,
    lowered_slot: Option<SlotId>,
}

// In this order: what is known of several at once is the least that is known of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Truth {
    Fails = 0,
    /// Nobody asked yet.
    Open = 1,
    Holds = 2,
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
                conditions.common =
                    Common { conditions: conditions.homes.len(), groups: conditions.groups.len() };
            }
        }
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
            + groups
    }

    /// The literal that holds for everybody, where conditions were decided for many flags.
    pub(super) fn always(&self) -> u32 {
        (self.len() as u32) << 1
    }

    /// Forgets the last request in `decided`, and decides every group for `context`.
    pub(in crate::engine) fn decide(&self, context: &Context, decided: &mut Decided) {
        decided.lowered_slot = None;
        decided.truths.clear();
        decided.truths.resize(self.common.conditions, Truth::Fails);
        decided.truths.resize(self.len(), Truth::Open);
        decided.truths.push(Truth::Holds);
        for group in self.groups.iter().take(self.common.groups) {
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
        match decided.truth(condition) {
            Truth::Open => self.decide_alone(condition, context, decided),
            truth => truth == Truth::Holds,
        }
    }

    #[cold]
    fn decide_alone(&self, condition: u32, context: &Context, decided: &mut Decided) -> bool {
        decided.set(condition, Truth::Fails);
        let home = self.homes.get(condition as usize);
        if let Some(group) = home.and_then(|home| self.groups.get(home.group as usize)) {
            group.decide(context, decided);
        }
        decided.truth(condition) == Truth::Holds
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
                        decided.set(self.first + member, Truth::Holds);
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
                            decided.set(self.first + member, Truth::Holds);
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
                    decided.set(self.first, Truth::Holds);
                }
            }
            Form::Pattern { regex, .. } => {
                if regex.is_match(text) {
                    decided.set(self.first, Truth::Holds);
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
        for (member, (comparison, threshold)) in (0..).zip(thresholds) {
            if comparison.admits(against(threshold)) {
                decided.set(self.first + member, Truth::Holds);
            }
        }
    }
}

// === impl Truth ===

impl Truth {
    /// Whether a condition is as the lowest bit of `literal` wants it, once it is decided.
    #[inline(always)]
    pub(in crate::engine) fn agrees(self, literal: u32) -> bool {
        self as u32 != (literal & 1) << 1
    }

    /// What is known of `literal`, whose condition this is known of.
    #[inline(always)]
    pub(super) fn seen_by(self, literal: u32) -> Self {
        match (self, literal & 1) {
            (Self::Fails, 1) => Self::Holds,
            (Self::Holds, 1) => Self::Fails,
            (truth, _) => truth,
        }
    }
}

// === impl Decided ===

impl Decided {
    /// What is known of a condition.
    #[inline(always)]
    pub(in crate::engine) fn truth(&self, condition: u32) -> Truth {
        self.truths.get(condition as usize).copied().unwrap_or(Truth::Fails)
    }

    /// Says what is known of the one behind the last.
    #[inline]
    pub(super) fn append(&mut self, is: Truth) {
        self.truths.push(is);
    }

    #[inline]
    fn set(&mut self, condition: u32, is: Truth) {
        if let Some(truth) = self.truths.get_mut(condition as usize) {
            *truth = is;
        }
    }

    /// Room for a text; what it held is forgotten.
    pub(in crate::engine) fn text(&mut self) -> &mut String {
        self.lowered_slot = None;
        &mut self.lowered
    }

    /// `text`, the value of `slot`, in lower case; folded once while one slot is asked for.
    fn lowered(&mut self, slot: SlotId, text: &str) -> &str {
        if self.lowered_slot != Some(slot) {
            self.lowered.clear();
            fold::lower_into(text, &mut self.lowered);
            self.lowered_slot = Some(slot);
        }
        &self.lowered
    }
}

/// Neither side is NaN: what is none of the numbers was turned away before.
fn of_numbers(number: f64, threshold: f64) -> Ordering {
    number.partial_cmp(&threshold).unwrap_or(Ordering::Equal)
}

//! Conditions: what constraints, user lists, address lists and overrides ask of one context value.
//!
//! A condition is decided at most once per request. Conditions of one operator family on one slot
//! form a group that is decided together: one look-up tells every list that holds a value, one parse
//! serves every threshold. A missing or unreadable value satisfies no condition; `NOT_IN` and
//! `inverted` are inversions of the reference, not conditions of their own
//! (`spec/evaluation.md` 4.2).

mod alone;
mod meaning;

use std::{cmp::Ordering, ops::Range, sync::Arc};

use memchr::memmem;
use regex::Regex;

use super::{
    SlotId,
    definition::{Comparison, Definition, Place, Predicate, Version},
    values::{ValueCache, ValueSets},
};
use crate::engine::{
    context::{CURRENT_TIME, Context},
    value::{date, date::Instant, fold, network, network::Networks, number, version},
};

/// All conditions of a plan, numbered so that those of one group are neighbours.
#[derive(Debug, Default)]
pub(in crate::engine) struct Conditions {
    /// The group of each condition.
    homes: Vec<u32>,
    groups: Vec<Group>,
}

/// What is known of each condition in one request. Kept by the caller between requests.
#[derive(Debug, Default)]
pub(in crate::engine) struct Decided {
    known: Vec<u64>,
    truth: Vec<u64>,
    /// The value of `lowered_slot` in lower case.
    lowered: String,
    lowered_slot: Option<SlotId>,
}

#[derive(Debug)]
struct Group {
    first: u32,
    count: u32,
    slot: SlotId,
    form: Form,
}

/// How a group decides its conditions.
#[derive(Debug)]
enum Form {
    In(Arc<ValueSets>),
    Numbers(Box<[(Comparison, f64)]>),
    Dates(Box<[(Comparison, Instant)]>),
    Versions(Box<[(Comparison, Version)]>),
    Networks(Box<[Networks]>),
    // The dear ones stand alone: decided only when a strategy gets as far as asking.
    Text(Needles),
    Pattern { regex: Regex, case_insensitive: bool },
}

#[derive(Debug)]
struct Needles {
    place: Place,
    folded: bool,
    needles: Box<[memmem::Finder<'static>]>,
}

// === impl Conditions ===

impl Conditions {
    /// Numbers `definitions` and builds their groups. Also returns the number that each of them
    /// got, in the order they came.
    pub(super) fn build(
        definitions: &[Arc<Definition>],
        slot_of: impl Fn(&str) -> SlotId,
        values: &mut ValueCache,
    ) -> (Self, Vec<u32>) {
        let mut order: Vec<(u8, SlotId, usize)> = definitions
            .iter()
            .enumerate()
            .map(|(at, definition)| (definition.predicate.family(), slot_of(&definition.field), at))
            .collect();
        order.sort_unstable();

        let mut conditions = Self { homes: Vec::with_capacity(order.len()), groups: Vec::new() };
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
            }
        }
        (conditions, numbers)
    }

    fn push_group(&mut self, slot: SlotId, members: &[&Arc<Definition>], values: &mut ValueCache) {
        let first = self.homes.len() as u32;
        let Some(form) = Form::of(members, values) else { return };
        self.homes.extend(members.iter().map(|_| self.groups.len() as u32));
        self.groups.push(Group { first, count: members.len() as u32, slot, form });
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
        4 * self.homes.capacity() + size_of::<Group>() * self.groups.capacity() + groups
    }

    /// Whether a condition holds for `context`; decides its whole group if nobody asked before.
    #[inline]
    pub(in crate::engine) fn holds(
        &self,
        condition: u32,
        context: &Context,
        decided: &mut Decided,
    ) -> bool {
        let (word, bit) = place(condition);
        if decided.known.get(word).copied().unwrap_or(0) & bit == 0 {
            self.decide(condition, context, decided);
        }
        decided.truth.get(word).copied().unwrap_or(0) & bit != 0
    }

    #[cold]
    fn decide(&self, condition: u32, context: &Context, decided: &mut Decided) {
        let Some(home) = self.homes.get(condition as usize) else { return };
        let Some(group) = self.groups.get(*home as usize) else { return };
        decided.mark_known(group.first..group.first + group.count);
        group.decide(context, decided);
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
                        decided.set(self.first + member);
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
                            decided.set(self.first + member);
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
                    decided.set(self.first);
                }
            }
            Form::Pattern { regex, .. } => {
                if regex.is_match(text) {
                    decided.set(self.first);
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
                decided.set(self.first + member);
            }
        }
    }
}

// === impl Form ===

impl Form {
    /// The form for predicates of one family. `None` for none.
    fn of(members: &[&Arc<Definition>], values: &mut ValueCache) -> Option<Self> {
        Some(match &members.first()?.predicate {
            Predicate::In(_) => Self::In(values.get(members)),
            Predicate::Number(..) => Self::Numbers(gather(members, |predicate| match predicate {
                Predicate::Number(comparison, number) => Some((*comparison, number.0)),
                _ => None,
            })),
            Predicate::Date(..) => Self::Dates(gather(members, |predicate| match predicate {
                Predicate::Date(comparison, instant) => Some((*comparison, *instant)),
                _ => None,
            })),
            Predicate::Version(..) => {
                Self::Versions(gather(members, |predicate| match predicate {
                    Predicate::Version(comparison, version) => Some((*comparison, version.clone())),
                    _ => None,
                }))
            }
            Predicate::Network(_) => Self::Networks(gather(members, |predicate| match predicate {
                Predicate::Network(networks) => Some(networks.clone()),
                _ => None,
            })),
            Predicate::Text { place, needles, folded } => Self::Text(Needles {
                place: *place,
                folded: *folded,
                needles: needles
                    .iter()
                    .map(|needle| memmem::Finder::new(needle.as_bytes()).into_owned())
                    .collect(),
            }),
            Predicate::Pattern(pattern) => Self::Pattern {
                regex: pattern.regex.clone(),
                case_insensitive: pattern.case_insensitive,
            },
        })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::In(sets) => sets.bytes(),
            Self::Numbers(list) => size_of_val(&**list),
            Self::Dates(list) => size_of_val(&**list),
            Self::Versions(list) => size_of_val(&**list),
            Self::Networks(list) => {
                size_of_val(&**list) + list.iter().map(Networks::bytes).sum::<usize>()
            }
            Self::Text(needles) => size_of_val(&*needles.needles),
            // What a pattern holds is the library's secret; its source is a floor.
            Self::Pattern { regex, .. } => regex.as_str().len(),
        }
    }
}

fn gather<T>(members: &[&Arc<Definition>], part: impl Fn(&Predicate) -> Option<T>) -> Box<[T]> {
    members.iter().filter_map(|member| part(&member.predicate)).collect()
}

// === impl Needles ===

impl Needles {
    fn found_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.needles.iter().any(|finder| match self.place {
            Place::Start => text.starts_with(finder.needle()),
            Place::End => text.ends_with(finder.needle()),
            Place::Anywhere => finder.find(text).is_some(),
        })
    }
}

// === impl Decided ===

impl Decided {
    /// Forgets everything and makes room for `conditions`.
    pub(in crate::engine) fn reset(&mut self, conditions: &Conditions) {
        let words = conditions.len().div_ceil(64);
        self.known.clear();
        self.known.resize(words, 0);
        self.truth.clear();
        self.truth.resize(words, 0);
        self.lowered_slot = None;
    }

    fn set(&mut self, condition: u32) {
        let (word, bit) = place(condition);
        if let Some(word) = self.truth.get_mut(word) {
            *word |= bit;
        }
    }

    fn mark_known(&mut self, conditions: Range<u32>) {
        let mut at = conditions.start;
        while at < conditions.end {
            let (word, bit) = place(at);
            let end = conditions.end.min((at / 64 + 1) * 64);
            // The bits from `at` up, less those from `end` up where the word goes on beyond it.
            let above = if end.is_multiple_of(64) { 0 } else { u64::MAX << (end % 64) };
            if let Some(word) = self.known.get_mut(word) {
                *word |= bit.wrapping_neg() & !above;
            }
            at = end;
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

#[inline]
fn place(condition: u32) -> (usize, u64) {
    (condition as usize / 64, 1 << (condition % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_a_range_and_no_others_are_marked_known() {
        for range in [0..0, 0..1, 3..64, 5..64, 0..64, 63..65, 64..128, 1..200, 70..70, 127..192] {
            let mut decided = Decided { known: vec![0; 4], ..Decided::default() };
            decided.mark_known(range.clone());
            for condition in 0..256 {
                let (word, bit) = place(condition);
                let known = decided.known[word] & bit != 0;
                assert_eq!(known, range.contains(&condition), "{condition} of {range:?}");
            }
        }
    }
}

//! Value sets: which of many lists hold a value, in one look-up.

use std::sync::Arc;

use ahash::AHashMap;

use super::{
    definition::{Definition, Predicate},
    index::{TextIndex, TextIndexBuilder},
    list::List,
};

/// Which of a slot's lists hold a value: one look-up whatever their number and length.
#[derive(Debug)]
pub(super) struct ValueSets {
    values: TextIndex,
    /// The set of lists that hold each value.
    set_of: Vec<u32>,
    /// Where each set ends in `members`.
    set_ends: Vec<u32>,
    /// Positions of lists within the group.
    members: Vec<u32>,
    /// Where the values of each short list stand; and where each list's end.
    short: Vec<(u32, u32)>,
    short_ends: Vec<u32>,
}

/// Value sets that were built for earlier plans, by the lists they were built from.
#[derive(Debug, Default)]
pub(super) struct ValueCache {
    built: Vec<(Vec<Arc<Definition>>, Arc<ValueSets>)>,
}

/// A list of no more values than this is compared with a value, asked alone, faster than the value is
/// hashed.
const SHORT: usize = 8;

/// The set without members.
const EMPTY: u32 = u32::MAX;

/// Numbers sets of lists. A set is another set and one member more, so that equal sets are one.
#[derive(Debug, Default)]
struct SetBuilder {
    sets: Vec<(u32, u32)>,
    known: AHashMap<(u32, u32), u32>,
}

// === impl SetBuilder ===

impl SetBuilder {
    /// The set of `set`'s members and `member`, which must be above them all.
    fn with(&mut self, set: u32, member: u32) -> u32 {
        *self.known.entry((set, member)).or_insert_with(|| {
            self.sets.push((set, member));
            self.sets.len() as u32 - 1
        })
    }

    /// Numbers the sets in `used` anew, leaving out what only led to them. Returns where each ends
    /// in the members of all, and those.
    fn number_used(&self, used: &mut [u32]) -> (Vec<u32>, Vec<u32>) {
        let mut numbers = vec![EMPTY; self.sets.len()];
        let (mut ends, mut all) = (Vec::new(), Vec::new());
        for set in used {
            let Some(number) = numbers.get_mut(*set as usize) else { continue };
            if *number == EMPTY {
                *number = ends.len() as u32;
                let first = all.len();
                let mut at = *set;
                while let Some(&(rest, member)) = self.sets.get(at as usize) {
                    all.push(member);
                    at = rest;
                }
                if let Some(members) = all.get_mut(first..) {
                    members.reverse();
                }
                ends.push(all.len() as u32);
            }
            *set = *number;
        }
        (ends, all)
    }
}

// === impl ValueCache ===

impl ValueCache {
    /// The value sets of `members`, built if these very lists were not built before.
    pub(super) fn get(&mut self, members: &[&Arc<Definition>]) -> Arc<ValueSets> {
        let is_for = |lists: &[Arc<Definition>]| {
            lists.len() == members.len()
                && lists.iter().zip(members).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        if let Some((_, sets)) = self.built.iter().find(|(lists, _)| is_for(lists)) {
            return Arc::clone(sets);
        }
        let sets = Arc::new(ValueSets::build(members));
        let lists = members.iter().map(|member| Arc::clone(member)).collect();
        self.built.push((lists, Arc::clone(&sets)));
        sets
    }

    /// How many value sets are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.built.len()
    }

    /// Forgets what no plan holds any more.
    pub(super) fn forget_unused(&mut self) {
        self.built.retain(|(_, sets)| Arc::strong_count(sets) > 1);
    }
}

// === impl ValueSets ===

impl ValueSets {
    pub(super) fn build(members: &[&Arc<Definition>]) -> Self {
        let lists = members.iter().filter_map(|member| match &member.predicate {
            Predicate::In(list) => Some(list),
            _ => None,
        });
        let total = lists.clone().map(List::len).sum();
        let mut values = TextIndexBuilder::with_capacity(total);
        let mut sets = SetBuilder::default();
        let mut set_of: Vec<u32> = Vec::with_capacity(total);
        let (mut short, mut short_ends) = (Vec::new(), Vec::with_capacity(members.len()));
        for (member, list) in (0u32..).zip(lists) {
            for (hash, value) in list.iter() {
                let (number, is_new) = values.insert_hashed(hash, value);
                if is_new {
                    set_of.push(sets.with(EMPTY, member));
                } else if let Some(set) = set_of.get_mut(number as usize) {
                    *set = sets.with(*set, member);
                }
                if list.len() <= SHORT {
                    let place = values.place_of(number);
                    short.push((place.start as u32, place.end as u32));
                }
            }
            short_ends.push(short.len() as u32);
        }
        short.shrink_to_fit();
        let (set_ends, members) = sets.number_used(&mut set_of);
        set_of.shrink_to_fit();
        Self { values: values.build(), set_of, set_ends, members, short, short_ends }
    }

    /// The lists that hold `value`, by their position within the group.
    #[inline]
    pub(super) fn holding(&self, value: &[u8]) -> impl Iterator<Item = u32> {
        self.set_with(value).iter().copied()
    }

    /// Whether the list at `position` holds `value`.
    #[inline]
    pub(super) fn is_held(&self, value: &[u8], position: u32) -> bool {
        match ended(&self.short, &self.short_ends, position) {
            [] => self.set_with(value).binary_search(&position).is_ok(),
            short => short
                .iter()
                .any(|&(start, end)| self.values.is_at(start as usize..end as usize, value)),
        }
    }

    /// The lists that hold `value`, in ascending order.
    #[inline]
    fn set_with(&self, value: &[u8]) -> &[u32] {
        let set = self.values.get(value).and_then(|number| self.set_of.get(number as usize));
        set.map_or(&[], |set| ended(&self.members, &self.set_ends, *set))
    }

    /// Whether the list at `position` consists of these values.
    pub(super) fn is_list(&self, position: u32, list: &List) -> bool {
        let held = (0..self.values.len() as u32).filter(|number| {
            self.holding(self.values.text(*number).as_bytes()).any(|list| list == position)
        });
        held.count() == list.len()
            && list
                .iter()
                .all(|(_, value)| self.holding(value.as_bytes()).any(|list| list == position))
    }

    pub(super) fn bytes(&self) -> usize {
        self.values.bytes()
            + 4 * (self.set_of.capacity() + self.set_ends.capacity() + self.members.capacity())
            + 8 * self.short.capacity()
            + 4 * self.short_ends.capacity()
    }
}

/// The part of `all` that ends where the entry at `at` of `ends` says, and begins where the one
/// before it does.
#[inline]
fn ended<'a, T>(all: &'a [T], ends: &[u32], at: u32) -> &'a [T] {
    let start =
        at.checked_sub(1).and_then(|before| ends.get(before as usize)).copied().unwrap_or(0);
    let end = ends.get(at as usize).copied().unwrap_or(start);
    all.get(start as usize..end as usize).unwrap_or(&[])
}

//! Value sets: which of many lists hold a value, in one look-up.

use std::{ops::Range, sync::Arc};

use ahash::AHashMap;

use super::{
    definition::{Definition, Predicate},
    index::{Ends, TextIndex, TextIndexBuilder},
    list::List,
};

/// Which of a slot's lists hold a value: one look-up whatever their number and length.
#[derive(Debug)]
pub(super) struct ValueSets {
    values: TextIndex,
    /// The lists that hold each value, by their positions within the group.
    sets: Sets,
    /// The values of all short lists.
    short: Vec<Short>,
    /// The values of each list by itself, if it is short.
    few: Vec<Few>,
}

/// The values of a short list: asked alone, they are compared with a value faster than it is looked
/// up. Of a long list: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Few {
    /// Where they stand in `short`.
    start: u32,
    end: u32,
    /// The [`mark`] of each.
    marks: u64,
}

/// A value of a short list: its place among the values, and how it begins.
#[derive(Clone, Copy, Debug)]
struct Short {
    start: u32,
    end: u32,
    /// Its first eight bytes, or all that it has.
    first: u64,
}

/// Value sets that were built for earlier plans, by the lists they were built from.
#[derive(Debug, Default)]
pub(super) struct ValueCache {
    built: Vec<(Vec<Arc<Definition>>, Arc<ValueSets>)>,
}

/// A list of no more values than this is short.
const SHORT: usize = 8;

/// Sets of lists, equal ones once.
#[derive(Debug)]
struct Sets {
    /// Of each value.
    of: Vec<u32>,
    /// Where each set begins in `members`, and where the last one ends.
    bounds: Vec<u32>,
    members: Vec<u32>,
}

// === impl Sets ===

impl Sets {
    /// Which of the lists hold each of so many `values`. Lists are as long as `lens` says, and hold
    /// the values of these `numbers`, each of them once, one list behind the other.
    fn new(values: usize, lens: impl Iterator<Item = usize>, numbers: &[u32]) -> Self {
        // First how many lists hold each value, so that their positions can stand side by side.
        let mut ends = vec![0u32; values];
        for number in numbers {
            if let Some(count) = ends.get_mut(*number as usize) {
                *count += 1;
            }
        }
        let mut before = 0;
        for end in &mut ends {
            before += std::mem::replace(end, before);
        }
        let mut holders = vec![0; numbers.len()];
        let mut rest = numbers;
        for (list, len) in (0u32..).zip(lens) {
            let Some((held, behind)) = rest.split_at_checked(len) else { break };
            rest = behind;
            for number in held {
                let Some(end) = ends.get_mut(*number as usize) else { continue };
                if let Some(place) = holders.get_mut(*end as usize) {
                    *place = list;
                }
                *end += 1;
            }
        }
        Self::distinct(&holders, &ends)
    }

    /// The sets that end at `ends` in `all`.
    fn distinct(all: &[u32], ends: &[u32]) -> Self {
        let mut sets =
            Self { of: Vec::with_capacity(ends.len()), bounds: vec![0], members: vec![] };
        let mut known: AHashMap<&[u32], u32> = AHashMap::new();
        let mut start = 0;
        for end in ends {
            let set = all.get(start as usize..*end as usize).unwrap_or(&[]);
            start = *end;
            let number = known.entry(set).or_insert_with(|| {
                sets.members.extend_from_slice(set);
                sets.bounds.push(sets.members.len() as u32);
                sets.bounds.len() as u32 - 2
            });
            sets.of.push(*number);
        }
        sets.bounds.shrink_to_fit();
        sets.members.shrink_to_fit();
        sets
    }

    fn bytes(&self) -> usize {
        4 * (self.of.capacity() + self.bounds.capacity() + self.members.capacity())
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
        let lens = lists.clone().map(List::len);
        // Many lists hold the same values.
        let mut values = TextIndexBuilder::with_capacity(lens.clone().max().unwrap_or_default());
        let mut numbers = Vec::with_capacity(lens.clone().sum());
        let (mut short, mut few) = (Vec::new(), Vec::with_capacity(members.len()));
        for list in lists {
            let (start, mut marks) = (short.len() as u32, 0);
            for (hash, value) in list.iter() {
                let number = values.insert_hashed(hash, value);
                numbers.push(number);
                if list.len() <= SHORT {
                    let value = Short::new(values.place_of(number), value);
                    marks |= mark(value.first);
                    short.push(value);
                }
            }
            few.push(Few { start, end: short.len() as u32, marks });
        }
        short.shrink_to_fit();
        let values = values.build();
        let sets = Sets::new(values.len(), lens, &numbers);
        Self { values, sets, short, few }
    }

    /// The lists that hold `value`, by their position within the group.
    #[inline]
    pub(super) fn holding(&self, value: &[u8]) -> impl Iterator<Item = u32> {
        self.set_with(value).iter().copied()
    }

    /// The values of the list at `position`, if it is short.
    pub(super) fn few(&self, position: u32) -> Few {
        self.few.get(position as usize).copied().unwrap_or_default()
    }

    /// Whether `value`, whose first ends are `first`, is one of the few.
    pub(super) fn are(&self, few: Few, value: &[u8], first: u64) -> bool {
        let short = self.short.get(few.start as usize..few.end as usize).unwrap_or(&[]);
        short.iter().any(|short| {
            short.first == first
                && short.len() == value.len()
                && (value.len() <= size_of_val(&first) || self.values.is_at(short.place(), value))
        })
    }

    /// Whether the list at `position` holds `value`.
    pub(super) fn is_held(&self, value: &[u8], position: u32) -> bool {
        self.set_with(value).binary_search(&position).is_ok()
    }

    /// The lists that hold `value`, in ascending order.
    #[inline]
    fn set_with(&self, value: &[u8]) -> &[u32] {
        let sets = &self.sets;
        let set = self.values.get(value).and_then(|number| sets.of.get(number as usize));
        set.map_or(&[], |set| part(&sets.members, &sets.bounds, *set))
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
            + self.sets.bytes()
            + size_of::<Short>() * self.short.capacity()
            + size_of::<Few>() * self.few.capacity()
    }
}

// === impl Few ===

impl Few {
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether a value that begins with `first` can be one of them: most are told apart here.
    #[inline]
    pub(super) fn can_be(self, first: u64) -> bool {
        self.marks & mark(first) != 0
    }
}

// === impl Short ===

impl Short {
    fn new(place: Range<usize>, value: &str) -> Self {
        let first = Ends::of(value.as_bytes()).first;
        Self { start: place.start as u32, end: place.end as u32, first }
    }

    #[inline]
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    fn place(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One bit of 64 for a value that begins so: most values that a short list lacks have another than
/// any that it holds.
#[inline]
fn mark(first: u64) -> u64 {
    1 << (first.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

/// The part of `all` that begins where the entry at `at` of `bounds` says, and ends where the next
/// one does.
#[inline]
pub(super) fn part<'a, T>(all: &'a [T], bounds: &[u32], at: u32) -> &'a [T] {
    let bounds = bounds.get(at as usize..).and_then(<[u32]>::first_chunk);
    bounds.and_then(|&[start, end]| all.get(start as usize..end as usize)).unwrap_or(&[])
}

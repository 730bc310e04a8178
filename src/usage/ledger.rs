//! Sums of what was counted for one environment, and how much there is room for. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Count,
    impact::{Impact, ImpactKey},
};

pub(super) const HOUR_MILLIS: i64 = 3_600_000;
/// Sums stop here: the largest whole number that upstream, written in JavaScript, keeps exactly.
pub(super) const MOST: u64 = (1 << 53) - 1;
/// Sums kept for one environment, those of variants among them.
const MAX_ENTRIES: usize = 100_000;
/// Their names and samples.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Unleash's own names have at most 255 letters.
const MAX_NAME_BYTES: usize = 1024;
/// Longest registration or sample.
const MAX_ITEM_BYTES: usize = 16 * 1024;
/// What an entry takes beside its names.
const ENTRY_BYTES: usize = 64;

/// What was counted, and not confirmed by upstream yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    // Sorted, so that equal counts leave in equal bodies.
    counts: BTreeMap<CountKey, Tally>,
    impacts: BTreeMap<(Box<str>, ImpactKey), Impact>,
    applications: BTreeMap<(Box<str>, Box<str>), Map<String, Value>>,
    entries: usize,
    bytes: usize,
    /// Items there was no room for, since they were last asked for.
    turned_away: u64,
}

/// Whose counts of what, when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CountKey {
    pub(super) app: Box<str>,
    /// Hours since 1970.
    pub(super) hour: i64,
    pub(super) toggle: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) yes: u64,
    pub(super) no: u64,
    pub(super) variants: BTreeMap<Box<str>, u64>,
}

/// What goes in, and comes out added up.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Count(CountKey, Tally),
    /// An application's sample.
    Impact(Box<str>, Impact),
    /// A registration, by application and instance.
    Application((Box<str>, Box<str>), Map<String, Value>),
}

/// Which sum an item adds to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ItemKey {
    Count(CountKey),
    Impact(Box<str>, ImpactKey),
    Application(Box<str>, Box<str>),
}

// === impl Ledger ===

impl Ledger {
    /// Adds `item` to what is there, as far as there is room.
    pub(super) fn add(&mut self, item: Item) {
        match item {
            Item::Count(key, tally) => self.add_count(key, tally),
            Item::Impact(app, impact) => self.add_impact(app, impact),
            Item::Application(key, body) => {
                let bytes = Value::Object(body.clone()).to_string().len();
                let fits = bytes <= MAX_ITEM_BYTES && key.0.len() <= MAX_NAME_BYTES;
                if fits && (self.applications.contains_key(&key) || self.make_room(bytes)) {
                    self.applications.insert(key, body);
                } else {
                    self.turn_away(1);
                }
            }
        }
    }

    /// Everything, in order. What was turned away stays counted.
    pub(super) fn take(&mut self) -> Vec<Item> {
        let Self { counts, impacts, applications, turned_away, .. } = std::mem::take(self);
        self.turned_away = turned_away;
        let applications = applications.into_iter().map(|(key, body)| Item::Application(key, body));
        let counts = counts.into_iter().map(|(key, tally)| Item::Count(key, tally));
        let impacts = impacts.into_iter().map(|((app, _), impact)| Item::Impact(app, impact));
        applications.chain(counts).chain(impacts).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len() + self.impacts.len() + self.applications.len()
    }

    /// How many items were turned away since this was last asked.
    pub(super) fn take_turned_away(&mut self) -> u64 {
        std::mem::take(&mut self.turned_away)
    }

    pub(super) fn turn_away(&mut self, items: u64) {
        self.turned_away = self.turned_away.saturating_add(items);
    }

    fn add_count(&mut self, key: CountKey, tally: Tally) {
        if tally == Tally::default() {
            return;
        }
        let names = [&key.app, &key.toggle];
        if names.iter().any(|name| name.len() > MAX_NAME_BYTES) {
            return self.turn_away(1);
        }
        if !self.counts.contains_key(&key) {
            if !self.make_room(key.app.len() + key.toggle.len()) {
                return self.turn_away(1);
            }
            self.counts.insert(key.clone(), Tally::default());
        }
        let (mut room, mut turned_away) = (Vec::new(), 0);
        let Some(known) = self.counts.get(&key) else { return };
        for (name, count) in tally.variants {
            let (is_known, fits) =
                (known.variants.contains_key(&name), name.len() <= MAX_NAME_BYTES);
            room.push((name, count, is_known, fits));
        }
        let mut variants = Vec::new();
        for (name, count, is_known, fits) in room {
            if is_known || (fits && self.make_room(name.len())) {
                variants.push((name, count));
            } else {
                turned_away += 1;
            }
        }
        self.turn_away(turned_away);
        let Some(sums) = self.counts.get_mut(&key) else { return };
        sums.yes = plus(sums.yes, tally.yes);
        sums.no = plus(sums.no, tally.no);
        for (name, count) in variants {
            let sum = sums.variants.entry(name).or_default();
            *sum = plus(*sum, count);
        }
    }

    fn add_impact(&mut self, app: Box<str>, impact: Impact) {
        let bytes = impact.bytes();
        let key = (app, impact.key());
        if let Some(known) = self.impacts.get_mut(&key) {
            known.add(impact);
        } else if bytes <= MAX_ITEM_BYTES && key.0.len() <= MAX_NAME_BYTES && self.make_room(bytes)
        {
            self.impacts.insert(key, impact);
        } else {
            self.turn_away(1);
        }
    }

    /// Books one more entry, where there is room for it.
    fn make_room(&mut self, bytes: usize) -> bool {
        let bytes = self.bytes + bytes + ENTRY_BYTES;
        if self.entries >= MAX_ENTRIES || bytes > MAX_BYTES {
            return false;
        }
        self.entries += 1;
        self.bytes = bytes;
        true
    }
}

// === impl Item ===

impl Item {
    pub(super) fn key(&self) -> ItemKey {
        match self {
            Self::Count(key, _) => ItemKey::Count(key.clone()),
            Self::Impact(app, impact) => ItemKey::Impact(app.clone(), impact.key()),
            Self::Application((app, instance), _) => {
                ItemKey::Application(app.clone(), instance.clone())
            }
        }
    }

    pub(super) fn count(app: &str, hour: i64, count: Count) -> Self {
        let mut tally = Tally { yes: count.yes, no: count.no, ..Tally::default() };
        for (name, count) in count.variants {
            let sum = tally.variants.entry(name).or_default();
            *sum = plus(*sum, count);
        }
        Self::Count(CountKey { app: app.into(), hour, toggle: count.toggle }, tally)
    }
}

fn plus(sum: u64, more: u64) -> u64 {
    sum.saturating_add(more).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(toggle: &str, yes: u64, variants: &[(&str, u64)]) -> Item {
        let variants = variants.iter().map(|&(name, count)| (name.into(), count)).collect();
        Item::count("app", 1, Count { toggle: toggle.into(), yes, no: 1, variants })
    }

    #[test]
    fn equal_keys_add_up_and_what_was_taken_can_be_put_back() {
        let mut ledger = Ledger::default();
        ledger.add(count("a", 2, &[("x", 1), ("x", 1)]));
        let taken = ledger.take();
        assert_eq!(ledger.len(), 0);
        ledger.add(count("a", 3, &[("y", 5)]));
        taken.into_iter().for_each(|item| ledger.add(item));
        let Item::Count(_, tally) = &ledger.take()[0] else { panic!("no count") };
        assert_eq!((tally.yes, tally.no), (5, 2));
        assert_eq!(tally.variants, BTreeMap::from([("x".into(), 2), ("y".into(), 5)]));
    }

    #[test]
    fn sums_stop_at_the_most_upstream_keeps_exactly() {
        let mut ledger = Ledger::default();
        ledger.add(count("a", MOST, &[("x", u64::MAX), ("x", 1)]));
        ledger.add(count("a", 1, &[("x", 1)]));
        let Item::Count(_, tally) = &ledger.take()[0] else { panic!("no count") };
        assert_eq!((tally.yes, tally.no, tally.variants["x"]), (MOST, 2, MOST));
    }

    #[test]
    fn names_are_data_and_nothing_counted_is_no_entry() {
        let mut ledger = Ledger::default();
        for name in ["__proto__", "constructor", "", "snø ❄", "a\"b\\"] {
            ledger.add(count(name, 1, &[(name, 1)]));
        }
        assert_eq!(ledger.len(), 5);
        ledger.add(Item::Count(
            CountKey { app: "app".into(), hour: 1, toggle: "z".into() },
            Tally::default(),
        ));
        assert_eq!((ledger.len(), ledger.take_turned_away()), (5, 0));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_known_keys_go_on() {
        let mut ledger = Ledger::default();
        for at in 0..MAX_ENTRIES + 10 {
            ledger.add(count(&at.to_string(), 1, &[]));
        }
        assert_eq!((ledger.len(), ledger.take_turned_away()), (MAX_ENTRIES, 10));
        ledger.add(count("0", 1, &[]));
        assert_eq!(ledger.take_turned_away(), 0);
        ledger.add(count("0", 1, &[("new", 1)]));
        assert_eq!(ledger.take_turned_away(), 1);
        drop(ledger.take());
        ledger.add(count(&"x".repeat(MAX_NAME_BYTES + 1), 1, &[]));
        assert_eq!((ledger.len(), ledger.take_turned_away()), (0, 1));
    }

    #[test]
    fn long_names_are_bounded_by_their_bytes() {
        let mut ledger = Ledger::default();
        for at in 0..20_000 {
            ledger.add(count(&format!("{at:01000}"), 1, &[]));
        }
        assert!(ledger.len() * 1000 <= MAX_BYTES);
        assert!(ledger.take_turned_away() > 0);
    }
}

//! The counts of one environment, and where they go.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    batch::Dialect,
    ledger::{Item, ItemKey, Ledger},
    now_millis,
    pace::{Pace, Say, Trouble},
};
use crate::{token::Token, upstream::UpstreamError};

/// So often an item is refused by itself before it is dropped.
const MAX_REFUSALS: u32 = 5;

/// The counts of one environment, and where they go.
pub(super) struct Outlet {
    pub(super) dialect: Dialect,
    /// Any of them will do; the next one is taken when upstream refuses one.
    pub(super) tokens: Vec<Token>,
    pub(super) token: usize,
    pub(super) ledger: Ledger,
    /// When the oldest count in the ledger came, in Unix milliseconds.
    pub(super) since: i64,
    pub(super) pace: Pace,
    /// Items on their way upstream; 0 where none are.
    pub(super) under_way: usize,
    pub(super) timer: Option<actix::SpawnHandle>,
    /// How often upstream refused an item by itself, in a row.
    refusals: BTreeMap<ItemKey, u32>,
}

// === impl Outlet ===

impl Outlet {
    pub(super) fn new(dialect: Dialect, token: Token, pace: Pace) -> Self {
        Self {
            dialect,
            tokens: vec![token],
            token: 0,
            ledger: Ledger::default(),
            since: now_millis(),
            pace,
            under_way: 0,
            timer: None,
            refusals: BTreeMap::new(),
        }
    }

    pub(super) fn serves(&self, environment: &str) -> bool {
        match &self.dialect {
            Dialect::Proxy => true,
            Dialect::Bulk { environment: own } => **own == *environment,
        }
    }

    fn environment(&self) -> &str {
        match &self.dialect {
            Dialect::Proxy => "",
            Dialect::Bulk { environment } => environment,
        }
    }

    pub(super) fn add(&mut self, item: Item) {
        if self.ledger.len() == 0 {
            self.since = now_millis();
        }
        self.ledger.add(item);
    }

    /// Takes back what a report left: `unsent`, and `refused` as long as there is hope for it.
    pub(super) fn take_back(&mut self, unsent: Vec<Item>, refused: Vec<Item>) {
        if unsent.is_empty() && refused.is_empty() {
            return self.refusals.clear();
        }
        let before = std::mem::take(&mut self.refusals);
        let tried: BTreeSet<ItemKey> = refused.iter().map(Item::key).collect();
        let mut dropped = 0;
        for item in refused {
            let key = item.key();
            let times = before.get(&key).map_or(1, |times| times + 1);
            if times >= MAX_REFUSALS {
                dropped += 1;
            } else {
                self.refusals.insert(key, times);
                self.add(item);
            }
        }
        if !unsent.is_empty() {
            // Not all were tried: what was known of the others is known still.
            self.refusals.extend(before.into_iter().filter(|(key, _)| !tried.contains(key)));
        }
        unsent.into_iter().for_each(|item| self.add(item));
        if dropped > 0 {
            self.ledger.turn_away(dropped);
            tracing::error!(
                dropped,
                environment = self.environment(),
                "{dropped} sums of usage are dropped: upstream refused each of them by itself \
                 {MAX_REFUSALS} times in a row"
            );
        }
    }

    pub(super) fn say(&self, say: Option<Say>, err: Option<&UpstreamError>) {
        let environment = self.environment();
        let kept = self.ledger.len();
        match (say, err) {
            (Some(Say::Trouble(Trouble::Absent)), Some(_)) => tracing::warn!(
                environment,
                "upstream has no place for usage reports (404): kept within bounds, and tried \
                 again with back-off"
            ),
            (Some(Say::Trouble(Trouble::Refused)), Some(err)) => tracing::error!(
                environment,
                "upstream refuses our token for usage reports: {err}; {kept} sums are kept, trying \
                 again with back-off"
            ),
            (Some(Say::Trouble(Trouble::Failed)), Some(err)) => tracing::warn!(
                environment,
                "usage was not reported: {err}; {kept} sums are kept, trying again with back-off"
            ),
            (Some(Say::Recovered), _) => {
                tracing::warn!(environment, "usage is reported upstream again");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::usage::Count;

    fn item(toggle: &str) -> Item {
        Item::count("app", 0, Count { toggle: toggle.into(), yes: 1, ..Count::default() })
    }

    #[test]
    fn an_item_that_is_refused_again_and_again_is_dropped_and_counted() {
        let pace = Pace::new(Duration::from_secs(1), Duration::ZERO);
        let mut outlet = Outlet::new(Dialect::Proxy, Token::new("t"), pace);
        for time in 1..MAX_REFUSALS {
            outlet.take_back(Vec::new(), vec![item("bad")]);
            assert_eq!(outlet.ledger.take().len(), 1, "time {time}");
            assert_eq!(outlet.ledger.take_turned_away(), 0);
        }
        outlet.take_back(vec![item("good")], vec![item("bad")]);
        assert_eq!(outlet.ledger.take(), [item("good")]);
        assert_eq!(outlet.ledger.take_turned_away(), 1);
    }

    #[test]
    fn an_item_that_was_taken_meanwhile_starts_anew_and_one_that_was_not_tried_does_not() {
        let pace = Pace::new(Duration::from_secs(1), Duration::ZERO);
        let mut outlet = Outlet::new(Dialect::Proxy, Token::new("t"), pace);
        for _ in 0..20 {
            outlet.take_back(Vec::new(), vec![item("bad")]);
            outlet.take_back(Vec::new(), Vec::new());
        }
        assert_eq!(outlet.ledger.take_turned_away(), 0);
        for _ in 1..MAX_REFUSALS {
            outlet.take_back(Vec::new(), vec![item("bad")]);
            outlet.take_back(vec![item("bad")], Vec::new());
        }
        assert_eq!(outlet.ledger.take_turned_away(), 0);
        outlet.take_back(Vec::new(), vec![item("bad")]);
        assert_eq!(outlet.ledger.take_turned_away(), 1);
    }
}

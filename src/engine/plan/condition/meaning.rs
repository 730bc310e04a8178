//! What a numbered condition asks, for whoever explains a plan: the definitions themselves are not
//! kept.

use super::{
    Conditions,
    form::{Form, Needles},
};
use crate::engine::plan::{SlotId, definition::Predicate};

// === impl Conditions ===

impl Conditions {
    /// Whether `condition` asks `predicate` of `slot`.
    pub(in crate::engine::plan) fn asks(
        &self,
        condition: u32,
        slot: SlotId,
        predicate: &Predicate,
    ) -> bool {
        let home = self.homes.get(condition as usize);
        home.and_then(|home| self.groups.get(home.group as usize)).is_some_and(|group| {
            group.slot == slot && group.form.asks(condition - group.first, predicate)
        })
    }
}

// === impl Form ===

impl Form {
    fn asks(&self, member: u32, predicate: &Predicate) -> bool {
        let at = member as usize;
        match (self, predicate) {
            (Self::In(sets), Predicate::In(values)) => sets.is_list(member, values),
            (Self::Numbers(list), Predicate::Number(comparison, number)) => {
                list.get(at) == Some(&(*comparison, number.0))
            }
            (Self::Dates(list), Predicate::Date(comparison, instant)) => {
                list.get(at) == Some(&(*comparison, *instant))
            }
            (Self::Versions(list), Predicate::Version(comparison, version)) => {
                list.get(at).is_some_and(|(c, v)| (c, v) == (comparison, version))
            }
            (Self::Networks(list), Predicate::Network(networks)) => list.get(at) == Some(networks),
            (Self::Text(held), Predicate::Text { place, needles, folded }) => {
                (held.place, held.folded) == (*place, *folded) && held.are(needles)
            }
            (Self::Pattern { regex, case_insensitive }, Predicate::Pattern(pattern)) => {
                *case_insensitive == pattern.case_insensitive
                    && regex.as_str() == pattern.regex.as_str()
            }
            _ => false,
        }
    }
}

// === impl Needles ===

impl Needles {
    fn are(&self, texts: &[Box<str>]) -> bool {
        let held = self.needles.iter().map(|finder| finder.needle());
        held.eq(texts.iter().map(|text| text.as_bytes()))
    }
}

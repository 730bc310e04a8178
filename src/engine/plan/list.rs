//! The values of one list: sorted and distinct.

use std::hash::{Hash, Hasher};

use super::index::hash;
use crate::engine::model::{Numbers, Texts};

/// Values that a condition compares with: texts that the feature holds too, and their order.
// Two bytes a value, or four. The hashes would be eight more, and are made again in less time than
// it takes to look one up.
#[derive(Debug)]
pub(super) struct List {
    texts: Texts,
    // In order of the hashes, so that equal lists are equal whatever order they came in, and that an
    // index which places by the highest bits is filled from front to back.
    order: Numbers,
    /// Of all of them together.
    hash: u64,
}

// === impl List ===

impl List {
    pub(super) fn new(texts: Texts) -> Self {
        let mut keyed: Vec<(u64, u32)> =
            (0..).zip(texts.iter()).map(|(number, text)| (hash(text.as_bytes()), number)).collect();
        keyed.sort_unstable_by(|(a, one), (b, other)| {
            a.cmp(b).then_with(|| texts.get(*one).cmp(texts.get(*other)))
        });
        keyed.dedup_by(|(a, one), (b, other)| a == b && texts.get(*one) == texts.get(*other));
        let hash = keyed.iter().fold(keyed.len() as u64, |all, (hash, _)| {
            (all.rotate_left(23) ^ hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        let order: Vec<u32> = keyed.into_iter().map(|(_, number)| number).collect();
        Self { texts, order: order.as_slice().into(), hash }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Each value with its [`hash`].
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        self.values().map(|value| (hash(value.as_bytes()), value))
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(|number| self.texts.get(number))
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.values().eq(other.values())
    }
}

impl Eq for List {}

impl Hash for List {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use ahash::RandomState;

    use super::*;

    #[test]
    fn lists_of_the_same_values_are_equal_whatever_their_order_and_however_often_they_came() {
        let list = |values: &[&str]| List::new(values.iter().collect());
        let hashed = |list: &List| RandomState::with_seeds(1, 2, 3, 4).hash_one(list);
        let one = list(&["b", "", "a", "é", "a value that is longer than two words"]);
        let other = list(&["a value that is longer than two words", "a", "", "b", "a", "é", "b"]);
        assert_eq!(one, other);
        assert_eq!((one.len(), hashed(&one)), (5, hashed(&other)));
        for values in [&["b"][..], &["a", "b"], &["b", "", "a", "é"], &[]] {
            assert_ne!(one, list(values), "{values:?}");
        }
        assert!(list(&[]).is_empty() && !list(&[""]).is_empty());
    }

    #[test]
    fn values_come_with_their_hashes_and_in_the_order_of_those() {
        let list = List::new((0..1_000).map(|number| (number % 700).to_string()).collect());
        let found: Vec<(u64, &str)> = list.iter().collect();
        assert_eq!(found.len(), 700);
        assert!(found.is_sorted());
        assert!(found.iter().all(|(hashed, value)| *hashed == hash(value.as_bytes())));
    }
}

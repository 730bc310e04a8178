//! Conjunctions: literals that a flag asks for together, known as one before the flags are listed.

use ahash::AHashMap;

use super::{
    condition::{Decided, Truth},
    values::part,
};

/// The conjunctions of a plan, numbered behind its conditions so that a literal may stand for either.
#[derive(Debug, Default)]
pub(in crate::engine) struct Conjunctions {
    /// The number of the first.
    first: u32,
    literals: Vec<u32>,
    /// Where each begins in `literals`, and where the last one ends.
    bounds: Vec<u32>,
}

/// Numbers conjunctions, equal ones once: many flags ask for the same few things together.
#[derive(Debug)]
pub(super) struct ConjunctionsBuilder {
    built: Conjunctions,
    /// The number of each, by its literals in ascending order.
    known: AHashMap<Box<[u32]>, u32>,
}

// === impl ConjunctionsBuilder ===

impl ConjunctionsBuilder {
    /// None yet; the first will have the number `first`.
    pub(super) fn behind(first: u32) -> Self {
        let built = Conjunctions { first, literals: Vec::new(), bounds: vec![0] };
        Self { built, known: AHashMap::new() }
    }

    /// The literal that holds where all of `literals` do.
    pub(super) fn literal_of(&mut self, literals: &[u32]) -> u32 {
        // In whatever order they are asked for, and however often.
        let mut literals = literals.to_vec();
        literals.sort_unstable();
        literals.dedup();
        if let [literal] = *literals {
            return literal;
        }
        let built = &mut self.built;
        let number = self.known.entry(literals.into()).or_insert_with_key(|literals| {
            let number = built.first + built.len();
            built.literals.extend_from_slice(literals);
            built.bounds.push(built.literals.len() as u32);
            number
        });
        *number << 1
    }

    pub(super) fn build(self) -> Conjunctions {
        let mut built = self.built;
        built.literals.shrink_to_fit();
        built.bounds.shrink_to_fit();
        built
    }
}

// === impl Conjunctions ===

impl Conjunctions {
    fn len(&self) -> u32 {
        (self.bounds.len() as u32).saturating_sub(1)
    }

    /// What a literal stands for: those of its conjunction, or itself.
    pub(in crate::engine) fn literals_of<'l>(&'l self, literal: &'l u32) -> &'l [u32] {
        match (literal >> 1).checked_sub(self.first) {
            Some(at) if at < self.len() => part(&self.literals, &self.bounds, at),
            // A condition's; a number that is nobody's is a condition that fails.
            _ => std::slice::from_ref(literal),
        }
    }

    /// Says of each what is known of its literals: it fails with any of them, holds with all of them,
    /// and is open otherwise.
    pub(in crate::engine) fn decide(&self, decided: &mut Decided) {
        for at in 0..self.len() {
            let literals = part(&self.literals, &self.bounds, at).iter();
            let known = literals.map(|literal| decided.truth(literal >> 1).seen_by(*literal));
            decided.append(known.fold(Truth::Holds, Truth::min));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        4 * (self.literals.capacity() + self.bounds.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conjunction_fails_with_any_holds_with_all_and_is_open_otherwise() {
        const TRUTHS: [Truth; 3] = [Truth::Fails, Truth::Holds, Truth::Open];
        let mut conjunctions = ConjunctionsBuilder::behind(3);
        let both = conjunctions.literal_of(&[0, 2]);
        let but_the_second = conjunctions.literal_of(&[3, 0]);
        let conjunctions = conjunctions.build();
        assert_eq!((both, but_the_second), (3 << 1, 4 << 1));
        assert_eq!(conjunctions.literals_of(&both), [0, 2]);
        assert_eq!(conjunctions.literals_of(&but_the_second), [0, 3]);
        assert_eq!(conjunctions.literals_of(&5), [5]);
        assert_eq!(conjunctions.literals_of(&(5 << 1)), [5 << 1], "nobody's");
        let seen = |truth: Truth| match truth {
            Truth::Fails => Truth::Holds,
            Truth::Holds => Truth::Fails,
            Truth::Open => Truth::Open,
        };
        let expected = |one: Truth, other: Truth| match (one, other) {
            (Truth::Fails, _) | (_, Truth::Fails) => Truth::Fails,
            (Truth::Holds, Truth::Holds) => Truth::Holds,
            _ => Truth::Open,
        };
        for one in TRUTHS {
            for other in TRUTHS {
                let mut decided = Decided::default();
                [one, other, Truth::Holds].into_iter().for_each(|truth| decided.append(truth));
                conjunctions.decide(&mut decided);
                assert_eq!(decided.truth(3), expected(one, other), "{one:?} {other:?}");
                assert_eq!(decided.truth(4), expected(one, seen(other)), "{one:?} not {other:?}");
            }
        }
    }

    #[test]
    fn equal_conjunctions_are_one() {
        let mut conjunctions = ConjunctionsBuilder::behind(3);
        let both = conjunctions.literal_of(&[0, 2]);
        assert_ne!(conjunctions.literal_of(&[0, 3]), both);
        assert_eq!(conjunctions.literal_of(&[2, 0, 2]), both, "in any order, however often");
        assert_eq!(conjunctions.literal_of(&[4, 4]), 4, "one literal stands for itself");
        assert_eq!(conjunctions.build().len(), 2);
    }
}

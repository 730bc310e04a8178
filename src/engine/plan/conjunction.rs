//! Conjunctions: literals that a flag asks for together, known as one before the flags are listed.

use ahash::AHashMap;

use super::condition::Decided;

/// The conjunctions of a plan, each of two literals, and a literal itself: of three and more one is
/// made of another.
#[derive(Debug, Default)]
pub(in crate::engine) struct Conjunctions {
    /// The literal that the first one is.
    first: u32,
    // INVARIANT: none is made of one that stands behind it.
    pairs: Vec<[u32; 2]>,
}

/// Numbers conjunctions, equal ones once: many flags ask for the same few things together.
#[derive(Debug)]
pub(super) struct ConjunctionsBuilder {
    built: Conjunctions,
    known: AHashMap<[u32; 2], u32>,
    /// The literal that always holds.
    always: u32,
}

// === impl ConjunctionsBuilder ===

impl ConjunctionsBuilder {
    /// None yet; the first will be the literal `first`, and those behind it the ones behind that.
    pub(super) fn behind(first: u32, always: u32) -> Self {
        let built = Conjunctions { first, pairs: Vec::new() };
        Self { built, known: AHashMap::new(), always }
    }

    /// Two literals that hold together where all of `literals` do. These are taken.
    pub(super) fn two_of(&mut self, literals: &mut Vec<u32>) -> [u32; 2] {
        if literals.len() > 2 {
            // In whatever order they are asked for, and however often.
            literals.sort_unstable();
            literals.dedup();
        }
        // By halves, so that the way to each of a thousand is ten steps.
        while literals.len() > 2 {
            for to in 0..literals.len().div_ceil(2) {
                let literal = match literals.get(2 * to..).unwrap_or_default() {
                    [one, other, ..] => self.literal_of([*one, *other]),
                    [one] => *one,
                    [] => self.always,
                };
                if let Some(place) = literals.get_mut(to) {
                    *place = literal;
                }
            }
            literals.truncate(literals.len().div_ceil(2));
        }
        match *literals.as_slice() {
            [one, other] => [one, other],
            [one] => [one, self.always],
            _ => [self.always; 2],
        }
    }

    fn literal_of(&mut self, pair: [u32; 2]) -> u32 {
        let built = &mut self.built;
        *self.known.entry(pair).or_insert_with(|| {
            built.pairs.push(pair);
            built.first + built.pairs.len() as u32 - 1
        })
    }

    pub(super) fn build(self) -> Conjunctions {
        let mut built = self.built;
        built.pairs.shrink_to_fit();
        built
    }
}

// === impl Conjunctions ===

impl Conjunctions {
    /// The two that a literal stands for, if it is a conjunction.
    pub(in crate::engine) fn pair(&self, literal: u32) -> Option<[u32; 2]> {
        self.pairs.get(literal.checked_sub(self.first)? as usize).copied()
    }

    /// Appends what is known of each to what is known of the literals before them.
    pub(in crate::engine) fn decide(&self, decided: &mut Decided) {
        decided.append_pairs(&self.pairs);
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<[u32; 2]>() * self.pairs.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::Truth;

    const ALWAYS: u32 = 9;

    fn builder() -> ConjunctionsBuilder {
        ConjunctionsBuilder::behind(10, ALWAYS)
    }

    /// The literals that one stands for in the end.
    fn spelled(conjunctions: &Conjunctions, literal: u32) -> Vec<u32> {
        match conjunctions.pair(literal) {
            Some(pair) => pair.iter().flat_map(|one| spelled(conjunctions, *one)).collect(),
            None => vec![literal],
        }
    }

    #[test]
    fn however_many_literals_come_down_to_two() {
        for count in 0..40 {
            let literals: Vec<u32> = (100..100 + count).rev().collect();
            let mut builder = builder();
            let two = builder.two_of(&mut literals.clone());
            let built = builder.build();
            let mut all: Vec<u32> =
                two.iter().flat_map(|literal| spelled(&built, *literal)).collect();
            all.retain(|literal| *literal != ALWAYS);
            all.sort_unstable();
            assert_eq!(all, (100..100 + count).collect::<Vec<u32>>());
            for (at, pair) in built.pairs.iter().enumerate() {
                let own = 10 + at as u32;
                assert!(pair.iter().all(|literal| *literal < own || *literal >= 100), "{pair:?}");
            }
        }
    }

    #[test]
    fn a_conjunction_fails_with_any_holds_with_all_and_is_open_otherwise() {
        const TRUTHS: [Truth; 3] = [Truth::FAILS, Truth::HOLDS, Truth::OPEN];
        let mut builder = ConjunctionsBuilder::behind(3, 2);
        let [three, _] = builder.two_of(&mut vec![0, 1, 2]);
        let conjunctions = builder.build();
        assert_eq!((three, conjunctions.pair(three)), (3, Some([0, 1])), "and the third one");
        let expected = |one: Truth, other: Truth| match (one, other) {
            (Truth::FAILS, _) | (_, Truth::FAILS) => Truth::FAILS,
            (Truth::HOLDS, Truth::HOLDS) => Truth::HOLDS,
            _ => Truth::OPEN,
        };
        for one in TRUTHS {
            for other in TRUTHS {
                let mut decided = Decided::default();
                [one, other, Truth::HOLDS].into_iter().for_each(|truth| decided.append(truth));
                conjunctions.decide(&mut decided);
                assert_eq!(decided.truth(three), expected(one, other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn equal_conjunctions_are_one() {
        let mut builder = builder();
        let two = builder.two_of(&mut vec![0, 2, 4]);
        assert_eq!(builder.two_of(&mut vec![4, 2, 0, 2]), two, "in any order, however often");
        assert_ne!(builder.two_of(&mut vec![0, 3, 4]), two);
        assert_eq!(builder.two_of(&mut vec![4]), [4, ALWAYS], "one literal stands for itself");
        assert_eq!(builder.build().pairs.len(), 2);
    }
}

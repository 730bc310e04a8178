//! The buckets of all rollouts of a plan, in one pass.
//!
//! Rollouts that stick to the same field hash the same identifier, each behind a prefix of its own.
//! That is done for eight in step, by the widest vectors that the processor has: what the prefix
//! left of its last block moves the identifier's words by as many bytes, in each lane by its own.

use fearless_simd::{Level, dispatch, prelude::*, u32x8};

use super::{FINISH, Prefix, SCRAMBLE, TURN};
use crate::engine::{
    context::Context,
    plan::{Key, Share, SlotId},
};

const LANES: usize = 8;
/// What MurmurHash3 takes at once, in bytes.
const BLOCK: u32 = 4;
/// How many buckets a rollout has.
const HUNDRED: u32 = 100;

/// Where a caller stands among the hundred of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// In one byte, as a request has one for every rollout.
pub(in crate::engine) struct Bucket(u8);

/// The rollouts of a plan, numbered so that those of one field are neighbours.
#[derive(Debug, Default)]
pub(in crate::engine) struct Rollouts {
    lanes: Vec<Lanes>,
}

/// Eight rollouts that stick to one field. Places without a rollout repeat one.
#[derive(Debug)]
struct Lanes {
    key: Key,
    states: [u32; LANES],
    residues: [u32; LANES],
    lens: [u32; LANES],
}

/// An identifier as it is hashed. Kept by the caller between requests.
#[derive(Debug, Default)]
pub(in crate::engine) struct Words {
    /// Its whole words.
    whole: Vec<u32>,
    /// The bytes behind them, at most three, the first one lowest.
    rest: u32,
    len: u32,
}

// === impl Bucket ===

impl Bucket {
    /// Chance decides, as a caller has nothing to stick to.
    const CHANCE: Self = Self(0);
    /// Among any share.
    const FIRST: Self = Self(1);
    /// Never among the share: a caller lacks the field that a rollout sticks to.
    pub(in crate::engine) const NONE: Self = Self(u8::MAX);

    /// Whether chance decides, as a caller has nothing to stick to.
    #[inline(always)]
    pub(in crate::engine) fn is_by_chance(self) -> bool {
        self == Self::CHANCE
    }

    /// Whether it is within a share of `percent` of 100, once it is not by chance.
    #[inline(always)]
    pub(in crate::engine) fn is_within(self, percent: u8) -> bool {
        self.0 <= percent
    }

    /// From 1 to 100. `None` for a caller without the field that a rollout sticks to.
    pub(in crate::engine) fn number(self, by_chance: impl FnOnce() -> u32) -> Option<u32> {
        match self {
            Self::CHANCE => Some(by_chance()),
            Self::NONE => None,
            Self(bucket) => Some(bucket.into()),
        }
    }

    #[inline]
    fn of(hash: u32) -> Self {
        // At most 100.
        Self((hash % HUNDRED + 1) as u8)
    }

    /// For a caller without an identifier.
    fn unidentified(key: Key) -> Self {
        match key {
            Key::Default | Key::Random => Self::CHANCE,
            Key::Slot(_) => Self::NONE,
        }
    }
}

// === impl Rollouts ===

impl Rollouts {
    /// Numbers `rollouts`. Also returns the number that each of them got, in the order they came.
    pub(in crate::engine::plan) fn build(rollouts: &[(Key, Prefix)]) -> (Self, Vec<u32>) {
        let mut order: Vec<(Key, usize)> =
            rollouts.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
        order.sort_unstable();

        let mut numbers = vec![0; rollouts.len()];
        let mut lanes = Vec::new();
        for alike in order.chunk_by(|(a, _), (b, _)| a == b) {
            for eight in alike.chunks(LANES) {
                let number = (lanes.len() * LANES) as u32;
                for (number, &(_, at)) in (number..).zip(eight) {
                    if let Some(slot) = numbers.get_mut(at) {
                        *slot = number;
                    }
                }
                let members = eight.iter().filter_map(|&(_, at)| rollouts.get(at));
                lanes.extend(Lanes::of(members.copied()));
            }
        }
        lanes.shrink_to_fit();
        (Self { lanes }, numbers)
    }

    /// What a rollout sticks to, and its prefix. `None` when there is none of that number.
    pub(in crate::engine) fn get(&self, rollout: u32) -> Option<(Key, Prefix)> {
        let lanes = self.lanes.get(rollout as usize / LANES)?;
        let lane = rollout as usize % LANES;
        let (state, residue) = (*lanes.states.get(lane)?, *lanes.residues.get(lane)?);
        Some((lanes.key, Prefix { state, residue, len: *lanes.lens.get(lane)? }))
    }

    /// The bucket of `context` in one rollout.
    #[inline]
    pub(in crate::engine) fn bucket(&self, rollout: u32, context: &Context) -> Bucket {
        let Some((key, prefix)) = self.get(rollout) else { return Bucket::NONE };
        match key.identifier(context) {
            Some(identifier) => Bucket::of(prefix.hash(identifier)),
            None => Bucket::unidentified(key),
        }
    }

    /// The buckets of `context` in all rollouts, by their numbers. `words` is room to work in.
    /// Returns whether any of them is left to chance.
    pub(in crate::engine) fn decide(
        &self,
        context: &Context,
        words: &mut Words,
        buckets: &mut Vec<Bucket>,
    ) -> bool {
        // The one behind the last rollout is everybody's. The others are overwritten.
        if buckets.len() != self.lanes.len() * LANES + 1 {
            buckets.clear();
            buckets.resize(self.lanes.len() * LANES + 1, Bucket::FIRST);
        }
        if let Some(last) = buckets.last_mut() {
            *last = Bucket::FIRST;
        }
        let (places, _) = buckets.as_chunks_mut();
        dispatch!(Level::new(), simd => self.decide_in_step(simd, context, words, places))
    }

    /// The share of everybody whose `slot` is not empty, as far as any rollout sticks to it.
    pub(in crate::engine::plan) fn everybody_with(&self, slot: SlotId) -> Option<Share> {
        let at = self.lanes.iter().position(|lanes| lanes.key == Key::Slot(slot))?;
        Some(Share { rollout: (at * LANES) as u32, percent: HUNDRED as u8 })
    }

    // In line with all that it does in step: only there may the compiler use the vectors.
    #[inline(always)]
    fn decide_in_step<S: Simd>(
        &self,
        simd: S,
        context: &Context,
        words: &mut Words,
        places: &mut [[Bucket; LANES]],
    ) -> bool {
        let mut by_chance = false;
        let mut taken_for = None;
        for (lanes, places) in self.lanes.iter().zip(places) {
            if taken_for != Some(lanes.key) {
                let Some(identifier) = lanes.key.identifier(context) else {
                    let bucket = Bucket::unidentified(lanes.key);
                    by_chance |= bucket.is_by_chance();
                    *places = [bucket; LANES];
                    continue;
                };
                words.take(identifier);
                taken_for = Some(lanes.key);
            }
            *places = bytes(simd, remainder(lanes.hash(simd, words)) + 1).map(Bucket);
        }
        by_chance
    }

    /// The share that everybody is of, where buckets were decided for many flags.
    pub(in crate::engine::plan) fn everybody(&self) -> Share {
        Share { rollout: (self.lanes.len() * LANES) as u32, percent: HUNDRED as u8 }
    }

    pub(in crate::engine::plan) fn bytes(&self) -> usize {
        size_of::<Lanes>() * self.lanes.capacity()
    }

    /// Whether any rollout sticks to what `is_it` says.
    pub(in crate::engine::plan) fn any(&self, is_it: impl Fn(&Key) -> bool) -> bool {
        self.lanes.iter().any(|lanes| is_it(&lanes.key))
    }
}

// === impl Lanes ===

impl Lanes {
    /// `None` for no members.
    fn of(members: impl Iterator<Item = (Key, Prefix)> + Clone) -> Option<Self> {
        let (key, first) = members.clone().next()?;
        let mut lanes = Self {
            key,
            states: [first.state; LANES],
            residues: [first.residue; LANES],
            lens: [first.len; LANES],
        };
        let places = lanes.states.iter_mut().zip(&mut lanes.residues).zip(&mut lanes.lens);
        for (((state, residue), len), (_, prefix)) in places.zip(members) {
            (*state, *residue, *len) = (prefix.state, prefix.residue, prefix.len);
        }
        Some(lanes)
    }

    // As `Prefix::hash` of each.
    #[inline(always)]
    fn hash<S: Simd>(&self, simd: S, words: &Words) -> u32x8<S> {
        let lens = u32x8::load_array_ref(simd, &self.lens);
        // How many bytes of the prefix stand in the identifier's first block, and in bits.
        let shared = lens & 3;
        let shifts = shared << 3;
        // What a word gives to the block where it begins, and what to the next one. The latter moves
        // by 32 less the shift, of which all 32 at once would be too many.
        let begun = |word: u32| u32x8::splat(simd, word) << shifts;
        let ended = |word: u32| u32x8::splat(simd, word >> 1) >> (shifts ^ 31);
        let mut pending = u32x8::load_array_ref(simd, &self.residues);
        let mut hashes = u32x8::load_array_ref(simd, &self.states);
        for word in &words.whole {
            hashes = turn(hashes ^ scrambled(pending | begun(*word)));
            pending = ended(*word);
        }
        hashes ^= scrambled(pending | begun(words.rest));
        // The rest fills another block behind some of the prefixes, and is behind that one too.
        let is_filled = (shared + words.len % BLOCK).simd_ge(BLOCK);
        let filled = turn(hashes) ^ scrambled(ended(words.rest));
        hashes = is_filled.select(filled, hashes) ^ (lens + words.len);
        hashes = (hashes ^ hashes >> 16) * FINISH.0;
        hashes = (hashes ^ hashes >> 13) * FINISH.1;
        hashes ^ hashes >> 16
    }
}

#[inline(always)]
fn rotate<S: Simd>(words: u32x8<S>, by: u32) -> u32x8<S> {
    words << by | words >> (u32::BITS - by)
}

/// What blocks contribute.
#[inline(always)]
fn scrambled<S: Simd>(blocks: u32x8<S>) -> u32x8<S> {
    rotate(blocks * SCRAMBLE.0, 15) * SCRAMBLE.1
}

/// What follows on each whole block.
#[inline(always)]
fn turn<S: Simd>(states: u32x8<S>) -> u32x8<S> {
    rotate(states, 13) * TURN.0 + TURN.1
}

/// The lowest byte of each.
#[inline(always)]
fn bytes<S: Simd>(simd: S, words: u32x8<S>) -> [u8; LANES] {
    let halves = simd.narrow_u32x8(words, words);
    let bytes = simd.narrow_u16x16(halves, halves);
    bytes.as_array().first_chunk().copied().unwrap_or_default()
}

/// What is left of each by [`HUNDRED`]: vectors multiply and cannot divide.
#[inline(always)]
fn remainder<S: Simd>(words: u32x8<S>) -> u32x8<S> {
    // As 2^16 leaves 36 and 2^10 leaves 24. What comes of it is below 2400, where a multiplication
    // divides exactly.
    let words = (words >> 16) * 36 + (words & 0xffff);
    let words = (words >> 10) * 24 + (words & 0x3ff);
    let words = (words >> 10) * 24 + (words & 0x3ff);
    words - ((words * 5243) >> 19) * HUNDRED
}

// === impl Words ===

impl Words {
    fn take(&mut self, identifier: &[u8]) {
        let (whole, rest) = identifier.as_chunks();
        self.whole.clear();
        self.whole.extend(whole.iter().map(|word| u32::from_le_bytes(*word)));
        self.rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        // The hash counts modulo 2³².
        self.len = identifier.len() as u32;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::plan::rollout::ROLLOUT_SEED;

    fn hashes(lanes: &Lanes, words: &Words) -> [u32; LANES] {
        dispatch!(Level::new(), simd => *lanes.hash(simd, words).as_array())
    }

    fn lowest(words: [u32; LANES]) -> [u8; LANES] {
        dispatch!(Level::new(), simd => bytes(simd, u32x8::load_array(simd, words)))
    }

    proptest! {
        #[test]
        fn what_is_left_of_a_word_is_what_division_leaves(words in any::<[u32; LANES]>()) {
            let left = dispatch!(Level::new(), simd =>
                *remainder(u32x8::load_array(simd, words)).as_array());
            prop_assert_eq!(left, words.map(|word| word % HUNDRED));
        }

        #[test]
        fn rollouts_in_step_hash_as_each_does_alone(
            groups in prop::collection::vec("[a-z.]{0,9}|\\PC{0,4}", 0..40),
            id in prop::collection::vec(any::<u8>(), 0..=40),
        ) {
            let rollouts: Vec<(Key, Prefix)> = groups
                .iter()
                .map(|group| (Key::Default, Prefix::new(group, ROLLOUT_SEED)))
                .collect();
            let (built, numbers) = Rollouts::build(&rollouts);
            let mut words = Words::default();
            for ((key, prefix), number) in rollouts.iter().zip(numbers) {
                prop_assert_eq!(built.get(number), Some((*key, *prefix)));
                let lanes = &built.lanes[number as usize / LANES];
                words.take(&id);
                let lane = number as usize % LANES;
                let hash = prefix.hash(&id);
                prop_assert_eq!(hashes(lanes, &words)[lane], hash);
                prop_assert_eq!(lowest(hashes(lanes, &words))[lane], hash as u8);
            }
        }
    }

    #[test]
    fn what_is_left_of_the_largest_words_is_what_division_leaves() {
        // Whatever is left after the folds: each of its values is below 2400.
        for word in
            (0..=u32::MAX).step_by(65_521).chain(0..200_000).chain(u32::MAX - 200_000..=u32::MAX)
        {
            let left = dispatch!(Level::new(), simd =>
                *remainder(u32x8::load_array(simd, [word; LANES])).as_array());
            assert_eq!(left, [word % HUNDRED; LANES]);
        }
    }

    #[test]
    fn rollouts_of_other_fields_share_no_lanes() {
        let keys = [Key::Default, Key::Slot(SlotId(3)), Key::Slot(SlotId(7))];
        let rollouts: Vec<(Key, Prefix)> = (0..60)
            .map(|at| (keys[at % 3], Prefix::new(&"g".repeat(at % 7), ROLLOUT_SEED)))
            .collect();
        let (built, numbers) = Rollouts::build(&rollouts);
        let distinct: std::collections::HashSet<&u32> = numbers.iter().collect();
        assert_eq!(distinct.len(), rollouts.len());
        for (rollout, number) in rollouts.iter().zip(&numbers) {
            assert_eq!(built.get(*number), Some(*rollout));
        }
        for ((key, _), number) in rollouts.iter().zip(&numbers) {
            assert_eq!(built.lanes[*number as usize / LANES].key, *key);
        }
        assert_eq!(built.lanes.len(), 3 * 20_usize.div_ceil(LANES));
    }

    #[test]
    fn who_has_no_identifier_is_drawn_by_chance_or_left_out() {
        assert_eq!(Bucket::unidentified(Key::Default).number(|| 42), Some(42));
        assert!(Bucket::unidentified(Key::Default).is_by_chance());
        let nobody = Bucket::unidentified(Key::Slot(SlotId(7)));
        assert_eq!(nobody.number(|| 1), None);
        assert!(!nobody.is_by_chance() && !nobody.is_within(100));
        assert!(Bucket::FIRST.is_within(1) && !Bucket::FIRST.is_within(0));
    }
}

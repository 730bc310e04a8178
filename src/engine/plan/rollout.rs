//! Buckets: which share of the callers an identifier falls into (section 3.4).

mod lanes;

pub(in crate::engine) use lanes::{Bucket, Rollouts, Words};

/// Seed of the hash that decides rollouts.
pub(in crate::engine) const ROLLOUT_SEED: u32 = 0;
/// Seed of the hash that chooses variants.
pub(in crate::engine) const VARIANT_SEED: u32 = 86_028_157;

/// What MurmurHash3 multiplies a block with, before and after it is rotated.
const SCRAMBLE: (u32, u32) = (0xcc9e_2d51, 0x1b87_3593);
/// What it multiplies the state with behind each whole block, and adds.
const TURN: (u32, u32) = (5, 0xe654_6b64);
/// What it multiplies the state with at the end.
const FINISH: (u32, u32) = (0x85eb_ca6b, 0xc2b2_ae35);

/// MurmurHash3 (x86, 32 bits) stopped behind `<group>:`, so that a request hashes the identifier
/// only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Prefix {
    /// State after the whole blocks of the prefix.
    state: u32,
    /// The bytes behind them, at most three, the first one lowest.
    residue: u32,
    /// Length of the prefix in bytes, which wraps as the hash's own length does.
    // INVARIANT: its lowest two bits are the length of `residue`.
    len: u32,
}

/// MurmurHash3 (x86, 32 bits) of `bytes`.
#[cfg(test)]
pub(in crate::engine) fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    Prefix { state: seed, residue: 0, len: 0 }.hash(bytes)
}

/// What a block contributes, whatever the seed.
#[inline]
fn scramble(block: u32) -> u32 {
    block.wrapping_mul(SCRAMBLE.0).rotate_left(15).wrapping_mul(SCRAMBLE.1)
}

#[inline]
fn mix(state: u32, block: u32) -> u32 {
    turn(state ^ scramble(block))
}

/// What follows on each whole block.
#[inline]
fn turn(state: u32) -> u32 {
    state.rotate_left(13).wrapping_mul(TURN.0).wrapping_add(TURN.1)
}

#[inline]
fn finish(state: u32, len: u32) -> u32 {
    let mut hash = state ^ len;
    hash = (hash ^ (hash >> 16)).wrapping_mul(FINISH.0);
    hash = (hash ^ (hash >> 13)).wrapping_mul(FINISH.1);
    hash ^ (hash >> 16)
}

// === impl Prefix ===

impl Prefix {
    /// The hash of `<group>:` as far as it goes; `seed` is [`ROLLOUT_SEED`] or [`VARIANT_SEED`].
    pub(in crate::engine) fn new(group: &str, seed: u32) -> Self {
        Self { state: seed, residue: 0, len: 0 }.extend(group.as_bytes()).extend(b":")
    }

    fn extend(self, bytes: &[u8]) -> Self {
        let (state, pending, len) = self.absorb(bytes);
        // Fewer than four bytes pend, so they fit.
        Self { state, residue: pending as u32, len }
    }

    /// Hash of `<group>:<identifier>`.
    #[inline]
    pub(in crate::engine) fn hash(&self, identifier: &[u8]) -> u32 {
        let (state, pending, len) = self.absorb(identifier);
        // Nothing pending contributes nothing: a zero block scrambles to zero.
        finish(state ^ scramble(pending as u32), len)
    }

    /// Bucket of `<group>:<identifier>`: from 1 to `modulus`, both included.
    ///
    /// The remainder's slight bias is what every SDK has. A `modulus` of 0 counts as 1.
    #[inline]
    pub(in crate::engine) fn normalized(&self, identifier: &[u8], modulus: u32) -> u32 {
        self.hash(identifier) % modulus.max(1) + 1
    }

    /// State after all whole blocks, the bytes behind them, and the length so far.
    #[inline]
    fn absorb(&self, bytes: &[u8]) -> (u32, u64, u32) {
        let shift = (self.len & 3) * 8;
        let mut state = self.state;
        // The residue below, new bytes above it: blocks leave at the lower end, so that the input
        // is read four aligned bytes at a time wherever the prefix ended.
        let mut pending = u64::from(self.residue);
        let mut blocks = bytes.chunks_exact(4);
        for block in &mut blocks {
            if let [a, b, c, d] = *block {
                pending |= u64::from(u32::from_le_bytes([a, b, c, d])) << shift;
                state = mix(state, pending as u32);
                pending >>= 32;
            }
        }
        let rest = match *blocks.remainder() {
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c] => u64::from(u32::from_le_bytes([a, b, c, 0])),
            _ => 0,
        };
        pending |= rest << shift;
        if (self.len as usize & 3) + blocks.remainder().len() >= 4 {
            state = mix(state, pending as u32);
            pending >>= 32;
        }
        // The hash counts modulo 2³².
        (state, pending, self.len.wrapping_add(bytes.len() as u32))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The algorithm as its author wrote it, block by block over the whole input.
    fn reference(bytes: &[u8], seed: u32) -> u32 {
        let mut hash = seed;
        for block in bytes.chunks(4) {
            let mut word = [0; 4];
            word[..block.len()].copy_from_slice(block);
            let word = u32::from_le_bytes(word).wrapping_mul(0xcc9e_2d51);
            hash ^= word.rotate_left(15).wrapping_mul(0x1b87_3593);
            if block.len() == 4 {
                hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
            }
        }
        hash ^= bytes.len() as u32;
        hash ^= hash >> 16;
        hash = hash.wrapping_mul(0x85eb_ca6b);
        hash ^= hash >> 13;
        hash = hash.wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }

    #[test]
    fn golden_hashes_are_reproduced() {
        let rows = [
            ("", 0, 4_002_661_964),
            ("a", 1_009_084_850, 1_778_238_603),
            ("ab", 2_613_040_991, 1_594_296_940),
            ("abc", 3_017_643_002, 212_112_276),
            ("abcd", 1_139_631_978, 2_679_851_658),
            ("abcde", 3_902_511_862, 1_101_984_857),
            ("g:", 2_914_506_663, 3_235_096_778),
            ("é", 269_551_495, 2_948_797_259),
            ("hello:world", 2_806_897_566, 219_839_100),
            ("Feature.Variants.A:0", 1_878_332_929, 839_185_900),
        ];
        for (text, rollout, variant) in rows {
            assert_eq!(murmur3(text.as_bytes(), ROLLOUT_SEED), rollout, "`{text}`");
            assert_eq!(murmur3(text.as_bytes(), VARIANT_SEED), variant, "`{text}`");
        }
    }

    #[test]
    fn golden_hashes_are_reproduced_behind_a_prefix() {
        let rows = [
            ("g", "", 2_914_506_663, 3_235_096_778),
            ("hello", "world", 2_806_897_566, 219_839_100),
            ("Feature.Variants.A", "0", 1_878_332_929, 839_185_900),
        ];
        for (group, id, rollout, variant) in rows {
            assert_eq!(Prefix::new(group, ROLLOUT_SEED).hash(id.as_bytes()), rollout, "`{group}`");
            assert_eq!(Prefix::new(group, VARIANT_SEED).hash(id.as_bytes()), variant, "`{group}`");
        }
    }

    #[test]
    fn golden_buckets_are_reproduced() {
        let custom = "Feature.flexible.rollout.custom.stickiness_50";
        let rows = [
            ("AB12A", "122", ROLLOUT_SEED, 100, 23),
            ("AB12A", "155", ROLLOUT_SEED, 100, 100),
            ("Feature.flexibleRollout.10", "174", ROLLOUT_SEED, 100, 10),
            ("Feature.flexibleRollout.10", "499", ROLLOUT_SEED, 100, 32),
            ("Feature.flexibleRollout.userId.55", "25", ROLLOUT_SEED, 100, 55),
            ("Feature.flexibleRollout.sessionId.42", "147", ROLLOUT_SEED, 100, 42),
            (custom, "402", ROLLOUT_SEED, 100, 55),
            (custom, "388", ROLLOUT_SEED, 100, 10),
            ("Feature.Hellø", "42", ROLLOUT_SEED, 100, 91),
            ("g", "ålesund", ROLLOUT_SEED, 100, 53),
            ("g", "user-😊", ROLLOUT_SEED, 100, 76),
            ("g", "你好", ROLLOUT_SEED, 100, 96),
            ("Feature.Variants.B", "2", VARIANT_SEED, 2, 2),
            ("Feature.Variants.B", "0", VARIANT_SEED, 2, 1),
            ("Feature.Variants.C", "232", VARIANT_SEED, 99, 18),
            ("a", "5", VARIANT_SEED, 2, 1),
            ("a", "0", VARIANT_SEED, 2, 2),
            ("a", "1", VARIANT_SEED, 2, 1),
            ("a", "2", VARIANT_SEED, 2, 2),
        ];
        for (group, id, seed, modulus, expected) in rows {
            let bucket = Prefix::new(group, seed).normalized(id.as_bytes(), modulus);
            assert_eq!(bucket, expected, "`{group}:{id}` of {modulus}");
        }
    }

    #[test]
    fn a_modulus_of_zero_has_one_bucket() {
        assert_eq!(Prefix::new("g", VARIANT_SEED).normalized(b"1", 0), 1);
    }

    #[test]
    fn the_largest_modulus_does_not_overflow() {
        let prefix = Prefix::new("g", ROLLOUT_SEED);
        let bucket = prefix.normalized(b"1", u32::MAX);
        assert_eq!(bucket, prefix.hash(b"1") % u32::MAX + 1);
    }

    #[test]
    fn a_prefix_hashes_as_the_whole_text_does_at_every_alignment() {
        let text = "åbcdefghijklmnopqrstuvwxyz0123456789😊ABCDEFG";
        let ends = || (0..=text.len()).filter(|end| text.is_char_boundary(*end));
        for group in ends().filter(|end| *end <= 12).map(|end| &text[..end]) {
            for id in ends().map(|end| &text[..end]) {
                for seed in [ROLLOUT_SEED, VARIANT_SEED] {
                    let whole = reference(format!("{group}:{id}").as_bytes(), seed);
                    assert_eq!(Prefix::new(group, seed).hash(id.as_bytes()), whole);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_prefix_hashes_as_the_whole_text_does(
            group in "[a-z.]{0,12}|\\PC{0,12}",
            id in prop::collection::vec(any::<u8>(), 0..=40),
            seed in any::<u32>(),
        ) {
            let whole = [group.as_bytes(), b":", &id].concat();
            let expected = reference(&whole, seed);
            prop_assert_eq!(Prefix::new(&group, seed).hash(&id), expected);
            prop_assert_eq!(murmur3(&whole, seed), expected);
        }

        #[test]
        fn buckets_start_at_one_and_end_at_the_modulus(id in "\\PC{0,20}", modulus in 1u32..=u32::MAX) {
            let bucket = Prefix::new("g", ROLLOUT_SEED).normalized(id.as_bytes(), modulus);
            prop_assert!((1..=modulus).contains(&bucket));
        }
    }
}

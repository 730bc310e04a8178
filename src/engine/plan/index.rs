//! An immutable map from texts to small numbers, laid out for one probe and few bytes.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

/// Texts, numbered in the order they were added, looked up by hash.
///
/// One arena for all texts and one table of 32-bit cells. A cell holds an entry's number and, in the
/// bits that the number leaves free, a tag of its hash: a miss rarely touches a text.
#[derive(Debug)]
pub(in crate::engine) struct TextIndex {
    arena: String,
    /// Where each text begins in `arena`, and where the last one ends.
    bounds: Vec<u32>,
    /// 0: free. Else a number and 1, and above it the tag.
    cells: Vec<u32>,
    /// In how many cells, from the first, a search may begin.
    homes: u64,
    /// The bits of a cell that hold the number.
    number_mask: u32,
}

/// The first and the last eight bytes of a text; one word of a text that is shorter.
// INVARIANT: texts of one length, up to LONGEST_BY_ENDS, are equal where their ends are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) first: u64,
    last: u64,
}

/// Up to this many bytes, which names and ids mostly have, the ends are the whole text: hashing and
/// comparing them costs a third of the long way.
const LONGEST_BY_ENDS: usize = 16;

// === impl Ends ===

impl Ends {
    #[inline]
    pub(super) fn of(text: &[u8]) -> Self {
        let (first, last) =
            if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
                let [first, last] = [*first, *last].map(u32::from_le_bytes).map(u64::from);
                (first | last << 32, 0)
            } else {
                let byte = |at: usize| text.get(at).map_or(0, |byte| u64::from(*byte));
                (byte(0) | byte(1) << 8 | byte(2) << 16, 0)
            };
        Self { first, last }
    }
}

/// The hash by which a [`TextIndex`] finds a text.
#[inline]
pub(super) fn hash(text: &[u8]) -> u64 {
    if text.len() > LONGEST_BY_ENDS {
        return hash_long(text);
    }
    let ends = Ends::of(text);
    // The fraction of the square roots of 2 and 3: bits without a pattern.
    let a = ends.first ^ 0x6a09_e667_f3bc_c908;
    let b = ends.last ^ 0xbb67_ae85_84ca_a73b ^ (text.len() as u64) << 56;
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

// Out of line: what is done in place stays small, and short texts are most.
#[inline(never)]
fn hash_long(text: &[u8]) -> u64 {
    xxh3_64(text)
}

/// Whether two texts are equal, decided without a call where they are short.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ends_are = Ends::of(one) == Ends::of(other);
    if one.len() > LONGEST_BY_ENDS { ends_are && same_long(one, other) } else { ends_are }
}

#[inline(never)]
fn same_long(one: &[u8], other: &[u8]) -> bool {
    one == other
}

/// Collects texts for a [`TextIndex`].
#[derive(Debug)]
pub(in crate::engine) struct TextIndexBuilder {
    index: TextIndex,
    capacity: usize,
}

// === impl TextIndexBuilder ===

impl TextIndexBuilder {
    /// Room for `capacity` texts; what comes beyond is placed anew together with all before.
    pub(in crate::engine) fn with_capacity(capacity: usize) -> Self {
        Self { index: TextIndex::with_room(capacity), capacity }
    }

    /// The number of `text`, which it gets now if it is new.
    pub(in crate::engine) fn insert(&mut self, text: &str) -> u32 {
        self.insert_hashed(hash(text.as_bytes()), text)
    }

    /// As [`TextIndexBuilder::insert`] for a text whose [`hash`] is known.
    pub(super) fn insert_hashed(&mut self, hash: u64, text: &str) -> u32 {
        let free = match self.index.probe(text.as_bytes(), hash) {
            Ok(number) => return number,
            Err(free) => free,
        };
        let number = self.index.len() as u32;
        self.index.arena.push_str(text);
        self.index.bounds.push(self.index.arena.len() as u32);
        if self.index.len() <= self.capacity {
            self.index.fill(free, hash, number);
        } else {
            self.capacity = 2 * self.index.len();
            self.index.place_for(self.capacity);
        }
        number
    }

    /// Where the text of a number stands, now and when it is built.
    pub(super) fn place_of(&self, number: u32) -> Range<usize> {
        self.index.place_of(number)
    }

    pub(in crate::engine) fn build(mut self) -> TextIndex {
        // Texts that came twice leave cells that nobody needs. Placing them all again pays for many.
        if TextIndex::homes_for(self.index.len()) as u64 * 4 < self.index.homes * 3 {
            self.index.place_for(self.index.len());
        }
        self.index.cells.shrink_to_fit();
        self.index.arena.shrink_to_fit();
        self.index.bounds.shrink_to_fit();
        self.index
    }
}

// === impl TextIndex ===

impl TextIndex {
    /// The number of `text`. `None` when it was never added.
    #[inline]
    pub(in crate::engine) fn get(&self, text: &[u8]) -> Option<u32> {
        self.probe(text, hash(text)).ok()
    }

    /// How many texts there are.
    pub(in crate::engine) fn len(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// The text of a number. Empty when there is none of that number.
    pub(in crate::engine) fn text(&self, number: u32) -> &str {
        self.arena.get(self.place_of(number)).unwrap_or("")
    }

    /// Whether `text` is the text of a number.
    // Out of line: asked once a look-up, and the search around it stays small.
    #[inline(never)]
    fn is(&self, number: u32, text: &[u8]) -> bool {
        self.is_at(self.place_of(number), text)
    }

    #[inline]
    fn place_of(&self, number: u32) -> Range<usize> {
        let bounds = self.bounds.get(number as usize..).and_then(<[u32]>::first_chunk);
        bounds.map_or(0..0, |&[start, end]| start as usize..end as usize)
    }

    /// Whether `text` stands at a place that [`TextIndex::place_of`] told.
    #[inline]
    pub(super) fn is_at(&self, place: Range<usize>, text: &[u8]) -> bool {
        self.arena.as_bytes().get(place).is_some_and(|found| same(found, text))
    }

    /// Bytes held on the heap.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.arena.capacity() + 4 * (self.bounds.capacity() + self.cells.capacity())
    }

    fn with_room(texts: usize) -> Self {
        Self {
            arena: String::new(),
            bounds: vec![0],
            cells: vec![0; Self::homes_for(texts)],
            homes: Self::homes_for(texts) as u64,
            number_mask: u32::MAX.checked_shr((texts as u32 + 1).leading_zeros()).unwrap_or(0),
        }
    }

    /// Half of the cells are taken, so that a miss looks at two or three.
    fn homes_for(texts: usize) -> usize {
        2 * texts + 1
    }

    /// The cell where the search for a text begins. It rises with the hash: a list sorted by hash
    /// fills the cells from front to back.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        // The highest bits say where, as the lowest are the tag. A plan has fewer than 2^32 texts.
        ((hash >> 32).wrapping_mul(self.homes) >> 32) as usize
    }

    /// Places all texts anew, in as many cells as so many need.
    fn place_for(&mut self, texts: usize) {
        let Self { cells, homes, number_mask, .. } = Self::with_room(texts);
        (self.cells, self.homes, self.number_mask) = (cells, homes, number_mask);
        for number in 0..self.len() as u32 {
            let text = self.text(number).as_bytes();
            let hash = hash(text);
            if let Err(free) = self.probe(text, hash) {
                self.fill(free, hash, number);
            }
        }
    }

    /// Takes the free cell `at` for a text. Past the last cell one is added, so that no search ever
    /// goes round.
    fn fill(&mut self, at: usize, hash: u64, number: u32) {
        let cell = self.tag(hash) | (number + 1);
        match self.cells.get_mut(at) {
            Some(free) => *free = cell,
            None => self.cells.push(cell),
        }
    }

    /// The bits of a hash that stand in a cell above the number; where it stands is said by others.
    #[inline]
    fn tag(&self, hash: u64) -> u32 {
        hash as u32 & !self.number_mask
    }

    /// `Ok`: the number of `text`. `Err`: the free cell where it would stand.
    #[inline]
    fn probe(&self, text: &[u8], hash: u64) -> Result<u32, usize> {
        let tag = self.tag(hash);
        let mut at = self.home(hash);
        while let Some(&cell) = self.cells.get(at)
            && cell != 0
        {
            if cell & !self.number_mask == tag {
                let number = (cell & self.number_mask).wrapping_sub(1);
                if self.is(number, text) {
                    return Ok(number);
                }
            }
            at += 1;
        }
        Err(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_found_again_and_no_other() {
        let counts = [0usize, 1, 2, 3, 7, 8, 9, 100, 5000];
        for (count, announced) in counts.into_iter().flat_map(|it| [(it, it), (it, it / 3)]) {
            let mut builder = TextIndexBuilder::with_capacity(announced);
            for number in 0..count {
                assert_eq!(builder.insert(&format!("text-{number}")), number as u32);
            }
            for number in 0..count {
                assert_eq!(builder.insert(&format!("text-{number}")), number as u32);
            }
            let index = builder.build();
            assert_eq!(index.len(), count);
            for number in 0..count {
                let text = format!("text-{number}");
                assert_eq!(index.get(text.as_bytes()), Some(number as u32));
                assert_eq!(index.text(number as u32), text);
            }
            assert_eq!(index.get("text".as_bytes()), None);
            assert_eq!(index.get("".as_bytes()), None);
            assert_eq!(index.get(format!("text-{count}").as_bytes()), None);
        }
    }

    #[test]
    fn the_empty_text_is_a_text() {
        let mut builder = TextIndexBuilder::with_capacity(2);
        assert_eq!(builder.insert("a"), 0);
        assert_eq!(builder.insert(""), 1);
        let index = builder.build();
        assert_eq!(index.get("".as_bytes()), Some(1));
        assert_eq!(index.text(1), "");
    }

    #[test]
    fn texts_that_differ_in_length_order_or_one_byte_hash_apart() {
        let mut texts: Vec<String> = (0..40).map(|length| "a".repeat(length)).collect();
        texts.extend((0..20_000).map(|number| number.to_string()));
        texts.extend((0..20_000).map(|number| format!("user-{number}")));
        texts.extend((0..20_000).map(|number| format!("{number}-a-longer-name-of-a-user")));
        texts.extend((0..16).map(|at| format!("{}b{}", "a".repeat(at), "a".repeat(15 - at))));
        let hashes: std::collections::HashSet<u64> =
            texts.iter().map(|text| hash(text.as_bytes())).collect();
        assert_eq!(hashes.len(), texts.len());
        // Both halves are used: one says where, the other is compared.
        for half in [|hash: u64| hash >> 32, |hash: u64| hash & 0xffff_ffff] {
            let halves: std::collections::HashSet<u64> = hashes.iter().copied().map(half).collect();
            assert!(halves.len() > texts.len() - 10, "{} of {}", halves.len(), texts.len());
        }
    }
}

//! An immutable map from texts to small numbers, laid out for one probe and few bytes.

use xxhash_rust::xxh3::xxh3_64;

/// Texts, numbered in the order they were added, looked up by hash.
///
/// One arena for all texts and one table of 32-bit cells. A cell holds an entry's number and, in the
/// bits that the number leaves free, a tag of its hash: a miss rarely touches a text.
#[derive(Debug, Default)]
pub(in crate::engine) struct TextIndex {
    arena: String,
    /// Where each text ends in `arena`.
    ends: Vec<u32>,
    /// 0: free. Else `tag << number_bits | number + 1`.
    // INVARIANT: a power of two long and never full, so that probing ends.
    cells: Vec<u32>,
    number_bits: u32,
}

/// The hash by which a [`TextIndex`] finds a text.
pub(super) fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// Collects texts for a [`TextIndex`].
#[derive(Debug)]
pub(in crate::engine) struct TextIndexBuilder {
    index: TextIndex,
    capacity: usize,
}

// === impl TextIndexBuilder ===

impl TextIndexBuilder {
    /// Room for `capacity` texts.
    pub(in crate::engine) fn with_capacity(capacity: usize) -> Self {
        Self { index: TextIndex::with_room(capacity), capacity }
    }

    /// The number of `text`, which it gets now if it is new.
    pub(in crate::engine) fn insert(&mut self, text: &str) -> u32 {
        self.insert_hashed(hash(text), text).0
    }

    /// As [`TextIndexBuilder::insert`] for a text whose [`hash`] is known; says whether it is new.
    pub(super) fn insert_hashed(&mut self, hash: u64, text: &str) -> (u32, bool) {
        match self.index.probe(text, hash) {
            Ok(number) => (number, false),
            Err(free) => {
                debug_assert!(self.index.ends.len() < self.capacity, "more texts than announced");
                let number = self.index.ends.len() as u32;
                self.index.arena.push_str(text);
                self.index.ends.push(self.index.arena.len() as u32);
                self.index.fill(free, hash, number);
                (number, true)
            }
        }
    }

    pub(in crate::engine) fn build(mut self) -> TextIndex {
        // Texts that came twice leave cells that nobody needs.
        if TextIndex::cells_for(self.index.len()) < self.index.cells.len() {
            self.index.shrink();
        }
        self.index.arena.shrink_to_fit();
        self.index.ends.shrink_to_fit();
        self.index
    }
}

// === impl TextIndex ===

impl TextIndex {
    /// The number of `text`. `None` when it was never added.
    #[inline]
    pub(in crate::engine) fn get(&self, text: &str) -> Option<u32> {
        if self.ends.is_empty() {
            return None;
        }
        self.probe(text, hash(text)).ok()
    }

    /// How many texts there are.
    pub(in crate::engine) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a number. Empty when there is none of that number.
    pub(in crate::engine) fn text(&self, number: u32) -> &str {
        let number = number as usize;
        let start = match number.checked_sub(1) {
            Some(previous) => self.ends.get(previous).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(number).copied().unwrap_or(start);
        self.arena.get(start as usize..end as usize).unwrap_or("")
    }

    /// Bytes held on the heap.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.arena.capacity() + 4 * (self.ends.capacity() + self.cells.capacity())
    }

    fn with_room(texts: usize) -> Self {
        Self {
            arena: String::new(),
            ends: Vec::new(),
            cells: vec![0; Self::cells_for(texts)],
            number_bits: usize::BITS - (texts + 1).leading_zeros(),
        }
    }

    /// How many cells `texts` need: at most 7/8 of them are taken.
    fn cells_for(texts: usize) -> usize {
        (texts + texts / 7 + 1).next_power_of_two().max(4)
    }

    /// Places the same texts in as few cells as they need.
    fn shrink(&mut self) {
        let Self { cells, number_bits, .. } = Self::with_room(self.len());
        (self.cells, self.number_bits) = (cells, number_bits);
        for number in 0..self.len() as u32 {
            let hash = hash(self.text(number));
            if let Err(free) = self.probe(self.text(number), hash) {
                self.fill(free, hash, number);
            }
        }
    }

    fn fill(&mut self, at: usize, hash: u64, number: u32) {
        let cell = self.tag(hash) | (number + 1);
        if let Some(slot) = self.cells.get_mut(at) {
            *slot = cell;
        }
    }

    /// The bits of a hash that stand in a cell above the number: the lowest, as the highest say
    /// where.
    fn tag(&self, hash: u64) -> u32 {
        (hash as u32).checked_shl(self.number_bits).unwrap_or(0)
    }

    /// `Ok`: the number of `text`. `Err`: the free cell where it would stand.
    #[inline]
    fn probe(&self, text: &str, hash: u64) -> Result<u32, usize> {
        let mask = self.cells.len().wrapping_sub(1);
        let tag = self.tag(hash);
        let low = (1u32.checked_shl(self.number_bits).unwrap_or(0)).wrapping_sub(1);
        // The highest bits say where: a list sorted by hash fills the cells from front to back.
        let mut at = (hash >> (self.cells.len().leading_zeros() + 1).min(63)) as usize & mask;
        loop {
            match self.cells.get(at).copied().unwrap_or(0) {
                0 => return Err(at),
                cell if cell & !low == tag => {
                    let number = (cell & low) - 1;
                    if self.text(number) == text {
                        return Ok(number);
                    }
                }
                _ => {}
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_found_again_and_no_other() {
        for count in [0usize, 1, 2, 3, 7, 8, 9, 100, 5000] {
            let mut builder = TextIndexBuilder::with_capacity(count);
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
                assert_eq!(index.get(&text), Some(number as u32));
                assert_eq!(index.text(number as u32), text);
            }
            assert_eq!(index.get("text"), None);
            assert_eq!(index.get(""), None);
            assert_eq!(index.get(&format!("text-{count}")), None);
        }
    }

    #[test]
    fn the_empty_text_is_a_text() {
        let mut builder = TextIndexBuilder::with_capacity(2);
        assert_eq!(builder.insert("a"), 0);
        assert_eq!(builder.insert(""), 1);
        let index = builder.build();
        assert_eq!(index.get(""), Some(1));
        assert_eq!(index.text(1), "");
    }
}

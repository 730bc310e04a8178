//! Where the bytes of a query are that mean something there.
//!
//! Found for 64 bytes at once: what is done for each of them is done by vectors, and no branch depends
//! on what stands where. Byte by byte, the processor guesses wrong at the end of each name and value.

/// As many bytes as a word has bits.
const BLOCK: usize = u64::BITS as usize;

/// The places of the marks, from front to back.
#[derive(Debug)]
pub(super) struct Marks<'q> {
    /// One bit for each byte of the block that begins at `start`: those marks that are left of it.
    word: u64,
    start: usize,
    /// What is behind that block.
    ahead: &'q [u8],
}

// === impl Marks ===

impl<'q> Marks<'q> {
    pub(super) fn of(query: &'q [u8]) -> Self {
        let (word, ahead) = first_block(query);
        Self { word, start: 0, ahead }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<usize> {
        let at = self.peek()?;
        self.word &= self.word - 1;
        Some(at)
    }

    /// Leaves the marks out that are before `place`.
    pub(super) fn skip_before(&mut self, place: usize) {
        while self.peek().is_some_and(|at| at < place) {
            self.word &= self.word - 1;
        }
    }

    #[inline]
    fn peek(&mut self) -> Option<usize> {
        while self.word == 0 {
            if self.ahead.is_empty() {
                return None;
            }
            (self.word, self.ahead) = first_block(self.ahead);
            self.start += BLOCK;
        }
        Some(self.start + self.word.trailing_zeros() as usize)
    }
}

/// The marks of the first block, a bit for each byte, and what is behind it.
// Out of line: asked for a few times a query, where the next mark is asked for with every name.
#[inline(never)]
fn first_block(bytes: &[u8]) -> (u64, &[u8]) {
    if let Some((block, ahead)) = bytes.split_first_chunk() {
        return (marks_in(block), ahead);
    }
    let mut block = [0; BLOCK];
    block.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    (marks_in(&block), &[])
}

#[inline]
fn marks_in(block: &[u8; BLOCK]) -> u64 {
    let mut are_marks = [0; BLOCK];
    for (is_mark, byte) in are_marks.iter_mut().zip(block) {
        // Not `matches!`, of which the compiler makes a look-up for each byte.
        let is = |mark: u8| u8::from(*byte == mark);
        *is_mark = is(b'&') | is(b'=') | is(b'%') | is(b'+') | is(b'[') | is(b']');
    }
    // Eight bytes of 0 or 1 to a byte of eight bits: the factor moves each to its place in the highest
    // byte, and no two ever meet.
    let (eights, _) = are_marks.as_chunks::<8>();
    let bits = eights.iter().map(|eight| {
        u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> (u64::BITS - 8)
    });
    bits.rev().fold(0, |word, bits| word << 8 | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_mark_from_a_place_on_is_found(
            query in "[a-f&=%+\\[\\]é]{0,200}",
            place in 0_usize..250,
        ) {
            let mut marks = Marks::of(query.as_bytes());
            marks.skip_before(place);
            let found: Vec<usize> = std::iter::from_fn(|| marks.next()).collect();
            let all = query.match_indices(['&', '=', '%', '+', '[', ']']).map(|(at, _)| at);
            proptest::prop_assert_eq!(found, all.filter(|&at| at >= place).collect::<Vec<_>>());
        }
    }
}

//! Where a worker writes its lists: one buffer for all of them.

/// A buffer that grew larger than this for one answer is given back, in bytes.
const KEPT: usize = 1 << 20;

/// The body of the answer that was written last.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    bytes: Vec<u8>,
}

impl Sheet {
    /// Writes the next body, by a function that appends it.
    pub(super) fn write(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.capacity() > KEPT && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        append(&mut self.bytes);
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_one_written_last() {
        let mut sheet = Sheet::default();
        assert_eq!(sheet.body(), b"");
        sheet.write(|bytes| bytes.extend_from_slice(b"first and long"));
        sheet.write(|bytes| bytes.extend_from_slice(b"second"));
        assert_eq!(sheet.body(), b"second");
    }

    #[test]
    fn room_for_one_huge_answer_is_not_kept() {
        let mut sheet = Sheet::default();
        sheet.write(|bytes| bytes.resize(16 * KEPT, 0));
        for _ in 0..2 {
            sheet.write(|bytes| bytes.push(1));
        }
        assert!(sheet.bytes.capacity() <= KEPT);
        assert_eq!(sheet.body(), [1]);
    }
}

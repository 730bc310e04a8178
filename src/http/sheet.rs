//! Where a worker writes its lists: one buffer for all of them, with room for a head before each.

/// Most heads fit in, in bytes.
const HEAD_ROOM: usize = 1024;
/// A buffer that grew larger than this for one answer is given back, in bytes.
const KEPT: usize = 1 << 20;

/// The bytes of the answer that was written last.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// Room for a head, and the body.
    bytes: Vec<u8>,
}

impl Sheet {
    /// Writes the next body, by a function that appends it.
    pub(super) fn write(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.capacity() > KEPT && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes = Vec::new();
        }
        self.bytes.resize(HEAD_ROOM, 0);
        append(&mut self.bytes);
    }

    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(HEAD_ROOM..).unwrap_or_default()
    }

    /// The body with `head` before it, in one piece. Returns `None` where there is no room for that
    /// head, or no body.
    pub(super) fn headed(&mut self, head: &[u8]) -> Option<&[u8]> {
        let start = HEAD_ROOM.checked_sub(head.len())?;
        self.bytes.get_mut(start..HEAD_ROOM)?.copy_from_slice(head);
        self.bytes.get(start..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_one_written_last_and_gets_its_head() {
        let mut sheet = Sheet::default();
        assert_eq!(sheet.body(), b"");
        assert_eq!(sheet.headed(b""), None);
        sheet.write(|bytes| bytes.extend_from_slice(b"first and long"));
        sheet.write(|bytes| bytes.extend_from_slice(b"second"));
        assert_eq!(sheet.body(), b"second");
        assert_eq!(sheet.headed(b"head "), Some(&b"head second"[..]));
        assert_eq!(sheet.headed(b"other "), Some(&b"other second"[..]));
        assert_eq!(sheet.headed(&[b'x'; HEAD_ROOM + 1]), None);
        assert_eq!(sheet.headed(&[b'x'; HEAD_ROOM]).map(<[u8]>::len), Some(HEAD_ROOM + 6));
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

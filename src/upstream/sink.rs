//! Where the body of an answer goes.

/// Takes a body, piece by piece.
pub trait Sink {
    /// As many bytes come, about.
    fn expect(&mut self, bytes: usize);

    fn push(&mut self, piece: &[u8]);
}

impl Sink for Vec<u8> {
    fn expect(&mut self, bytes: usize) {
        self.reserve_exact(bytes);
    }

    fn push(&mut self, piece: &[u8]) {
        self.extend_from_slice(piece);
    }
}

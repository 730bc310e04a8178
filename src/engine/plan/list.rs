//! The values of one list: sorted, distinct, hashed once.

use super::index::hash;

/// Values that a condition compares with.
///
/// One allocation for all texts, and their hashes beside them: whoever indexes a list, and whoever
/// compares two, never looks at the texts twice.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct List {
    // In order of the hashes, so that equal lists are equal bytes whatever order they came in, and
    // that an index which places by the highest bits is filled from front to back.
    hashes: Box<[u64]>,
    ends: Box<[u32]>,
    text: Box<str>,
}

// === impl List ===

impl List {
    pub(super) fn new<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut values: Vec<(u64, &str)> =
            values.map(|value| (hash(value.as_bytes()), value)).collect();
        values.sort_unstable();
        values.dedup();
        let mut text = String::with_capacity(values.iter().map(|(_, value)| value.len()).sum());
        let mut ends = Vec::with_capacity(values.len());
        for (_, value) in &values {
            text.push_str(value);
            // Payloads are bounded far below 4 GiB by the transport.
            ends.push(text.len() as u32);
        }
        let hashes = values.iter().map(|(hash, _)| *hash).collect();
        Self { hashes, ends: ends.into(), text: text.into() }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each value with its [`hash`].
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let texts = starts
            .zip(self.ends.iter())
            .map(|(start, &end)| self.text.get(start as usize..end as usize).unwrap_or(""));
        self.hashes.iter().copied().zip(texts)
    }
}

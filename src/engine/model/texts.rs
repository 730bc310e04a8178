//! Short texts, many of them, in few allocations that whoever needs them shares.

use std::sync::Arc;

use super::Numbers;

/// A list of texts: in their order, repeated where they were. Cloning it copies no text.
///
/// Lists of thousands of ids are what payloads are mostly made of, and they stay in memory for as
/// long as the payload does. A `Vec<String>` costs forty bytes and an allocation for each text on
/// top of it; here it is two bytes, or four.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
// `None` for no texts: most constraints come with an empty list.
pub(in crate::engine) struct Texts(Option<Arc<Shared>>);

#[derive(Debug, PartialEq, Eq)]
struct Shared {
    text: Box<str>,
    /// Where each begins, and where the last one ends.
    bounds: Numbers,
}

/// Collects texts.
#[derive(Debug, Default)]
pub(in crate::engine) struct TextsBuilder {
    text: String,
    bounds: Vec<u32>,
}

// === impl Texts ===

impl Texts {
    pub(in crate::engine) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |shared| shared.bounds.len() - 1)
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The text of a number. Empty when there is none of that number.
    #[inline]
    pub(in crate::engine) fn get(&self, number: u32) -> &str {
        let Some(shared) = &self.0 else { return "" };
        let place = shared.bounds.pair(number as usize);
        place.and_then(|[start, end]| shared.text.get(start as usize..end as usize)).unwrap_or("")
    }

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        (0..self.len() as u32).map(|number| self.get(number))
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut builder = TextsBuilder::default();
        texts.into_iter().for_each(|text| builder.push(text.as_ref()));
        builder.build()
    }
}

// === impl TextsBuilder ===

impl TextsBuilder {
    pub(in crate::engine) fn push(&mut self, text: &str) {
        // Payloads are bounded far below 4 GiB by the transport.
        self.bounds.push(self.text.len() as u32);
        self.text.push_str(text);
    }

    pub(in crate::engine) fn build(mut self) -> Texts {
        if self.bounds.is_empty() {
            return Texts::default();
        }
        self.bounds.push(self.text.len() as u32);
        let bounds = self.bounds.as_slice().into();
        Texts(Some(Arc::new(Shared { text: self.text.into(), bounds })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_their_order_repeated_and_empty_ones_too() {
        let texts = ["b", "", "é", "b", "a longer one", ""];
        let collected = Texts::from_iter(texts);
        assert!(collected.iter().eq(texts));
        assert!((0..).zip(texts).all(|(number, text)| collected.get(number) == text));
        assert_eq!((collected.len(), collected.get(6), collected.get(u32::MAX)), (6, "", ""));
    }

    #[test]
    fn no_texts_are_not_one_empty_text() {
        let none = Texts::from_iter([""; 0]);
        assert_eq!((none.iter().count(), Texts::from_iter([""]).iter().count()), (0, 1));
        assert_eq!((none.get(0), &none), ("", &Texts::default()));
    }
}

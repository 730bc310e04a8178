//! Short texts, many of them, in two allocations that whoever needs them shares.

use std::sync::Arc;

/// A list of texts, as a constraint names them: in their order, repeated where they were. Cloning it
/// copies no text.
///
/// Lists of thousands of ids are what payloads are mostly made of, and they stay in memory for as
/// long as the payload does. A `Vec<String>` costs forty bytes and an allocation for each text on
/// top of it; here it is four bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
// `None` for no texts: most constraints come with an empty list.
pub(in crate::engine) struct Texts(Option<Arc<Shared>>);

#[derive(Debug, PartialEq, Eq)]
struct Shared {
    text: Box<str>,
    ends: Box<[u32]>,
}

/// Collects texts.
#[derive(Debug, Default)]
pub(in crate::engine) struct TextsBuilder {
    text: String,
    ends: Vec<u32>,
}

// === impl Texts ===

impl Texts {
    pub(in crate::engine) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |shared| shared.ends.len())
    }

    /// The text of a number. Empty when there is none of that number.
    #[inline]
    pub(in crate::engine) fn get(&self, number: u32) -> &str {
        let Some(shared) = &self.0 else { return "" };
        let end_of = |number: u32| shared.ends.get(number as usize).map(|end| *end as usize);
        let start = number.checked_sub(1).map_or(Some(0), end_of);
        let place = start.zip(end_of(number)).map(|(start, end)| start..end);
        place.and_then(|place| shared.text.get(place)).unwrap_or("")
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
        self.text.push_str(text);
        // Payloads are bounded far below 4 GiB by the transport.
        self.ends.push(self.text.len() as u32);
    }

    pub(in crate::engine) fn build(self) -> Texts {
        if self.ends.is_empty() {
            return Texts::default();
        }
        Texts(Some(Arc::new(Shared { text: self.text.into(), ends: self.ends.into() })))
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

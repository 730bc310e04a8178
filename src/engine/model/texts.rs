//! Short texts, many of them, in two allocations.

/// A list of texts, as a constraint names them: in their order, repeated where they were.
///
/// Lists of thousands of ids are what payloads are mostly made of, and they stay in memory for as
/// long as the payload does. A `Vec<String>` costs forty bytes and an allocation for each text on
/// top of it; here it is four bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Texts {
    text: Box<str>,
    ends: Box<[u32]>,
}

// === impl Texts ===

impl Texts {
    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(self.ends.iter())
            .map(|(start, &end)| self.text.get(start as usize..end as usize).unwrap_or(""))
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for each in texts {
            text.push_str(each.as_ref());
            // Payloads are bounded far below 4 GiB by the transport.
            ends.push(text.len() as u32);
        }
        Self { text: text.into(), ends: ends.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_their_order_repeated_and_empty_ones_too() {
        let texts = ["b", "", "é", "b", "a longer one", ""];
        assert!(texts.iter().collect::<Texts>().iter().eq(texts));
    }

    #[test]
    fn no_texts_are_not_one_empty_text() {
        let none = Texts::from_iter([""; 0]);
        assert_eq!((none.iter().count(), Texts::from_iter([""]).iter().count()), (0, 1));
        assert_eq!(none, Texts::default());
    }
}

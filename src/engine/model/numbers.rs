//! Small numbers, many of them, in as few bytes as the largest takes.

/// A list of numbers, two bytes each where all of them fit, else four.
///
/// Lists of values are what payloads are mostly made of, and hardly any has more than 64 KiB of
/// text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Numbers {
    Short(Box<[u16]>),
    Long(Box<[u32]>),
}

// === impl Numbers ===

impl Numbers {
    pub(in crate::engine) fn len(&self) -> usize {
        match self {
            Self::Short(numbers) => numbers.len(),
            Self::Long(numbers) => numbers.len(),
        }
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number at a place and the one behind it. `None` unless there are both.
    #[inline]
    pub(in crate::engine) fn pair(&self, place: usize) -> Option<[u32; 2]> {
        match self {
            Self::Short(numbers) => Some(numbers.get(place..)?.first_chunk()?.map(u32::from)),
            Self::Long(numbers) => numbers.get(place..)?.first_chunk().copied(),
        }
    }

    #[inline]
    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = u32> {
        let (short, long) = match self {
            Self::Short(numbers) => (&**numbers, &[][..]),
            Self::Long(numbers) => (&[][..], &**numbers),
        };
        short.iter().copied().map(u32::from).chain(long.iter().copied())
    }
}

impl From<&[u32]> for Numbers {
    fn from(numbers: &[u32]) -> Self {
        if numbers.iter().any(|number| *number > u32::from(u16::MAX)) {
            return Self::Long(numbers.into());
        }
        Self::Short(numbers.iter().map(|number| *number as u16).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_take_four_bytes_only_where_two_are_too_few() {
        for (numbers, is_short) in [
            (&[][..], true),
            (&[0, 7, 65_535], true),
            (&[65_536], false),
            (&[1, u32::MAX, 2], false),
        ] {
            let kept = Numbers::from(numbers);
            assert_eq!(matches!(kept, Numbers::Short(_)), is_short, "{numbers:?}");
            assert_eq!(kept.iter().collect::<Vec<_>>(), numbers);
            assert_eq!(kept.len(), numbers.len());
            let pairs = (0..numbers.len() + 2).map_while(|place| kept.pair(place));
            assert_eq!(
                pairs.collect::<Vec<_>>(),
                numbers.array_windows().copied().collect::<Vec<_>>()
            );
        }
    }
}
